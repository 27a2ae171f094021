"""PYU101 to PYU107: times given to pyupbit, and paging by hand. No I/O."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from upbit_frames.compat.check.names import Module, constant
from upbit_frames.compat.check.report import Report

__all__ = ["argument", "check"]

_ZONED = re.compile(r"(Z|[+-]\d{2}:?\d{2})\s*$")
_DIGITS = re.compile(r"\d{4}")
_NINE = ("9h", "9H", "9 hours", "09:00:00", "9hours")
_NOW = (
    "datetime.datetime.now", "datetime.datetime.today", "pandas.Timestamp.now", "pandas.Timestamp.today",
    "datetime.date.today",
)  # fmt: skip
_NAIVE_MAKERS = (
    "datetime.datetime", "datetime.date", "datetime.datetime.strptime", "datetime.datetime.fromisoformat",
    "datetime.datetime.combine", "datetime.datetime.utcnow", "pandas.Timestamp", "pandas.to_datetime",
    "pandas.date_range", "datetime.datetime.fromtimestamp", "pandas.Timestamp.utcnow", "time.strftime",
)  # fmt: skip
_ORDER = {"get_ohlcv": ("ticker", "interval", "count", "to", "period"),
          "get_ohlcv_from": ("ticker", "interval", "fromDatetime", "to", "period"),
          "get_daily_ohlcv_from_base": ("ticker", "base"),
          "get_current_price": ("ticker", "limit_info", "verbose"),
          "get_orderbook": ("ticker", "limit_info")}  # fmt: skip


def argument(call: ast.Call, function: str, name: str) -> ast.expr | None:
    """Return the argument of a pyupbit call by its name."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    order = _ORDER.get(function, ())
    place = order.index(name) if name in order else -1
    if 0 <= place < len(call.args) and not any(isinstance(item, ast.Starred) for item in call.args[: place + 1]):
        return call.args[place]
    return None


def check(module: Module, report: Report) -> None:
    """Look at every call that takes a time."""
    for call, name in module.calls:
        if name == "get_ohlcv":
            _to(module, report, call)
            _blocks(module, report, call)
        elif name == "get_ohlcv_from":
            begin, end = argument(call, name, "fromDatetime"), argument(call, name, "to")
            if begin is not None and end is not None and all(_naive(module, item) for item in (begin, end)):
                report.add("PYU106", call)


def _to(module: Module, report: Report, call: ast.Call) -> None:
    to = argument(call, "get_ohlcv", "to")
    if to is None or (isinstance(to, ast.Constant) and to.value is None):
        return
    parts = list(module.expanded(to))
    if _stated(module, parts):
        return
    rule = _rule(module, parts)
    if rule is None and _naive(module, to):
        rule = "PYU101"
    if rule is not None:
        report.add(rule, call)


def _rule(module: Module, parts: list[ast.expr]) -> str | None:
    if any(_nine_hours(module, item) for item in parts):
        return "PYU105"
    if any(_from_index(module, item) for item in parts):
        return "PYU103"
    if any(_day_text(module, item) for item in parts):
        return "PYU104"
    if any(_calls(module, item, _NOW) for item in parts):
        return "PYU102"
    return None


def _calls(module: Module, node: ast.AST, names: Iterable[str]) -> bool:
    result = (module.dotted(item.func) for item in ast.walk(node) if isinstance(item, ast.Call))
    return any(name in names for name in result if name)


def _stated(module: Module, parts: list[ast.expr]) -> bool:
    """Return whether any part states a time zone."""
    return any(_states(module, item) for part in parts for item in ast.walk(part))


def _states(module: Module, node: ast.AST) -> bool:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return bool(_DIGITS.match(node.value) and ":" in node.value and _ZONED.search(node.value))
    if isinstance(node, ast.keyword):
        return node.arg in ("tz", "tzinfo", "utc")
    if isinstance(node, ast.Attribute):
        return node.attr in ("tz_localize", "tz_convert", "astimezone", "localize")
    if isinstance(node, ast.Call):
        return module.dotted(node.func) in _NOW and bool(node.args)  # now(timezone.utc)
    if isinstance(node, ast.JoinedStr) and node.values and isinstance(node.values[-1], ast.Constant):
        return bool(re.search(r"(Z|[+-]\d{2}:\d{2})$", str(node.values[-1].value)))
    return False


def _nine_hours(module: Module, node: ast.AST) -> bool:
    """Return whether nine hours are taken off."""
    for item in ast.walk(node):
        if not (isinstance(item, ast.BinOp) and isinstance(item.op, ast.Sub)):
            continue
        for delta in module.expanded(item.right, 2):
            if not isinstance(delta, ast.Call):
                continue
            hours = [constant(keyword.value) for keyword in delta.keywords if keyword.arg == "hours"]
            if 9 in hours or any(constant(value) in _NINE for value in delta.args):
                return True
            if any(constant(value) == 9 for value in delta.args) and "hour" in ast.unparse(delta).lower():
                return True
    return False


def _from_index(module: Module, node: ast.AST) -> bool:
    """Return whether a value of an index goes in: ``df.index[0]``, ``df.index.min()``, ``df.iloc[0].name``."""
    for item in ast.walk(node):
        if isinstance(item, ast.Attribute) and item.attr == "index":
            parent = module.parents.get(item)
            if not (isinstance(parent, ast.Call) and parent.func is item):  # not a list's index()
                return True
        if isinstance(item, ast.Attribute) and item.attr == "name" and "iloc" in ast.unparse(item.value):
            return True
    return False


def _day_text(module: Module, node: ast.AST) -> bool:
    """Return whether a day without a time is written: ``strftime("%Y%m%d")``."""
    for item in ast.walk(node):
        if (
            isinstance(item, ast.Call)
            and isinstance(item.func, ast.Attribute)
            and item.func.attr == "strftime"
            and item.args
        ):
            form = constant(item.args[-1])
            if isinstance(form, str) and _is_day(form):
                return True
        spec = item.format_spec if isinstance(item, ast.FormattedValue) else None
        if spec is not None and _is_day(ast.unparse(spec)):
            return True
    return False


def _is_day(form: str) -> bool:
    return "%d" in form and not any(part in form for part in ("%H", "%I", "%T", "%X", "%c"))


def _naive(module: Module, node: ast.expr) -> bool:
    """Return whether something says that it is a time without a zone."""
    parts = list(module.expanded(node))
    if _stated(module, parts):
        return False
    for part in parts:
        for item in ast.walk(part):
            if isinstance(item, ast.Constant) and isinstance(item.value, str) and _DIGITS.match(item.value):
                return True
            if isinstance(item, ast.JoinedStr):
                return True
            if isinstance(item, ast.Attribute) and item.attr in ("strftime", "isoformat", "to_pydatetime"):
                return True
            if isinstance(item, ast.Call) and module.dotted(item.func) in (*_NAIVE_MAKERS, *_NOW):
                return True
            if isinstance(item, ast.Name):
                iterated = module.bound_by_loop.get((module.scope(item), item.id), [])
                if any(_naive(module, each) for each in iterated if each is not node):
                    return True
    return _from_index(module, node)


def _blocks(module: Module, report: Report, call: ast.Call) -> None:
    """Return a for-loop that reads blocks of 200."""
    loops = [item for item in module.loops(call) if isinstance(item, ast.For | ast.AsyncFor)]
    if not loops:
        return
    count = argument(call, "get_ohlcv", "count")
    counts = {constant(item) for item in module.expanded(count)} if count is not None else set()
    to = argument(call, "get_ohlcv", "to")
    if 200 not in counts or _uses_target(argument(call, "get_ohlcv", "ticker"), loops[0]):
        return
    ranged = isinstance(loops[0].iter, ast.Call) and ast.unparse(loops[0].iter.func) in ("range", "reversed", "tqdm")
    if to is None:
        paged = ranged
    else:
        parts = list(module.expanded(to))
        if _rule(module, parts) == "PYU103":
            return
        changed = any(_uses_target(item, loops[0]) for item in parts) or _assigned_in(to, loops[0])
        paged = changed
    if paged:
        report.add("PYU107", call)


def _uses_target(node: ast.expr | None, loop: ast.For | ast.AsyncFor) -> bool:
    if node is None:
        return False
    names = {item.id for item in ast.walk(loop.target) if isinstance(item, ast.Name)}
    return any(isinstance(item, ast.Name) and item.id in names for item in ast.walk(node))


def _assigned_in(node: ast.expr, loop: ast.For | ast.AsyncFor) -> bool:
    names = {item.id for item in ast.walk(node) if isinstance(item, ast.Name)}
    return any(
        isinstance(item, ast.Name) and isinstance(item.ctx, ast.Store) and item.id in names for item in ast.walk(loop)
    )
