"""What the names of a module mean: imports, assignments, scopes, and which are frames or series. No I/O."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator

__all__ = ["FRAMES", "Module", "constant"]

FRAMES = ("get_ohlcv", "get_ohlcv_from", "get_daily_ohlcv_from_base")
CALLS = (*FRAMES, "get_current_price", "get_orderbook", "get_tickers", "get_tick_size")
_HOMES = ("upbit_frames.compat.pyupbit.", "pyupbit.")
_PARTS = ("quotation_api.", "websocket_api.", "exchange_api.", "errors.")
COLUMNS = ("open", "high", "low", "close", "volume", "value")
_TO_SERIES = {
    "shift", "diff", "pct_change", "cumprod", "cumsum", "cummax", "cummin", "abs", "round", "fillna", "ffill", "bfill",
    "dropna", "astype", "rank", "clip", "replace", "apply", "map", "copy", "sort_values", "sort_index", "squeeze",
    "interpolate", "where", "mask", "add", "sub", "mul", "div", "tail", "head",
}  # fmt: skip
_WINDOWS = {"rolling", "ewm", "expanding", "resample"}
_AGGREGATES = {
    "mean",
    "std",
    "sum",
    "max",
    "min",
    "var",
    "median",
    "first",
    "last",
    "count",
    "agg",
    "apply",
    "quantile",
}
_TO_FRAME = {
    "copy", "dropna", "fillna", "ffill", "bfill", "sort_index", "sort_values", "reset_index", "set_index", "rename",
    "assign", "tail", "head", "drop", "drop_duplicates", "join", "merge", "append", "loc", "iloc", "query", "iterrows",
}  # fmt: skip
_FRAME_MAKERS = {
    "pandas.read_csv",
    "pandas.read_excel",
    "pandas.read_parquet",
    "pandas.DataFrame",
    "pandas.concat",
    "pandas.merge",
}
_SELF = "itself"  # df = df.dropna() says nothing of what df is
Scope = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def constant(node: ast.AST | None) -> object:
    """Return the value of a constant, also of a negative number; None otherwise."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        value = node.operand.value
        return -value if isinstance(value, int | float) else None
    return None


def _nothing(node: ast.expr) -> bool:
    """Return whether an assigned value says nothing of a name's kind: None, and what ``+=`` adds."""
    if isinstance(node, ast.BinOp):
        node = node.left
    return isinstance(node, ast.Constant) and node.value is None


def _is_self(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "self"


class Module:
    """A parsed module and what its names mean.

    Parameters
    ----------
    tree : ast.Module

    Attributes
    ----------
    calls : list of (ast.Call, str)
        Calls of pyupbit's functions and classes by their names.
    """

    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree
        self.parents: dict[ast.AST, ast.AST] = {}
        for node in ast.walk(tree):
            for child in ast.iter_child_nodes(node):
                self.parents[child] = node
        self.aliases: dict[str, str] = {}
        self._open: set[tuple[Scope, str]] = set()  # names being resolved
        self._imports()
        self.functions = {
            node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        self.assigned: dict[tuple[Scope, str], list[ast.expr]] = defaultdict(list)
        self.bound_by_loop: dict[tuple[Scope, str], list[ast.expr]] = defaultdict(list)
        self.of_self: dict[str, list[ast.expr]] = defaultdict(list)
        self._assignments()
        self._arguments()
        self.calls = [
            (node, name)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            for name in [self.pyupbit(node.func)]
            if name
        ]
        self.calls.sort(key=lambda item: (item[0].lineno, item[0].col_offset))

    # --- imports -------------------------------------------------------------------------------------

    def _imports(self) -> None:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for item in node.names:
                    self.aliases[item.asname or item.name.partition(".")[0]] = (
                        item.name if item.asname else item.name.partition(".")[0]
                    )
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for item in node.names:
                    if item.name == "*":
                        if f"{node.module}." in _HOMES or node.module.startswith(
                            ("pyupbit.", "upbit_frames.compat.pyupbit.")
                        ):
                            self.aliases.update(
                                {name: f"pyupbit.{name}" for name in (*CALLS, "WebSocketManager", "Upbit")}
                            )
                        continue
                    self.aliases[item.asname or item.name] = f"{node.module}.{item.name}"
        for node in ast.walk(self.tree):  # get = pyupbit.get_ohlcv
            if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
                dotted = self.dotted(node.value)
                if dotted and dotted.startswith(_HOMES) and node.targets[0].id not in self.aliases:
                    self.aliases[node.targets[0].id] = dotted

    @property
    def uses_pyupbit(self) -> bool:
        """Whether pyupbit or the drop-in is imported."""
        return any(f"{name}.".startswith(_HOMES) for name in self.aliases.values()) or any(
            (self.dotted(node) or "").startswith(_HOMES)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Attribute)
        )

    def dotted(self, node: ast.AST | None) -> str | None:
        """Return the full dotted name of what was imported: ``datetime.datetime.now``."""
        if isinstance(node, ast.Name):
            return self.aliases.get(node.id)
        if isinstance(node, ast.Attribute):
            base = self.dotted(node.value)
            return None if base is None else f"{base}.{node.attr}"
        return None

    def pyupbit(self, node: ast.AST) -> str | None:
        """Return the name of a function or class of pyupbit."""
        name = self.dotted(node)
        if name is None:
            return None
        for home in _HOMES:
            if name.startswith(home):
                rest = name.removeprefix(home)
                for part in _PARTS:
                    rest = rest.removeprefix(part)
                return rest
        return None

    # --- scopes and assignments ----------------------------------------------------------------------

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        """Return the nodes around it, from the inside out."""
        while node in self.parents:
            node = self.parents[node]
            yield node

    def scope(self, node: ast.AST) -> Scope:
        """Return the function it is in, or the module."""
        for item in self.ancestors(node):
            if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.Module):
                return item
        return self.tree

    def loops(self, node: ast.AST) -> list[ast.For | ast.AsyncFor | ast.While]:
        """Return the loops around it within its function, from the inside out."""
        result: list[ast.For | ast.AsyncFor | ast.While] = []
        for item in self.ancestors(node):
            if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                break
            if isinstance(item, ast.For | ast.AsyncFor | ast.While):
                result.append(item)
        return result

    def statement(self, node: ast.AST) -> ast.stmt:
        """Return the statement it is part of."""
        if isinstance(node, ast.stmt):
            return node
        return next(item for item in self.ancestors(node) if isinstance(item, ast.stmt))

    def _assignments(self) -> None:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    self._bind(target, node.value, node)
            elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None:
                self._bind(node.target, node.value, node)
            elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                value = ast.BinOp(left=ast.Constant(None), op=node.op, right=node.value)
                self.parents[value] = node
                self.assigned[self.scope(node), node.target.id].append(value)
            elif isinstance(node, ast.For | ast.AsyncFor):
                for name in ast.walk(node.target):
                    if isinstance(name, ast.Name):
                        self.bound_by_loop[self.scope(node), name.id].append(node.iter)

    def _bind(self, target: ast.expr, value: ast.expr, where: ast.AST) -> None:
        if isinstance(target, ast.Name):
            self.assigned[self.scope(where), target.id].append(value)
        elif isinstance(target, ast.Attribute) and _is_self(target):
            self.of_self[target.attr].append(value)
        elif isinstance(target, ast.Tuple | ast.List) and isinstance(value, ast.Tuple | ast.List):
            for left, right in zip(target.elts, value.elts, strict=False):
                self._bind(left, right, where)

    def _arguments(self) -> None:
        """Return what is passed to the functions of the file counts as assigned to their parameters."""
        for node in ast.walk(self.tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            function = self.functions.get(node.func.id)
            if function is None:
                continue
            names = [item.arg for item in (*function.args.posonlyargs, *function.args.args)]
            for name, value in zip(names, node.args, strict=False):
                self.assigned[function, name].append(value)
            for keyword in node.keywords:
                if keyword.arg:
                    self.assigned[function, keyword.arg].append(keyword.value)

    def values(self, name: ast.Name) -> list[ast.expr]:
        """Return what is assigned to a name in its scope, or in the module."""
        scope = self.scope(name)
        result = self.assigned.get((scope, name.id))
        if result is None and not self.bound_by_loop.get((scope, name.id)):
            result = self.assigned.get((self.tree, name.id))
        return result or []

    def expanded(self, node: ast.expr, depth: int = 4) -> Iterator[ast.expr]:
        """Return the expression and everything its names stand for."""
        yield node
        if depth:
            for part in ast.walk(node):
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load):
                    for value in self.values(part):
                        if value is not node:
                            yield from self.expanded(value, depth - 1)

    # --- frames and series ---------------------------------------------------------------------------

    def kind(self, node: ast.AST | None, depth: int = 6) -> str:
        """Return ``frame``, ``series``, ``window``, or an empty text for anything else."""
        if node is None or depth == 0:
            return ""
        if isinstance(node, ast.Name):
            return self._name_kind(node, depth)
        if isinstance(node, ast.Call):
            return self._call_kind(node, depth)
        if isinstance(node, ast.Subscript):
            return self._item_kind(node, depth)
        if isinstance(node, ast.Attribute):
            if node.attr in COLUMNS and self.kind(node.value, depth - 1) == "frame":
                return "series"
            kinds = (
                {self.kind(item, depth - 1) for item in self.of_self.get(node.attr, ())} if _is_self(node) else set()
            )
            return kinds.pop() if len(kinds) == 1 else ""
        if isinstance(node, ast.BinOp):
            kinds = {self.kind(node.left, depth - 1), self.kind(node.right, depth - 1)}
            return "series" if "series" in kinds else "frame" if "frame" in kinds else ""
        if isinstance(node, ast.IfExp):
            return self.kind(node.body, depth - 1) or self.kind(node.orelse, depth - 1)
        return ""

    def _name_kind(self, node: ast.Name, depth: int) -> str:
        scope = self.scope(node)
        if (scope, node.id) in self._open:
            return _SELF
        values = [item for item in self.values(node) if not _nothing(item)]
        self._open.add((scope, node.id))
        try:
            kinds = {self.kind(item, depth - 1) for item in values} - {_SELF}
        finally:
            self._open.discard((scope, node.id))
        if kinds:
            return kinds.pop() if len(kinds) == 1 else ""
        named = [item.arg for item in scope.args.args] if not isinstance(scope, ast.Module) else []
        return "frame" if node.id in named and (node.id == "df" or node.id.startswith("df_")) else ""

    def _call_kind(self, node: ast.Call, depth: int) -> str:
        name = self.pyupbit(node.func)
        if name is not None:
            return "frame" if name in FRAMES else ""
        dotted = self.dotted(node.func)
        if dotted in _FRAME_MAKERS:
            return "frame"
        if dotted == "pandas.Series":
            return "series"
        if isinstance(node.func, ast.Name) and node.func.id in self.functions:
            function = self.functions[node.func.id]
            returned = [
                item.value for item in ast.walk(function)
                if isinstance(item, ast.Return) and item.value is not None and self.scope(item) is function
                and not (isinstance(item.value, ast.Constant) and item.value.value is None)
            ]  # fmt: skip
            kinds = {self.kind(item, depth - 1) for item in returned}
            return kinds.pop() if len(kinds) == 1 else ""
        if not isinstance(node.func, ast.Attribute):
            return ""
        base, method = self.kind(node.func.value, depth - 1), node.func.attr
        if base == _SELF:
            return _SELF
        if base == "window":
            return self._window_kind(node.func.value, method, depth)
        if base in ("series", "frame") and method in _WINDOWS:
            return "window"
        if base == "series":
            return "series" if method in _TO_SERIES else ""
        return "frame" if base == "frame" and method in _TO_FRAME | _TO_SERIES else ""

    def _window_kind(self, window: ast.expr, method: str, depth: int) -> str:
        if method not in _AGGREGATES:
            return ""
        inner = window
        while isinstance(inner, ast.Subscript):
            return "series"
        assert isinstance(inner, ast.Call | ast.Name)
        if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute):
            return self.kind(inner.func.value, depth - 1)
        return ""

    def _item_kind(self, node: ast.Subscript, depth: int) -> str:
        key = constant(node.slice)
        if isinstance(node.value, ast.Attribute) and node.value.attr in ("iloc", "loc"):
            base = self.kind(node.value.value, depth - 1)
            return base if isinstance(node.slice, ast.Slice) else ""
        base = self.kind(node.value, depth - 1)
        if base == _SELF:
            return _SELF
        if base == "frame":
            if isinstance(key, str):
                return "series"
            return "frame" if isinstance(node.slice, ast.List | ast.Slice | ast.Compare | ast.BinOp) else ""
        if base == "window":
            return "window"
        return "series" if base == "series" and isinstance(node.slice, ast.Slice | ast.Compare) else ""
