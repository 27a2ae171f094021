"""PYU201 to PYU205: what is done with results and errors. No I/O."""

from __future__ import annotations

import ast

from upbit_frames.compat.check.model import Edit
from upbit_frames.compat.check.moments import argument
from upbit_frames.compat.check.names import FRAMES, Module, constant
from upbit_frames.compat.check.report import Report

__all__ = ["check"]


def check(module: Module, report: Report) -> None:
    """Look at every result, and at the errors around the calls."""
    for call, name in module.calls:
        if name in FRAMES and not _repeated(module, report, call):
            _untested(module, report, call)
        elif name == "get_orderbook":
            _old_keyword(report, call)
    _subscripts(module, report)
    _swallowed(module, report)


# --- 202: repeated until there is something ------------------------------------------------------------


def _repeated(module: Module, report: Report, call: ast.Call) -> bool:
    """Return whether the call stands in a loop that waits for anything but None."""
    for loop in module.loops(call):
        if not isinstance(loop, ast.While):
            continue
        name = _is_none(loop.test)
        statement = module.statement(call)
        names = _targets(statement)
        if name is not None and name in names:
            report.add(
                "PYU202",
                call,
                edits=(_single(module, report, loop, statement),) if _plain(module, loop, statement) else (),
            )
            return True
        if constant(loop.test) in (True, 1) and any(_leaves(item, names) for item in loop.body):
            report.add("PYU202", call)
            return True
    return False


def _is_none(test: ast.expr) -> str | None:
    """Return the name of ``name is None``, also as one of several conditions."""
    if isinstance(test, ast.BoolOp):
        return next((name for name in map(_is_none, test.values) if name), None)
    if not (isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and len(test.ops) == 1):
        return None
    other = test.comparators[0]
    none = isinstance(other, ast.Constant) and other.value is None
    return test.left.id if none and isinstance(test.ops[0], ast.Is | ast.Eq) else None


def _targets(statement: ast.stmt) -> set[str]:
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    return {item.id for item in targets if isinstance(item, ast.Name)}


def _leaves(statement: ast.stmt, names: set[str]) -> bool:
    """Return whether it is ``if df is not None: break``."""
    return (
        isinstance(statement, ast.If)
        and isinstance(statement.test, ast.Compare)
        and isinstance(statement.test.left, ast.Name)
        and statement.test.left.id in names
        and isinstance(statement.test.ops[0], ast.IsNot | ast.NotEq)
        and constant(statement.test.comparators[0]) is None
        and any(isinstance(item, ast.Break) for item in statement.body)
    )


def _plain(module: Module, loop: ast.While, statement: ast.stmt) -> bool:
    """Return whether the loop does nothing but call, and sleep."""
    others = [item for item in loop.body if item is not statement]
    sleeps = all(
        isinstance(item, ast.Expr)
        and isinstance(item.value, ast.Call)
        and module.dotted(item.value.func) == "time.sleep"
        for item in others
    )
    return statement in loop.body and sleeps and not loop.orelse and isinstance(loop.test, ast.Compare)


def _single(module: Module, report: Report, loop: ast.While, statement: ast.stmt) -> Edit:
    """Return the loop becomes the call, or nothing where the same call stands before it."""
    before = _previous(module, loop)
    same = before is not None and ast.dump(before) == ast.dump(statement)
    return report.edit(loop, kind="loop", keep=None if same else statement, drop_in=True)


def _previous(module: Module, node: ast.stmt) -> ast.stmt | None:
    parent = module.parents.get(node)
    for _, block in ast.iter_fields(parent) if parent is not None else ():
        if isinstance(block, list) and node in block:
            place = block.index(node)
            return block[place - 1] if place else None
    return None


# --- 201: used without a test ----------------------------------------------------------------------------


def _untested(module: Module, report: Report, call: ast.Call) -> None:
    parent = module.parents.get(call)
    if isinstance(parent, ast.Attribute | ast.Subscript) and getattr(parent, "value", None) is call:
        report.add("PYU201", call)
        return
    if not (isinstance(parent, ast.Assign) and len(parent.targets) == 1 and isinstance(parent.targets[0], ast.Name)):
        return
    name, scope = parent.targets[0].id, module.scope(call)
    loads = [
        node for node in ast.walk(scope)
        if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load)
        and (isinstance(scope, ast.Module) or module.scope(node) is scope)
    ]  # fmt: skip
    if any(_tests(module, item) for item in loads):
        return
    if any(_uses(module, item) for item in loads):
        report.add("PYU201", call, detail=name)


def _tests(module: Module, node: ast.Name) -> bool:
    parent = module.parents.get(node)
    if isinstance(parent, ast.Compare):
        sides = [parent.left, *parent.comparators]
        return any(isinstance(item, ast.Constant) and item.value is None for item in sides)
    if isinstance(parent, ast.Call) and node in parent.args and isinstance(parent.func, ast.Name):
        return parent.func.id in ("isinstance", "type", "callable")
    return isinstance(parent, ast.If | ast.While | ast.Assert) and parent.test is node


def _uses(module: Module, node: ast.Name) -> bool:
    parent = module.parents.get(node)
    if isinstance(parent, ast.Attribute | ast.Subscript | ast.BinOp | ast.Compare | ast.For | ast.Starred):
        return True
    if isinstance(parent, ast.Call):
        return not (isinstance(parent.func, ast.Name) and parent.func.id in ("print", "repr", "str", "type", "display"))
    return isinstance(parent, ast.List | ast.Tuple)


# --- 203 and 204: shapes that changed --------------------------------------------------------------------


def _old_keyword(report: Report, call: ast.Call) -> None:
    for keyword in call.keywords:
        if keyword.arg == "tickers":
            function, rest = report.text(call.func), [report.text(item) for item in call.args]
            rest += [
                f"{'ticker' if item is keyword else item.arg}={report.text(item.value)}"
                if item.arg
                else f"**{report.text(item.value)}"
                for item in call.keywords
            ]
            report.add("PYU203", call, edits=(report.edit(call, f"{function}({', '.join(rest)})"),))


def _subscripts(module: Module, report: Report) -> None:
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Subscript) or not isinstance(node.ctx, ast.Load):
            continue
        key = constant(node.slice)
        if key == 0 and not isinstance(key, bool) and _calls_of(module, node.value, "get_orderbook", _one_book):
            edits = (report.edit(node, report.text(node.value)),)
            report.add("PYU203", node, edits=edits)
        elif isinstance(key, str) and _calls_of(module, node.value, "get_current_price", _verbose):
            report.add("PYU204", node)


def _calls_of(module: Module, node: ast.expr, name: str, fits: object) -> bool:
    """Return whether it is a call of that function, or a name for nothing but such calls."""
    assert callable(fits)
    values = module.values(node) if isinstance(node, ast.Name) else [node]
    return bool(values) and all(
        isinstance(item, ast.Call) and module.pyupbit(item.func) == name and fits(module, item) for item in values
    )


def _one_book(module: Module, call: ast.Call) -> bool:
    """Return whether it reads one market: no list of several, and no pair with the limit."""
    if any(item.arg == "limit_info" for item in call.keywords):
        return False
    ticker = argument(call, "get_orderbook", "ticker")
    if ticker is None:
        ticker = next((item.value for item in call.keywords if item.arg == "tickers"), None)
    for item in module.expanded(ticker) if ticker is not None else ():
        if isinstance(item, ast.List | ast.Tuple | ast.Set) and len(item.elts) != 1:
            return False
        if isinstance(item, ast.ListComp | ast.Slice):
            return False
        if isinstance(item, ast.Call) and module.pyupbit(item.func) == "get_tickers" and not _item(module, item):
            return False
    return True


def _item(module: Module, node: ast.expr) -> bool:
    parent = module.parents.get(node)
    return isinstance(parent, ast.Subscript) and not isinstance(parent.slice, ast.Slice)


def _verbose(module: Module, call: ast.Call) -> bool:
    value = argument(call, "get_current_price", "verbose")
    return value is not None and constant(value) is True


# --- 205: swallowed errors -------------------------------------------------------------------------------


def _swallowed(module: Module, report: Report) -> None:
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Try):
            continue
        inside = {item for statement in node.body for item in ast.walk(statement)}
        if not any(call in inside for call, _ in module.calls):
            continue
        for handler in node.handlers:
            if _catches_all(handler) and all(_silent(module, item, handler.name) for item in handler.body):
                report.add("PYU205", handler)


def _catches_all(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(
        item is None or (isinstance(item, ast.Name) and item.id in ("Exception", "BaseException")) for item in kinds
    )


def _silent(module: Module, node: ast.stmt, error: str | None) -> bool:
    """Return whether a statement says nothing of the error."""
    if error is not None and any(isinstance(item, ast.Name) and item.id == error for item in ast.walk(node)):
        return False
    if isinstance(node, ast.Pass | ast.Continue | ast.Break):
        return True
    if isinstance(node, ast.Return):
        return node.value is None or isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Assign):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Expr):
        if isinstance(node.value, ast.Constant):
            return True
        if isinstance(node.value, ast.Call):
            name = module.dotted(node.value.func) or ast.unparse(node.value.func)
            return name in ("time.sleep", "print")
    return False
