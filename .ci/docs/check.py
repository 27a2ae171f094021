"""What a built site must have: pages for phones, links that lead somewhere, no foreign files, every public name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[2]
LISTING = ROOT / "tests" / "support" / "public_api.txt"


class Page(HTMLParser):
    """The links, anchors, loaded files and viewport of one page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.viewport = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what matters of one tag."""
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "meta" and values.get("name") == "viewport":
            self.viewport = "width=device-width" in values.get("content", "")
        elif tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "link" and values.get("rel") != "canonical":
            self.loaded.append(values.get("href", ""))
        elif "src" in values:
            self.loaded.append(values["src"])


def problems(site: Path) -> list[str]:
    """Return what is wrong with a site, a line each."""
    pages = {path: Page(path) for path in sorted(site.rglob("*.html")) if "_static" not in path.parts}
    found = [f"{path.relative_to(site)}: {text}" for path in pages for text in of_page(site, path, pages)]
    return found + list(missing_names(pages)) + list(of_search(site)) + list(of_llms(site, pages))


def of_page(site: Path, path: Path, pages: dict[Path, Page]) -> Iterator[str]:
    """Yield what is wrong with one page."""
    page = pages[path]
    if not page.viewport:
        yield "no viewport for phones"
    yield from (f"loads {url} from elsewhere" for url in page.loaded if urlsplit(url).netloc)
    for link in {*page.links, *page.loaded}:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if not target.is_relative_to(site.resolve()) or not target.exists():
            yield f"{link} leads nowhere"
        elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
            yield f"{link} names no place of its page"


def missing_names(pages: dict[Path, Page]) -> Iterator[str]:
    """Yield the names of the listing of the public API that have no entry."""
    anchors = set().union(*(page.anchors for page in pages.values()))
    for line in LISTING.read_text(encoding="utf-8").splitlines():
        name = line.split()[0]
        path = (
            name.replace("df.uf", "upbit_frames.frames.accessor.UpbitFrames", 1)
            if name.startswith("df.uf")
            else f"upbit_frames.{name}"
        )
        if path not in anchors and f"module-{path}" not in anchors:
            yield f"the reference has no entry for {name}"


def of_search(site: Path) -> Iterator[str]:
    """Yield the words that the search, which is a script of the site itself, does not find."""
    text = (site / "searchindex.js").read_text(encoding="utf-8")
    index = json.loads(re.fullmatch(r"Search\.setIndex\((.*)\)", text, re.DOTALL)[1])  # type: ignore[index]
    titles = {name for names in index["objects"].values() for *_, name in names}
    yield from (f"the search does not know {name}" for name in ("candles", "follow", "NotCached") if name not in titles)
    yield from (
        f"the search does not know the word {word}" for word in ("캔들", "cassett") if word not in index["terms"]
    )


def of_llms(site: Path, pages: dict[Path, Page]) -> Iterator[str]:
    """Yield the links of llms.txt that lead nowhere."""
    for link in re.findall(r"\]\(([^)]+)\)", (site / "llms.txt").read_text(encoding="utf-8")):
        path, _, fragment = link.partition("#")
        page = pages.get(site / path)
        if page is None or (fragment and fragment not in page.anchors and f"module-{fragment}" not in page.anchors):
            yield f"llms.txt: {link} leads nowhere"
