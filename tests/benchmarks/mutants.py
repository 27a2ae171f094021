"""Change one operator, number or statement of a module at a time, and see whether its tests fail.

Run by hand: ``python tests/benchmarks/mutants.py [MODULE...]`` runs the tests listed in :data:`TESTS` once for every
mutant of a module, prints those that no test notices, and the share that was noticed. ``--only LINE`` tries the mutants
of one line. Messages of errors, annotations and decorators stay as they are. Needs ``os.fork``.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.machinery
import importlib.util
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WIRE = "exchange/wire/test_refusals.py exchange/wire/test_real.py"
TESTS = {
    "core.intervals": "core/test_intervals.py core/test_bar_grid.py core/test_query.py",
    "core.periods": "core/test_intervals.py core/test_bar_grid.py core/test_query.py",
    "core.bar_grid": "core/test_bar_grid.py core/test_intervals.py core/test_resample.py",
    "core.gaps": "core/test_gaps.py",
    "core.candle_checks": "core/test_candle_checks.py",
    "core.resample": "core/test_resample.py frames/test_grids.py",
    "core.availability": "core/test_availability.py",
    "archive.plan": "archive/test_plan.py",
    "router.candle_plan": "router/test_plan.py router/test_candles.py router/test_candles_count.py",
    "router.candle_pages": "router/test_candle_pages.py router/test_candles_model.py",
    "router.trade_requests": "router/test_trade_pages.py router/test_trade_chunks.py",
    "router.trade_pages": "router/test_trade_pages.py router/test_trade_chunks.py",
    "store.merging": "store/test_merging.py",
    "exchange.wire.candles": f"exchange/wire/test_candles.py {WIRE}",
    "exchange.wire.trades": f"exchange/wire/test_trades.py {WIRE}",
    "exchange.wire.quotes": f"exchange/wire/test_quotes.py {WIRE}",
    "exchange.wire.markets": f"exchange/wire/test_quotes.py {WIRE}",
    "exchange.wire.json_rows": f"exchange/wire/test_candles.py exchange/wire/test_quotes.py {WIRE}",
    "exchange.wire.messages": f"exchange/wire/test_messages.py {WIRE}",
    "exchange.wire.message_tables": f"exchange/wire/test_messages.py {WIRE}",
}
COMPARED: dict[type, list[type]] = {
    ast.Lt: [ast.LtE, ast.Gt],
    ast.LtE: [ast.Lt],
    ast.Gt: [ast.GtE, ast.Lt],
    ast.GtE: [ast.Gt],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
    ast.In: [ast.NotIn],
    ast.NotIn: [ast.In],
}
COMPUTED: dict[type, type] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "bisect_left": "bisect_right"}
NAMES |= {"bisect_right": "bisect_left", "minimum": "maximum", "maximum": "minimum"}
LIBRARIES = ["hypothesis.stateful", "httpx", "msgspec", "numpy", "pandas", "pyarrow.compute", "pyarrow.parquet"]
SECONDS = 30.0  # a mutant may take this long and five times as long as the tests do


def replacements(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield what may stand in a node's place, with a name for it."""
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            for other in COMPARED[type(operator)]:
                changed = copy.deepcopy(node)
                changed.ops[place] = other()
                yield f"{type(operator).__name__} to {other.__name__}", changed
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in COMPUTED:
        changed = copy.copy(node)
        changed.op = COMPUTED[type(node.op)]()
        yield f"{type(node.op).__name__} to {type(changed.op).__name__}", changed
    elif isinstance(node, ast.BoolOp):
        changed = copy.copy(node)
        changed.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield f"{type(node.op).__name__} to {type(changed.op).__name__}", changed
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub | ast.Invert):
        yield f"without {type(node.op).__name__}", node.operand
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield f"{not node.value}", ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield f"{node.value + 1}", ast.Constant(node.value + 1)
    elif isinstance(node, ast.Name) and node.id in NAMES:
        yield NAMES[node.id], ast.Name(NAMES[node.id], node.ctx)
    elif isinstance(node, ast.Attribute) and node.attr in NAMES:
        yield NAMES[node.attr], ast.Attribute(node.value, NAMES[node.attr], node.ctx)
    elif isinstance(node, ast.Break | ast.Continue):
        yield "the other", ast.Continue() if isinstance(node, ast.Break) else ast.Break()
    elif isinstance(node, ast.IfExp):
        yield "always", node.body
        yield "never", node.orelse
    elif isinstance(node, ast.If | ast.While):
        yield from ((name, _with_test(node, name == "always")) for name in ("always", "never"))
    elif isinstance(node, ast.Return) and node.value is not None and ast.unparse(node.value) != "None":
        yield "returns None", ast.Return(ast.Constant(None))
    if isinstance(node, ast.AugAssign) or (isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)):
        yield "left out", ast.Pass()


def _with_test(node: ast.If | ast.While, always: bool) -> ast.AST:
    changed = copy.copy(node)
    changed.test = ast.Constant(always)
    return changed


def mutants(tree: ast.Module) -> Iterator[tuple[int, str, ast.Module]]:
    """Yield every mutant of a module with the line and what was changed; the tree is used again for the next."""

    def walk(parent: ast.AST) -> Iterator[tuple[int, str]]:
        for name, value in ast.iter_fields(parent):
            if name in {"annotation", "returns", "decorator_list", "bases"}:
                continue
            children = value if isinstance(value, list) else [value]
            for place, child in enumerate(children):
                if not isinstance(child, ast.AST) or isinstance(child, ast.Raise | ast.Assert | ast.JoinedStr):
                    continue
                if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                    continue
                for change, other in replacements(child):
                    ast.copy_location(other, child)
                    _put(parent, name, place, other)
                    before, after = (ast.unparse(one).splitlines()[0] for one in (child, other))
                    yield child.lineno, f"{change}: {before[:90]} -> {after[:90]}"
                    _put(parent, name, place, child)
                yield from walk(child)

    for line, change in walk(tree):
        yield line, change, tree


def _put(parent: ast.AST, name: str, place: int, child: ast.AST) -> None:
    value = getattr(parent, name)
    if isinstance(value, list):
        value[place] = child
    else:
        setattr(parent, name, child)


class Replaced(importlib.machinery.SourceFileLoader):
    """Loads a mutant in place of the module."""

    def __init__(self, module: str, path: Path, tree: ast.Module) -> None:
        super().__init__(module, str(path))
        self.tree = tree

    def get_code(self, fullname: str) -> Any:
        return compile(ast.fix_missing_locations(self.tree), self.path, "exec", dont_inherit=True)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        return importlib.util.spec_from_file_location(name, self.path, loader=self) if name == self.name else None


class WithoutShrinking:
    """Whether a test fails is enough: the smallest example is not looked for."""

    @staticmethod
    def pytest_sessionstart() -> None:
        from hypothesis import Phase, settings

        usual = settings.get_profile("suite")
        settings.register_profile("mutants", usual, phases=(Phase.explicit, Phase.generate))
        settings.load_profile("mutants")


def passes(module: str, path: Path, tree: ast.Module, tests: Sequence[str], seconds: float) -> bool:
    """Run the tests with a mutant in a process of its own; one that never ends has been noticed."""
    import pytest

    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setsid()
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            sys.meta_path.insert(0, Replaced(module, path, tree))
            options = ["-x", "-q", "--assert=plain", "-p", "no:cacheprovider", "-m", "not slow", *tests]
            status = int(pytest.main(options, plugins=[WithoutShrinking()]))
        finally:
            os._exit(status)
    deadline = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status == 0
        if time.monotonic() > deadline:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return False
        time.sleep(0.02)


def judge(module: str, only: int | None) -> None:
    path = ROOT / "upbit_frames" / (module.replace(".", "/") + ".py")
    name, tests = f"upbit_frames.{module}", [f"tests/{test}" for test in TESTS[module].split()]
    tree = ast.parse(path.read_text())
    began = time.monotonic()
    if not passes(name, path, tree, tests, 3_600):
        raise SystemExit(f"the tests of {module} fail without any mutant")
    seconds = SECONDS + 5 * (time.monotonic() - began)
    caught = total = 0
    for line, change, mutant in mutants(tree):
        if only in (None, line):
            total += 1
            if passes(name, path, mutant, tests, seconds):
                print(f"  {module}:{line} {change}", flush=True)
            else:
                caught += 1
    print(f"{module}: {caught} of {total} noticed ({caught / max(1, total):.0%})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", choices=[*TESTS, []], metavar="MODULE")
    parser.add_argument("--only", type=int, metavar="LINE")
    chosen = parser.parse_args()
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    # What is not ours is imported once; every child has a package of its own.
    for library in LIBRARIES:
        importlib.import_module(library)
    for module in chosen.modules or TESTS:
        judge(module, chosen.only)


if __name__ == "__main__":
    main()
