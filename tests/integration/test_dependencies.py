"""What the package imports is what pyproject.toml declares, and the other way round."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Where the name to import is not the name to install.
DISTRIBUTIONS = {"IPython": "ipython", "vcr": "vcrpy", "yaml": "pyyaml", "mpl_toolkits": "matplotlib"}
# Modules that only an extra needs: everything else must work with a plain install.
EXTRAS_OF = {
    "testing/plugin.py": "testing",
    "testing/strategies.py": "testing",
    "replay/cassette_file.py": "record",
    "compat/check/rewrite.py": "migrate",
    "frames/plot/axes.py": "plot",
}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(*extras: str) -> set[str]:
    """The names of the runtime dependencies, or of these extras, with what they include of each other."""
    listed = PROJECT["dependencies"] if not extras else [one for name in extras for one in extras_of(name)]
    return {normal(re.split(r"[^\w.-]", one, maxsplit=1)[0]) for one in listed}


def extras_of(name: str) -> Iterator[str]:
    for one in PROJECT["optional-dependencies"][name]:
        inner = re.fullmatch(r"upbit-frames\[([\w,-]+)\]", one)
        if inner is None:
            yield one
        else:
            for part in inner[1].split(","):
                yield from extras_of(part)


def imported(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """The distribution behind each import from outside, and whether the module needs it to load at all."""
    top = set(map(id, tree.body)) if isinstance(tree, ast.Module) else set()
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        for name in names:
            first = name.partition(".")[0]
            if first not in sys.stdlib_module_names and first not in ("upbit_frames", "__future__"):
                yield normal(DISTRIBUTIONS.get(first, first)), id(node) in top


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((ROOT / "upbit_frames").rglob("*.py")):
        yield path.relative_to(ROOT / "upbit_frames").as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def test_what_is_imported_is_declared():
    known = declared() | declared(*(name for name in PROJECT["optional-dependencies"] if name not in ("test", "peers")))
    missing = {(where, name) for where, tree in modules() for name, _ in imported(tree) if name not in known}
    assert not missing


def test_what_a_module_needs_to_load_comes_with_a_plain_install():
    wrong = set()
    for where, tree in modules():
        known = declared() | (declared(EXTRAS_OF[where]) if where in EXTRAS_OF else set())
        wrong |= {(where, name) for name, at_load in imported(tree) if at_load and name not in known}
    assert not wrong


def test_what_is_declared_is_imported():
    used = {name for _, tree in modules() for name, _ in imported(tree)}
    assert declared() <= used


def test_what_is_imported_when_used_comes_with_an_extra_of_its_own():
    """A dependency that is not in the plain install is offered to users by an extra, not only by ``test``."""
    offered = {
        name: declared(name) for name in PROJECT["optional-dependencies"] if name not in ("test", "peers", "all")
    }
    for where, tree in modules():
        for name, _ in imported(tree):
            if name not in declared():
                assert [extra for extra, names in offered.items() if name in names], (where, name)


def test_all_is_every_extra_for_users():
    extras = set(PROJECT["optional-dependencies"]) - {"all", "docs", "test", "peers", "testing"}
    assert declared("all") == declared(*extras)


def test_an_extra_that_an_error_names_installs_what_is_missing():
    """``pip install "upbit-frames[plot]"`` in a message names an extra that exists."""
    named = re.compile(r"upbit-frames\[([\w,-]+)\]")
    for path in sorted((ROOT / "upbit_frames").rglob("*.py")):
        for extras in named.findall(path.read_text(encoding="utf-8")):
            assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"]), (path.name, extras)


# Licences that allow use in a project under MIT; the text as distributions state it.
PERMISSIVE = re.compile(
    r"\b(MIT|BSD|Apache|ISC|PSF|Python Software Foundation|MPL|Mozilla Public License 2|Unlicense|0BSD|HPND|Zlib)\b",
    re.IGNORECASE,
)


def licence_of(name: str) -> str:
    metadata = distribution(name).metadata
    classifiers = [text.rpartition(" :: ")[2] for text in metadata.get_all("Classifier") or () if "License ::" in text]
    texts = [metadata.get("License-Expression"), *classifiers, (metadata.get("License") or "").strip()[:100]]
    return " | ".join(text for text in texts if text)


def installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def closure(names: set[str]) -> set[str]:
    """The distributions named and everything that they require without extras, as far as installed."""
    seen: set[str] = set()
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        if name in seen or not installed(name):
            continue
        seen.add(name)
        for text in distribution(name).requires or ():
            if "extra ==" not in text:
                waiting.add(normal(re.split(r"[^\w.-]", text, maxsplit=1)[0]))
    return seen


def test_licences_of_what_users_install_are_permissive():
    extras = [name for name in PROJECT["optional-dependencies"] if name not in ("test", "peers")]
    found = {name: licence_of(name) for name in sorted(closure(declared() | declared(*extras)))}
    assert found.keys() >= declared()
    unknown = {name: text for name, text in found.items() if not PERMISSIVE.search(text)}
    assert unknown == {}
    copyleft = {name: text for name, text in found.items() if re.search(r"\b[AL]?GPL", text)}
    assert copyleft == {}


def test_every_dependency_has_a_lower_bound():
    for extra in [None, *PROJECT["optional-dependencies"]]:
        listed = PROJECT["dependencies"] if extra is None else extras_of(extra)
        assert not [one for one in listed if ">=" not in one], extra
