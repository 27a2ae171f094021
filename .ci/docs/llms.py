"""Write llms.txt: what the site has, for readers that are programs (llmstxt.org)."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from reference import PAGES, summary

import upbit_frames as uf

ROOT = Path(__file__).resolve().parents[2]
START = ("guide_api", "guide_tuning", "guide_troubleshooting")


def first_paragraph(notebook: Path) -> tuple[str, str]:
    """Return the title of a notebook and its first paragraph."""
    source = nbformat.read(notebook, as_version=4).cells[0].source
    title, _, rest = source.partition("\n")
    text = rest.strip().split("\n\n")[0].replace("\n", " ")
    return title.lstrip("# "), re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", text)  # links are relative to the notebook


def link(notebook: Path) -> str:
    """Return the line of a notebook."""
    title, text = first_paragraph(notebook)
    page = notebook.relative_to(ROOT).with_suffix(".html").as_posix()
    return f"- [{title}]({page}): {text}"


def write_llms(path: Path) -> None:
    """Write the index of the site as Markdown: guides, every public call with its summary, notebooks."""
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    guides = [notebook for notebook in notebooks if notebook.stem in START]
    lines = [
        "# upbit_frames",
        "",
        "> Upbit market data as clean pandas, Polars or Arrow frames: one call, any length, cached in Parquet, "
        'recorded, replayable. `import upbit_frames as uf; df = uf.candles("KRW-BTC", "1m", start="2026-01-01")`. '
        "No API key; times are UTC unless `tz=` is given; ranges are half open; "
        "errors are below `uf.errors.UpbitFramesError`.",
        "",
        "## Guides",
        "",
        "- [Overview](README.html): what it does, sources, caching, live data, replay",
        *map(link, guides),
        "- [In depth](notebooks/in_depth.html): columns of every endpoint, engines, shared stores",
        "",
        "## API reference",
        "",
    ]
    for file, (_, names) in PAGES.items():
        lines += [
            f"- [uf.{name}](reference/{file}.html#upbit_frames.{name}): {summary(getattr(uf, name))}"
            for name in names
            if not name.startswith("_")
        ]
    lines += [
        "- [df.uf](reference/accessor.html): methods of every frame that the calls return",
        "",
        "## Notebooks",
        "",
    ]
    lines += [link(notebook) for notebook in notebooks if notebook not in guides]
    lines += ["", "## Optional", ""]
    lines += [link(notebook) for notebook in sorted((ROOT / "notebooks" / "ko").glob("*.ipynb"))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
