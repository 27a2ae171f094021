"""PYU301 to PYU306: sleeping, looping, keeping and polling by hand. No I/O."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from upbit_frames.compat.check.moments import argument
from upbit_frames.compat.check.names import FRAMES, Module, constant
from upbit_frames.compat.check.report import Report

__all__ = ["check"]

_MINUTES = {1: "1m", 3: "3m", 5: "5m", 10: "10m", 15: "15m", 30: "30m", 60: "1h", 240: "4h"}
_NEW_NAMES = {f"minute{s}{unit}": name for unit, name in _MINUTES.items() for s in ("", "s")}
_SAME_NAMES = ("day", "days", "week", "weeks", "month", "months")  # understood by uf.candles too
_PRICES = ("get_current_price", "get_orderbook")
Loop = ast.For | ast.AsyncFor | ast.While


def check(module: Module, report: Report) -> None:
    """Look at what is done around the calls."""
    _sleeps(module, report)
    for call, name in module.calls:
        if name in (*FRAMES, *_PRICES):
            _per_market(module, report, call, name)
        if name in _PRICES and any(_endless(item) for item in module.loops(call)):
            report.add("PYU304", call)
        if name in ("WebSocketManager", "WebSocketClient"):
            report.add("PYU305", call)
        if name in ("get_ohlcv", "get_ohlcv_from"):
            _interval(module, report, call, name)
    _polled(module, report)
    _files(module, report)


# --- 301: sleeping beside a call -------------------------------------------------------------------------


def _sleeps(module: Module, report: Report) -> None:
    for node in ast.walk(module.tree):
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
            continue
        if module.dotted(node.value.func) != "time.sleep" or len(node.value.args) != 1:
            continue
        seconds = [constant(item) for item in module.expanded(node.value.args[0])]
        short = [item for item in seconds if isinstance(item, int | float)]
        if len(short) != 1 or not 0 < short[0] <= 1 or not _beside(module, node):
            continue
        loops = module.loops(node)
        paces = bool(loops) and _endless(loops[0])
        report.add("PYU301", node, edits=() if paces else (report.edit(node, kind="drop", drop_in=True),))


def _beside(module: Module, node: ast.stmt) -> bool:
    """Return whether a call stands in the same block, or in the same loop."""
    loops = module.loops(node)
    near: list[ast.stmt] = list(loops[0].body) if loops else _neighbours(module, node)
    inside = {item for statement in near for item in ast.walk(statement)}
    names = {
        name
        for name in module.functions
        if any(call in set(ast.walk(module.functions[name])) for call, _ in module.calls)
    }
    through = any(
        isinstance(item, ast.Call) and isinstance(item.func, ast.Name) and item.func.id in names for item in inside
    )
    return through or any(call in inside and name not in ("get_tick_size",) for call, name in module.calls)


def _neighbours(module: Module, node: ast.stmt) -> list[ast.stmt]:
    """Return the statements before and behind it."""
    parent = module.parents.get(node)
    for _, block in ast.iter_fields(parent) if parent is not None else ():
        if isinstance(block, list) and node in block:
            block = [item for item in block if item is node or not isinstance(item, ast.Pass)]  # a masked magic
            place = block.index(node)
            return block[max(0, place - 1) : place + 2]
    return [node]


def _endless(loop: Loop) -> bool:
    return isinstance(loop, ast.While) and isinstance(loop.test, ast.Constant) and bool(loop.test.value)


# --- 302: one call a market ------------------------------------------------------------------------------


def _per_market(module: Module, report: Report, call: ast.Call, name: str) -> None:
    ticker = argument(call, name, "ticker")
    if ticker is None:
        return
    if _varies(module, call, ticker):
        report.add("PYU302", call)
        return
    function = module.scope(call)
    if not (isinstance(ticker, ast.Name) and isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)):
        return
    parameters = [item.arg for item in (*function.args.posonlyargs, *function.args.args)]
    if ticker.id not in parameters or parameters[0] == "self":
        return
    place = parameters.index(ticker.id)
    for node in ast.walk(module.tree):  # a function of the file that reads one market, called for each
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function.name):
            continue
        given = [item.value for item in node.keywords if item.arg == ticker.id] or node.args[place : place + 1]
        if given and _varies(module, node, given[0]):
            report.add("PYU302", node)


def _varies(module: Module, call: ast.Call, ticker: ast.expr) -> bool:
    """Return whether the market of a call is what a loop around it goes through."""
    used = {item.id for item in ast.walk(ticker) if isinstance(item, ast.Name)}
    return any(used & targets for targets in _loop_targets(module, call))


def _loop_targets(module: Module, call: ast.Call) -> Iterator[set[str]]:
    for item in module.ancestors(call):
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
            return
        if isinstance(item, ast.For | ast.AsyncFor):
            yield _names(item.target)
        elif isinstance(item, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            yield {name for each in item.generators for name in _names(each.target)}


def _names(target: ast.expr) -> set[str]:
    return {item.id for item in ast.walk(target) if isinstance(item, ast.Name)}


# --- 304: polling -----------------------------------------------------------------------------------------


def _polled(module: Module, report: Report) -> None:
    """Return a function of the file that reads prices, called in an endless loop."""
    reading = {
        scope.name
        for call, name in module.calls
        if name in _PRICES and isinstance(scope := module.scope(call), ast.FunctionDef | ast.AsyncFunctionDef)
    }
    for node in ast.walk(module.tree):
        called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else None
        if isinstance(node, ast.Call) and called in reading and any(_endless(item) for item in module.loops(node)):
            report.add("PYU304", node)


# --- 303: files by hand ----------------------------------------------------------------------------------


def _files(module: Module, report: Report) -> None:
    if not any(name in FRAMES for _, name in module.calls):
        return
    written, read, looked = [], [], []
    for node in ast.walk(module.tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        name = module.dotted(node.func) or node.func.attr
        if node.func.attr in ("to_csv", "to_excel", "to_pickle", "to_parquet"):
            written.append(node)
        elif name in ("pandas.read_csv", "pandas.read_excel", "pandas.read_pickle", "pandas.read_parquet"):
            read.append(node)
        elif name in ("os.path.exists", "os.path.isfile") and node.args:
            looked.append((node, ast.dump(node.args[0])))
        elif node.func.attr in ("exists", "is_file"):
            looked.append((node, ast.dump(node.func.value)))
    files = {ast.dump(item.args[0]) for item in written if item.args}
    by_hand = read or [node for node, file in looked if file in files]
    if written and by_hand:
        report.add("PYU303", by_hand[0])


# --- 306: names of intervals -----------------------------------------------------------------------------


def _interval(module: Module, report: Report, call: ast.Call, name: str) -> None:
    interval = argument(call, name, "interval")
    if interval is None:
        return
    for item in [*module.expanded(interval), *_listed(module, interval)]:
        value = constant(item)
        if isinstance(item, ast.BinOp | ast.JoinedStr):
            return
        if not isinstance(value, str) or value in _SAME_NAMES:
            continue
        if value in _NEW_NAMES:
            report.add("PYU306", call, detail=f'"{value}"', after=f'uf.candles(t, "{_NEW_NAMES[value]}")')
        else:
            report.add("PYU306", call, detail=f'pyupbit does not know "{value}": this was the daily candle')
        return


def _listed(module: Module, interval: ast.expr) -> list[ast.expr]:
    """Return the values of a list that a loop takes the interval from."""
    if not isinstance(interval, ast.Name):
        return []
    iterated = module.bound_by_loop.get((module.scope(interval), interval.id), [])
    return [value for each in iterated if isinstance(each, ast.List | ast.Tuple) for value in each.elts]
