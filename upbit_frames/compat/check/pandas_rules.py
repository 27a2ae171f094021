"""PYU401 and PYU402: what pandas 3 reads differently, or has no more. No I/O."""

from __future__ import annotations

import ast
import re

from upbit_frames.compat.check.names import Module, constant
from upbit_frames.compat.check.report import Report

__all__ = ["check"]

_FREQUENCY = re.compile(r"(-?\d*)([A-Z]{1,2})(-[A-Z]{3})?")
_UNITS = {
    "H": "h", "T": "min", "S": "s", "L": "ms", "U": "us", "N": "ns", "M": "ME", "Q": "QE", "Y": "YE", "A": "YE",
    "BM": "BME", "BQ": "BQE", "BY": "BYE", "BA": "BYE", "BH": "bh",
}  # fmt: skip
_ENDS = ("M", "Q", "Y", "A", "BM", "BQ", "BY", "BA")  # of periods; a period itself keeps its name
_TAKES_FREQUENCY = ("resample", "asfreq", "floor", "ceil", "round", "rolling", "date_range", "Grouper", "Timedelta",
                    "to_timedelta", "timedelta_range", "shift", "interval_range")  # fmt: skip
_METHODS = {"ffill": "ffill", "pad": "ffill", "bfill": "bfill", "backfill": "bfill"}


def check(module: Module, report: Report) -> None:
    """Look at every expression that handles frames."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Subscript):
            _by_place(module, report, node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            _call(module, report, node, node.func)
        elif isinstance(node, ast.Assign):
            _chained(module, report, node)


def _by_place(module: Module, report: Report, node: ast.Subscript) -> None:
    """Report ``df["close"][-1]``."""
    key = constant(node.slice)
    if not isinstance(node.ctx, ast.Load) or isinstance(key, bool) or not isinstance(key, int) or key >= 0:
        return
    if module.kind(node.value) == "series":
        edit = report.edit(node, f"{_held(report, node.value)}.iloc[{report.text(node.slice)}]")
        report.add("PYU401", node, after=f".iloc[{key}]", edits=(edit,))


def _held(report: Report, node: ast.expr) -> str:
    """Return the source of what a dot follows."""
    text = report.text(node)
    return f"({text})" if isinstance(node, ast.BinOp | ast.IfExp | ast.UnaryOp) else text


def _call(module: Module, report: Report, node: ast.Call, function: ast.Attribute) -> None:
    name = function.attr
    if name in _TAKES_FREQUENCY:
        _frequencies(module, report, node, name)
    if name == "resample":
        _base(report, node)
    if name == "append" and len(node.args) == 1:
        _append(module, report, node, function)
    if name == "fillna" and module.kind(function.value) in ("frame", "series"):
        _fillna(report, node, function)


def _frequencies(module: Module, report: Report, node: ast.Call, name: str) -> None:
    if name in ("floor", "ceil", "round", "rolling", "shift") and (module.dotted(node.func) or "").startswith(
        ("math", "numpy")
    ):
        return
    values = [
        *node.args,
        *(item.value for item in node.keywords if item.arg in ("rule", "freq", "window", "offset", "unit")),
    ]
    for value in values:
        old = constant(value)
        new = _new_frequency(old) if isinstance(old, str) else None
        if new is None or not isinstance(value, ast.Constant):
            continue
        if name in ("Timedelta", "to_timedelta", "timedelta_range", "floor", "ceil", "round") and new[-1:].isupper():
            continue  # months and years are no such lengths
        spelt = report.text(value)
        quoted = spelt.replace(str(old), new) if str(old) in spelt else repr(new)
        report.add("PYU402", value, detail=spelt, after=quoted, edits=(report.edit(value, quoted),))


def _new_frequency(text: str) -> str | None:
    match = _FREQUENCY.fullmatch(text)
    if match is None or match[2] not in _UNITS:
        return None
    return f"{match[1]}{_UNITS[match[2]]}{match[3] or ''}"


def _base(report: Report, node: ast.Call) -> None:
    """Report ``resample("24H", base=9)``."""
    base = next((item for item in node.keywords if item.arg == "base"), None)
    if base is None:
        return
    value = constant(base.value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        offset = f'"{value}h"'
    else:
        offset = f'f"{{{ast.unparse(base.value)}}}h"'
    rule = constant(node.args[0]) if node.args else None
    hours = isinstance(rule, str) and re.fullmatch(r"\d*[HhD]", rule) is not None
    parts = [report.text(item) for item in node.args]
    for item in node.keywords:
        parts.append(
            f"offset={offset}"
            if item is base
            else f"{item.arg}={report.text(item.value)}"
            if item.arg
            else f"**{report.text(item.value)}"
        )
    if node.args and isinstance(rule, str) and _new_frequency(rule):
        parts[0] = parts[0].replace(rule, _new_frequency(rule) or rule)
    text = f"{report.text(node.func)}({', '.join(parts)})"
    report.add(
        "PYU402", node, detail="base=", after=f"offset={offset}", edits=(report.edit(node, text),) if hours else ()
    )


def _append(module: Module, report: Report, node: ast.Call, function: ast.Attribute) -> None:
    """Report ``df.append(other)``, unless it is a list's."""
    if module.kind(function.value) not in ("frame", "series"):
        return
    if isinstance(module.parents.get(node), ast.Expr):
        return  # its result is not used, so it is hardly a frame
    pandas = next((name for name, home in module.aliases.items() if home == "pandas"), None)
    other = report.text(node.args[0])
    if isinstance(node.args[0], ast.Dict) and pandas:
        other = f"{pandas}.DataFrame([{other}])"
    listed = f"[{report.text(function.value)}, {other}]"
    if isinstance(node.args[0], ast.List):
        listed = f"[{report.text(function.value)}, *{other}]"
    extra = "".join(f", {item.arg}={report.text(item.value)}" for item in node.keywords if item.arg)
    text = f"{pandas or 'pd'}.concat({listed}{extra})"
    report.add("PYU402", node, detail=".append", after=text, edits=(report.edit(node, text),) if pandas else ())


def _fillna(report: Report, node: ast.Call, function: ast.Attribute) -> None:
    """Report ``fillna(method="ffill")``."""
    method = next((item for item in node.keywords if item.arg == "method"), None)
    if method is None:
        return
    name = _METHODS.get(str(constant(method.value)))
    rest = [f"{item.arg}={report.text(item.value)}" for item in node.keywords if item is not method and item.arg]
    text = f"{report.text(function.value)}.{name}({', '.join(rest)})"
    fits = name is not None and not node.args
    report.add(
        "PYU402",
        node,
        detail="fillna(method=)",
        after=f".{name or 'ffill'}()",
        edits=(report.edit(node, text),) if fits else (),
    )


def _chained(module: Module, report: Report, node: ast.Assign) -> None:
    """Report ``df["a"][key] = value`` and ``df["a"].iloc[key] = value``, which change a copy."""
    for target in node.targets:
        if not isinstance(target, ast.Subscript):
            continue
        inner: ast.expr = target.value
        way = inner.attr if isinstance(inner, ast.Attribute) and inner.attr in ("iloc", "loc") else ""
        if isinstance(inner, ast.Attribute) and way:
            inner = inner.value
        if not isinstance(inner, ast.Subscript) or module.kind(inner.value) != "frame":
            continue
        if not isinstance(constant(inner.slice), str):
            continue
        frame, key, spelt = report.text(inner.value), report.text(target.slice), report.text(inner.slice)
        place = constant(target.slice)
        number = isinstance(place, int) and not isinstance(place, bool)
        if way == "iloc" or (number and way == ""):
            text = f"{frame}.iloc[{key}, {frame}.columns.get_loc({spelt})]"
        else:
            text = f"{frame}.loc[{key}, {spelt}]"
        plain = isinstance(target.slice, ast.Compare | ast.BinOp | ast.UnaryOp | ast.Constant)
        edits = (report.edit(target, text),) if plain or way else ()
        report.add("PYU402", target, detail="chained assignment", after=f"{text} = …", edits=edits)
