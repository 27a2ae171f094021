"""Change one operator, number or statement of a module at a time, and see whether its tests fail.

Run by hand: ``python tests/benchmarks/mutants.py [MODULE...]`` runs the tests listed in :data:`TESTS` once for every
mutant of a module, prints those that no test notices, and the share that was noticed. ``--only LINE`` tries the mutants
of one line, ``--every N`` each N-th mutant. Messages of errors, annotations and decorators stay as they
are. Needs ``os.fork``.
"""

from __future__ import annotations

import argparse
import ast
import copy
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import lru_cache
from math import inf
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
WIRE = "exchange/wire/test_error_bodies.py exchange/wire/test_real_captures.py"
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
CACHED = type(lru_cache(ast.parse))
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


class Runner:
    """Collects the tests once, and runs them in a process of its own for every mutant."""

    def __init__(self, module: str, only: int | None, every: int, seconds: float) -> None:
        self.name = f"upbit_frames.{module}"
        self.path = ROOT / "upbit_frames" / (module.replace(".", "/") + ".py")
        self.only = only
        self.every = every
        self.seconds = seconds
        self.survivors: list[str] = []
        self.total = 0

    @staticmethod
    def pytest_sessionstart() -> None:
        """Whether a test fails is enough: the smallest example is not looked for."""
        from hypothesis import Phase, settings

        usual = settings.get_profile("suite")
        settings.register_profile("mutants", usual, phases=(Phase.explicit, Phase.generate))
        settings.load_profile("mutants")

    def pytest_runtestloop(self, session: Any) -> bool:
        tree = ast.parse(self.path.read_text())
        usual = compile(tree, str(self.path), "exec", dont_inherit=True)
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            self.durations = Path(folder) / "durations.json"
            if not self.passes(session, usual, 3_600):
                raise SystemExit(f"the tests of {self.name} fail without any mutant")
            durations = json.loads(self.durations.read_text())
        session.items.sort(key=lambda item: durations.get(item.nodeid, 0.0))
        seconds = SECONDS + 5 * (time.monotonic() - began)
        began = time.monotonic()
        for number, (line, change, mutant) in enumerate(mutants(tree)):
            if self.only not in (None, line) or number % self.every:
                continue
            if time.monotonic() - began > self.seconds:
                print(f"  stopped at line {line}", flush=True)
                break
            try:
                code = compile(ast.fix_missing_locations(mutant), str(self.path), "exec", dont_inherit=True)
            except SyntaxError:
                continue  # a return in place of what is no function, and the like
            if same(code, usual, self.name):
                continue  # a table of objects, which would need other objects everywhere
            self.total += 1
            if self.passes(session, code, seconds):
                self.survivors.append(f"{self.name}:{line} {change}")
                print(f"  {self.survivors[-1]}", flush=True)
        return True

    def passes(self, session: Any, code: CodeType, seconds: float) -> bool:
        """Run the tests with a mutant; one that never ends has been noticed."""
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.setsid()
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, 1)
                os.dup2(null, 2)
                self.put(code)
                durations: dict[str, float] = {}
                status = int(fails(session, durations))
                if not self.total:
                    self.durations.write_text(json.dumps(durations))
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
            time.sleep(0.01)

    def put(self, code: CodeType) -> None:
        """Give the functions of the module the mutant's code, and its constants the mutant's values."""
        module = sys.modules[self.name]
        changed = {function.co_qualname: function for function in functions_in(code)}
        for thing in gc.get_objects():
            if type(thing) is FunctionType and thing.__code__.co_filename == str(self.path):
                thing.__code__ = changed.get(thing.__code__.co_qualname, thing.__code__)
            elif type(thing) is CACHED:
                thing.cache_clear()
        for name, value in constants(code, self.name).items():
            before = vars(module).get(name)
            for other in [one for one in sys.modules.values() if name in vars(one) and vars(one)[name] is before]:
                setattr(other, name, value)


def constants(code: CodeType, name: str) -> dict[str, Any]:
    """Execute a module beside the one in use; return its constants, as far as they are plain values."""
    beside = ModuleType(name)
    used, sys.modules[name] = sys.modules[name], beside  # where classes look for their annotations
    try:
        exec(code, vars(beside))
    finally:
        sys.modules[name] = used
    return {key: value for key, value in vars(beside).items() if not key.startswith("__") and is_plain(value)}


def same(code: CodeType, usual: CodeType, name: str) -> bool:
    """Return whether a mutant could be put in place without any difference."""
    try:
        return [*functions_in(code)] == [*functions_in(usual)] and constants(code, name) == constants(usual, name)
    except Exception:  # noqa: BLE001  a module that cannot be imported is different
        return False


def is_plain(value: Any) -> bool:
    if type(value) is dict:
        return all(map(is_plain, [*value, *value.values()]))
    if type(value) in (tuple, list, frozenset, set):
        return all(map(is_plain, value))
    return type(value) in (bool, int, float, str)


def fails(session: Any, durations: dict[str, float]) -> bool:
    """Run the tests up to the first that fails."""
    failed: list[str] = []

    class Watching:
        @staticmethod
        def pytest_runtest_logreport(report: Any) -> None:
            durations[report.nodeid] = durations.get(report.nodeid, 0.0) + report.duration
            if report.failed:
                failed.append(report.nodeid)

    session.config.pluginmanager.register(Watching())
    for place, item in enumerate(session.items):
        after = session.items[place + 1] if place + 1 < len(session.items) else None
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
        if failed:
            return True
    return False


def functions_in(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from functions_in(constant)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", default=list(TESTS), metavar="MODULE")
    parser.add_argument("--only", type=int, metavar="LINE")
    parser.add_argument("--every", type=int, default=1, metavar="N")
    parser.add_argument("--seconds", type=float, default=inf, help="stop a module after so long")
    chosen = parser.parse_args()
    os.chdir(ROOT)
    options = ["--assert=plain", "-p", "no:terminal", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow"]
    for module in chosen.modules:
        if len(chosen.modules) > 1:
            options = ["--every", str(chosen.every), "--seconds", str(chosen.seconds)]
            subprocess.run([sys.executable, __file__, module, *options], check=True)
            continue
        runner = Runner(module, chosen.only, chosen.every, chosen.seconds)
        pytest.main([*options, "--timeout=0", *(f"tests/{test}" for test in TESTS[module].split())], plugins=[runner])
        caught = runner.total - len(runner.survivors)
        print(f"{module}: {caught} of {runner.total} noticed ({caught / max(1, runner.total):.0%})", flush=True)


if __name__ == "__main__":
    main()
