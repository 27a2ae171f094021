"""Settings of Sphinx for the site; `.ci/docs/build.py` collects its sources and runs it."""

from upbit_frames import __version__

project = "upbit_frames"
author = "The upbit_frames authors"
release = version = __version__
language = "en"

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_nb"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb", ".rst": "restructuredtext"}
root_doc = "index"

# Notebooks are shown as they were committed: the tests run them, the site does not.
nb_execution_mode = "off"
nb_merge_streams = True
myst_heading_anchors = 3

autodoc_typehints = "none"  # the docstrings name types, with units and zones
autodoc_member_order = "bysource"
napoleon_numpy_docstring = True
napoleon_google_docstring = False
napoleon_use_rtype = False

html_theme = "pydata_sphinx_theme"
html_title = "upbit_frames"
html_show_sourcelink = False
html_copy_source = False
html_static_path = ["static"]
html_css_files = ["site.css"]
html_theme_options = {
    "show_prev_next": True,
    "navigation_with_keys": False,
    "navbar_align": "left",
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
html_context = {"default_mode": "auto"}
copyright = "the upbit_frames authors, MIT licence. Not affiliated with Upbit or Dunamu"  # noqa: A001
