"""Write the pages of the API reference: a directive of autodoc for everything public, each on one page."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import upbit_frames as uf
from upbit_frames.datasets.collect.record.recorder import Recorder
from upbit_frames.datasets.collect.report import Report
from upbit_frames.frames.accessor import UpbitFrames
from upbit_frames.frames.chart.chart import Chart
from upbit_frames.live.feed import Feed
from upbit_frames.live.follow.follow import Follow
from upbit_frames.live.stream import Stream
from upbit_frames.replay.cassette import Cassette
from upbit_frames.router.explain import Explanation
from upbit_frames.router.plan import Plan

PAGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "history": ("Candles, trades, bars", ("candles", "trades", "bars", "plan", "explain", "schema")),
    "quotes": ("Prices now and market lists", ("ticker", "orderbook", "markets", "instruments")),
    "many": ("Many markets", ("panel", "cross_section", "map", "scan", "sql")),
    "live": ("Live", ("stream", "follow", "record", "books")),
    "store": ("The store", ("download", "update", "quality", "universe", "catalog", "cache")),
    "replay": (
        "Replay and frozen studies",
        ("cassette", "cassettes", "tape", "pinned", "bundle", "open_bundle", "cite"),
    ),
    "settings": ("Settings", ("configure", "using", "config", "Config")),
    "clients": ("Clients and coroutines", ("Client", "AsyncClient", "aio")),
    "watching": ("What the router did", ("metrics", "dashboard", "compare", "notebook")),
    "errors": ("Errors", ("errors",)),
    "compat": ("Coming from elsewhere", ("compat",)),
}
"""By file name: the title, and the names of ``upbit_frames.__all__`` that the page describes."""

RETURNED = (Plan, Explanation, Stream, Feed, Follow, Report, Recorder, Cassette, Chart)
"""Classes that are not created by hand but returned by calls."""


def heading(title: str, mark: str = "=") -> str:
    """Return a title of reStructuredText."""
    return f"{title}\n{mark * 2 * len(title)}\n\n"


def directive(kind: str, name: str, *options: str) -> str:
    """Return a directive of autodoc."""
    return "\n".join([f".. auto{kind}:: {name}", *(f"   {option}" for option in options)]) + "\n\n"


def summary(value: Any) -> str:
    """Return the first paragraph of a docstring as one line."""
    first = (inspect.getdoc(value) or "").split("\n\n")[0].replace("\n", " ")
    return re.sub(r":\w+:`~?\.?([^`]*)`", r"``\1``", first)  # a role would look for its target from another module


def public_members(kind: type) -> list[str]:
    """Return the names of a class that are for its users."""
    return sorted(name for name in dir(kind) if not name.startswith("_"))


def entry(name: str, value: Any) -> Iterator[str]:
    """Yield the directives of one name of the package."""
    path = f"upbit_frames.{name}"
    if inspect.ismodule(value) and name == "aio":
        yield directive("module", path)
        yield from (twin("function", f"{path}.{inner}", getattr(value, inner)) for inner in sorted(value.__all__))
    elif inspect.ismodule(value):
        yield directive("module", path)
        for inner in value.__all__:
            member = getattr(value, inner)
            if inspect.ismodule(member):
                yield from module_of_others(f"{path}.{inner}", member)
            else:
                yield from entry(f"{name}.{inner}", member)
    elif inspect.isclass(value) and name in ("Client", "AsyncClient"):
        yield directive("class", path)
        for inner in public_members(value):
            member = inspect.getattr_static(value, inner)
            yield (
                twin("method", f"{path}.{inner}", member)
                if hasattr(uf, inner)
                else directive("method", f"{path}.{inner}")
            )
    elif inspect.isclass(value):
        yield directive("class", path, ":members:", ":inherited-members: Exception", ":show-inheritance:")
    elif inspect.isroutine(value):
        yield directive("function", path)
    elif type(value).__module__.startswith("upbit_frames"):  # an object: its members under its public name
        yield f".. py:data:: {path}\n\n   {summary(value)}\n\n"
        for inner in public_members(type(value)):
            if isinstance(inspect.getattr_static(type(value), inner), property):
                yield f".. py:data:: {path}.{inner}\n\n   {summary(getattr(type(value), inner))}\n\n"
            else:
                yield directive("function", f"{path}.{inner}")


def module_of_others(path: str, module: Any) -> Iterator[str]:
    """Yield a drop-in: its functions, whose documentation is the other library's, by name."""
    yield directive("module", path)
    functions = [name for name in module.__all__ if inspect.isroutine(getattr(module, name))]
    yield from (directive("function", f"{path}.{name}") for name in functions)


def twin(kind: str, path: str, value: Any) -> str:
    """Return the entry of a method or coroutine that is described as a function of the package."""
    name = path.rpartition(".")[2]
    is_method = kind == "method"
    signature = inspect.signature(value)
    parameters = list(signature.parameters.values())[is_method:]
    bare = signature.replace(
        parameters=[parameter.replace(annotation=parameter.empty) for parameter in parameters],
        return_annotation=signature.empty,
    )
    module = "upbit_frames" if is_method else path.rpartition(".")[0]
    option = "   :async:\n" if inspect.iscoroutinefunction(value) else ""
    head = f".. py:{kind}:: {path.removeprefix(module + '.')}{bare}\n   :module: {module}\n{option}\n"
    return f"{head}   {summary(value)} See :func:`upbit_frames.{name}`.\n\n"


def write_reference(folder: Path) -> None:
    """Write the pages and their list into a folder.

    Raises
    ------
    ValueError
        If a public name is on no page, or on two.
    """
    listed = [name for _, names in PAGES.values() for name in names]
    if sorted(listed) != sorted(set(uf.__all__) - {"__version__"}):
        raise ValueError(f"pages and upbit_frames.__all__ differ: {sorted(set(listed) ^ set(uf.__all__))}")
    folder.mkdir(parents=True)
    for file, (title, names) in PAGES.items():
        body = "".join(text for name in names for text in entry(name, getattr(uf, name)))
        (folder / f"{file}.rst").write_text(heading(title) + body, encoding="utf-8")
    accessor = directive("class", "upbit_frames.frames.accessor.UpbitFrames")
    for name in public_members(UpbitFrames):
        kind = "property" if isinstance(inspect.getattr_static(UpbitFrames, name), property) else "method"
        accessor += directive(kind, f"upbit_frames.frames.accessor.UpbitFrames.{name}")
    (folder / "accessor.rst").write_text(heading("df.uf") + accessor, encoding="utf-8")
    returned = "".join(directive("class", f"{kind.__module__}.{kind.__qualname__}", ":members:") for kind in RETURNED)
    (folder / "returned.rst").write_text(heading("What calls return") + returned, encoding="utf-8")
    testing = importlib.import_module("upbit_frames.testing")
    stand_in = directive("module", "upbit_frames.testing") + "".join(
        directive("class", f"upbit_frames.testing.{name}", ":members:") for name in testing.__all__
    )
    stand_in += directive("module", "upbit_frames.testing.strategies", ":members:") + directive(
        "module", "upbit_frames.testing.plugin"
    )
    (folder / "testing.rst").write_text(heading("Testing") + stand_in, encoding="utf-8")
    pages = [*list(PAGES)[:-2], "accessor", "returned", *list(PAGES)[-2:], "testing"]
    toctree = ".. toctree::\n   :maxdepth: 1\n\n" + "".join(f"   {page}\n" for page in pages)
    (folder / "index.rst").write_text(
        heading("API reference") + "Every public name. ``uf`` is ``upbit_frames``.\n\n" + toctree, encoding="utf-8"
    )
