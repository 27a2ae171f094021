"""Build the site: python .ci/docs/build.py [TARGET] writes static HTML, by default into build/site.

The sources are this repository's own texts: README.md, the notebooks as they were committed (nothing is run), and the
docstrings of everything public. They are collected in build/docs, because Sphinx reads one folder. Warnings are errors.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from check import problems
from llms import write_llms
from reference import write_reference
from vocabulary import write_vocabulary

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def collect(sources: Path) -> None:
    """Copy the texts of the repository, and write those that are made from the package."""
    shutil.rmtree(sources, ignore_errors=True)
    shutil.copytree(ROOT / "notebooks", sources / "notebooks", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    shutil.copytree(HERE / "static", sources / "static")
    for name in ("README.md", "CHANGELOG.md", "cassettes/README.md"):
        (sources / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, sources / name)
    for page in sorted((HERE / "sections").iterdir()):
        shutil.copy(page, sources / page.name)
    write_reference(sources / "reference")
    write_vocabulary(sources / "notebooks" / "ko" / "terms.md")


def main(target: Path) -> int:
    """Return 0 if the site is built, without warnings, and all of it can be reached."""
    from sphinx.cmd.build import build_main

    sources = ROOT / "build" / "docs"
    collect(sources)
    shutil.rmtree(target, ignore_errors=True)
    code = build_main(
        [
            "-q",
            "-W",
            "--keep-going",
            "-j",
            "auto",
            "-d",
            str(sources.with_name("doctrees")),
            "-c",
            str(HERE),
            str(sources),
            str(target),
        ]
    )
    if code:
        return code
    write_llms(target / "llms.txt")
    found = problems(target)
    print("\n".join(found) or f"{target}: {len(list(target.rglob('*.html')))} pages, no problem")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "site"))
