"""Write the type stubs of the public calls from the calls themselves: python .ci/stubs.py [--check].

A call is written once, in upbit_frames/api/calls, and has four faces: a function, a coroutine in ``aio``, a method of
Client and a coroutine method of AsyncClient. They are made at run time, which a type checker cannot follow as far as
overloads. So the stubs next to those modules repeat the signatures, with one overload for each kind of result where the
result depends on an argument.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "upbit_frames"
STUBBED = (PACKAGE / "api" / "functions.py", PACKAGE / "aio.py", PACKAGE / "api" / "client.py")
HEADER = '"""{title}\n\nWritten by .ci/stubs.py; do not edit.\n"""\n\n'


@dataclass(frozen=True)
class Variant:
    """One overload: what it changes of the arguments, and its result.

    Attributes
    ----------
    result : str
    required : dict of str to str
        Types of arguments that have no default in this overload.
    optional : dict of str to str
        Types of arguments that keep theirs.
    """

    result: str
    required: Mapping[str, str]
    optional: Mapping[str, str]


def by_value(parameter: str, results: Mapping[str, str], *, optional: str = "") -> tuple[Variant, ...]:
    """Return a variant for each value of an argument, the first being its default, and one for a variable."""
    (default, first), *others = results.items()
    variants = [Variant(first, {}, {parameter: f"Literal[{default!r}]{optional}"})]
    variants += [Variant(result, {parameter: f"Literal[{value!r}]"}, {}) for value, result in others]
    return (*variants, Variant("Any", {}, {}))


BLOCKING = {"background": "Literal[False]"}
PANDAS = {**BLOCKING, "output": "Literal['pandas'] | None"}
# By the alias that a call names as its result.
VARIANTS = {
    "Frame": by_value(
        "output", {"pandas": "pd.DataFrame", "arrow": "pa.Table", "polars": "pl.DataFrame"}, optional=" | None"
    ),
    "LazyFrame": by_value(
        "engine",
        {
            "polars": "pl.LazyFrame",
            "duckdb": "duckdb.DuckDBPyRelation",
            "dask": "dask.dataframe.DataFrame",
            "arrow": "pyarrow.dataset.Dataset",
        },
    ),
    "Streamed": (
        Variant("Feed", {"background": "Literal[True]"}, {}),
        Variant("pd.DataFrame", {"seconds": "float"}, PANDAS),
        Variant("pd.DataFrame", {"count": "int"}, PANDAS),
        Variant("Any", {"seconds": "float"}, BLOCKING),
        Variant("Any", {"count": "int"}, BLOCKING),
        Variant("Stream", {}, {**BLOCKING, "seconds": "None", "count": "None"}),
    ),
    "Recorded": (
        Variant("Recorder", {"background": "Literal[True]"}, {}),
        Variant("Report", {}, BLOCKING),
    ),
}
MODULES = {  # the line that imports each name that no call imports itself
    "Any": "from typing import Any",
    "Literal": "from typing import Literal",
    "overload": "from typing import overload",
    "pd": "import pandas as pd",
    "pl": "import polars as pl",
    "pa": "import pyarrow as pa",
    "os": "import os",
    "duckdb": "import duckdb",
    "dask": "import dask.dataframe",
    "pyarrow": "import pyarrow.dataset",
}


@dataclass(frozen=True)
class Signature:
    """One call as its module writes it, without the settings that come first."""

    arguments: ast.arguments
    result: str
    summary: str

    def variants(self) -> Iterator[tuple[str, str]]:
        """Yield the arguments and the result of every overload; one where nothing depends on an argument."""
        for variant in VARIANTS.get(self.result, ()):
            yield self._changed(variant), variant.result
        if self.result not in VARIANTS:
            yield ast.unparse(self.arguments), self.result

    def _changed(self, variant: Variant) -> str:
        arguments, defaults = [], []
        for argument, default in zip(self.arguments.kwonlyargs, self.arguments.kw_defaults, strict=True):
            kind = variant.required.get(argument.arg) or variant.optional.get(argument.arg)
            arguments.append(ast.arg(argument.arg, ast.parse(kind, mode="eval").body if kind else argument.annotation))
            defaults.append(None if argument.arg in variant.required else default)
        every = self.arguments
        return ast.unparse(
            ast.arguments(every.posonlyargs, every.args, every.vararg, arguments, defaults, every.kwarg, every.defaults)
        )


def read_calls() -> tuple[dict[str, Signature], dict[str, str]]:
    """Return every call by name, and the import line of every name that the calls import."""
    calls, imports = {}, {}
    for path in sorted((PACKAGE / "api" / "calls").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imports |= _imports_of(tree)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.args.args and node.args.args[0].arg == "config":
                calls[node.name] = _signature(node)
    return calls, imports


def _imports_of(tree: ast.Module) -> dict[str, str]:
    return {
        alias.asname or alias.name: f"from {node.module} import {alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module != "__future__"
        for alias in node.names
    }


def _signature(node: ast.FunctionDef) -> Signature:
    every = node.args
    arguments = ast.arguments(
        [], every.args[1:], every.vararg, every.kwonlyargs, every.kw_defaults, every.kwarg, every.defaults
    )
    result = ast.unparse(node.returns) if node.returns else "Any"
    if result.startswith("Call["):
        result = result[len("Call[") : -1]
    return Signature(arguments, result, _summary(node))


def _summary(node: ast.FunctionDef | ast.ClassDef | ast.Module) -> str:
    return (ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " ")


def stub(path: Path, calls: Mapping[str, Signature], imports: Mapping[str, str]) -> str:
    """Write the stub of one module of faces."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    parts = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            bases = ", ".join(ast.unparse(base) for base in node.bases)
            parts.append(f'class {node.name}({bases}):\n    """{_summary(node)}"""\n')
            parts += _faces(node.body, calls, indent="    ")
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            parts.append(ast.unparse(node) + "\n")
    parts += _faces(tree.body, calls, indent="")
    text = "\n".join(parts)
    known = {**imports, **_imports_of(tree), **MODULES}
    names = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    lines = sorted({known[name] for name in names if name in known})
    return HEADER.format(title=_summary(tree)) + "\n".join(lines) + "\n\n" + text


def _faces(body: list[ast.stmt], calls: Mapping[str, Signature], *, indent: str) -> Iterator[str]:
    """Yield the text of every ``name = as_…(calls.call)``."""
    for node in body:
        if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)):
            continue
        maker, call = ast.unparse(node.value.func), node.value.args[0]
        if maker.startswith("as_") and isinstance(call, ast.Attribute):
            yield _face(ast.unparse(node.targets[0]), calls[call.attr], maker, indent)


def _face(name: str, call: Signature, maker: str, indent: str) -> str:
    coroutine = maker in ("as_coroutine", "as_async_method", "as_threaded", "as_threaded_method")
    keyword = "async def" if coroutine else "def"
    first = "self, " if maker.endswith(("_method", "_opener")) else ""
    variants = list(call.variants())
    decorator = f"{indent}@overload\n" if len(variants) > 1 else ""
    return "".join(
        f'{decorator}{indent}{keyword} {name}({first}{arguments}) -> {result}:\n{indent}    """{call.summary}"""\n'
        for arguments, result in variants
    )


def formatted(text: str) -> str:
    """Return the text as ruff writes it."""
    command = [sys.executable, "-m", "ruff"]
    for arguments in (["check", "-q", "--fix", "--select", "I,F401"], ["format", "-q"]):
        done = subprocess.run(  # noqa: S603
            [*command, *arguments, "--stdin-filename", str(STUBBED[0].with_suffix(".pyi")), "-"],
            input=text, capture_output=True, text=True, check=True,
        )  # fmt: skip
        text = done.stdout
    return text


def main() -> int:
    """Write the stubs, or with --check say which are not as they would be written."""
    calls, imports = read_calls()
    stale = []
    for path in STUBBED:
        text, target = formatted(stub(path, calls, imports)), path.with_suffix(".pyi")
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            stale.append(target.name)
            if "--check" not in sys.argv:
                target.write_text(text, encoding="utf-8")
    if stale and "--check" in sys.argv:
        sys.stderr.write(f"not as .ci/stubs.py writes them: {', '.join(stale)}; run python .ci/stubs.py\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
