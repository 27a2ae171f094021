"""The same calls through two sets of functions, side by side."""

from __future__ import annotations

import asyncio
import html
import inspect
import math
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from upbit_frames.compat.sites import CompatWarning
from upbit_frames.errors import QueryError
from upbit_frames.runtime import event_loop

__all__ = ["Comparison", "ab"]

COLUMNS = ["call", "equal", "differing", "old_ms", "new_ms", "old_error", "new_error"]


class Comparison(pd.DataFrame):
    """What :func:`ab` gives: a frame whose HTML marks the calls that differ."""

    @property
    def _constructor(self) -> Callable[..., pd.DataFrame]:
        return Comparison

    def _repr_html_(self) -> str:
        names = [str(name) for name in self.columns]
        head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
        body = "".join(self._row(row, names) for row in self.to_dict("records"))
        wrong = (
            "" if "equal" not in names else f"{int((~self['equal'].astype(bool)).sum())} of {len(self)} calls differ"
        )
        return f"<table><caption>{wrong}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def _row(self, row: Mapping[Any, Any], names: list[str]) -> str:
        marked = not row.get("equal", True)
        cells = []
        for name in names:
            value = row[name]
            if isinstance(value, list):
                text = ", ".join(map(str, value))
            elif isinstance(value, float):
                text = "" if math.isnan(value) else f"{value:.1f}"
            else:
                text = str(value)
            strong = marked and name in ("equal", "differing", "old_error", "new_error") and text
            content = f"<mark>{html.escape(text)}</mark>" if strong else html.escape(text)
            cells.append(f'<td style="text-align:left">{content}</td>')
        style = ' style="background:rgba(220,60,60,.18)"' if marked else ""
        return f"<tr{style}>{''.join(cells)}</tr>"


@dataclass
class _Side:
    """What one side gave: its last answer or error, and the milliseconds of every run."""

    answer: Any = None
    error: BaseException | None = None
    times: tuple[float, ...] = ()

    @property
    def text(self) -> str:
        return "" if self.error is None else f"{type(self.error).__name__}: {self.error}"


def ab(old: Any, new: Any, calls: Iterable[Any], n: int = 1) -> pd.DataFrame:
    """Run the same calls through two sets of functions, in turn, and compare what they give.

    Parameters
    ----------
    old, new : module, object or namespace
        Anything that has the functions as attributes. Coroutines are awaited.
    calls : iterable of (name, args) or (name, args, kwargs)
        ``name`` is that of the function. A function of one side may stand for it, and a name alone
        for a call without arguments.
    n : int
        Repetitions of each call; the times are medians, the answers of the last run count.

    Returns
    -------
    pandas.DataFrame
        One row a call: ``call`` (as one would type it), ``equal``, ``differing`` (keys or columns
        with other values), ``old_ms``, ``new_ms``, ``old_error``, ``new_error``. Both sides raising
        the same type of error counts as equal. In a notebook the calls that differ are marked.

    Raises
    ------
    QueryError
        If a call is not of this form, or one side has no such function.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> old, new = SimpleNamespace(get=lambda x: {"a": x}), SimpleNamespace(get=lambda x: {"a": x, "b": 1})
    >>> ab(old, new, [("get", (1,))])[["call", "equal", "differing"]].to_dict("records")
    [{'call': 'get(1)', 'equal': False, 'differing': ['b']}]
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise QueryError(f"n must be a whole number of at least 1, got {n!r}")
    result = []
    for call in calls:
        name, args, kwargs = _call(call)
        functions = [_function(side, name, which) for side, which in ((old, "old"), (new, "new"))]
        sides = [_Side(), _Side()]
        for _ in range(n):  # in turn, so that neither has the warmer machine
            for place, function in enumerate(functions):
                sides[place] = _run(function, args, kwargs, sides[place].times)
        result.append(_compared(name, args, kwargs, *sides))
    return Comparison(result, columns=COLUMNS)


def _call(call: Any) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    parts = [call] if isinstance(call, str) or callable(call) else list(call)
    head, args, kwargs = (*parts, *[(), {}][len(parts) - 1 :]) if 1 <= len(parts) <= 3 else (None, (), {})
    name = head if isinstance(head, str) else getattr(head, "__name__", None)
    if name is None or not isinstance(kwargs, Mapping):
        raise QueryError(f"{call!r} is not a call", suggestion='write ("get_ohlcv", ("KRW-BTC",), {"count": 5})')
    if isinstance(args, Mapping):
        args, kwargs = (), args
    elif isinstance(args, str) or not isinstance(args, Iterable):
        raise QueryError(f"the arguments {args!r} are not a tuple", suggestion=f"write ({name!r}, ({args!r},))")
    return name, tuple(args), dict(kwargs)


def _function(side: Any, name: str, which: str) -> Callable[..., Any]:
    function = side.get(name) if isinstance(side, Mapping) else getattr(side, name, None)
    if not callable(function):
        raise QueryError(f"{which} has no function {name!r}", suggestion="both sides must have it by the same name")
    result: Callable[..., Any] = function
    return result


def _run(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], times: tuple[float, ...]
) -> _Side:
    answer, error = None, None
    begun = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CompatWarning)  # it compares; that a call is a trap is known
            answer = function(*args, **kwargs)
            if inspect.isawaitable(answer):
                answer = _awaited(answer)
    except Exception as raised:  # noqa: BLE001 - an error is one of the things compared
        error = raised
    return _Side(answer, error, (*times, (time.perf_counter() - begun) * 1000))


def _awaited(answer: Any) -> Any:
    """Return what a coroutine gives: on a loop of its own, or on the package's where one runs here already."""

    async def work() -> Any:
        return await answer

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work())
    return event_loop.run(work)


def _compared(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], old: _Side, new: _Side) -> dict[str, Any]:
    if old.error is not None or new.error is not None:
        equal, differing = type(old.error) is type(new.error), []
    else:
        equal = same(old.answer, new.answer)
        differing = [] if equal else fields(old.answer, new.answer)
    typed = [repr(item) for item in args] + [f"{key}={value!r}" for key, value in kwargs.items()]
    return {
        "call": f"{name}({', '.join(typed)})",
        "equal": equal,
        "differing": differing,
        "old_ms": float(np.median(old.times)),
        "new_ms": float(np.median(new.times)),
        "old_error": old.text,
        "new_error": new.text,
    }


# --- equality --------------------------------------------------------------------------------------


def same(old: Any, new: Any) -> bool:
    """Return whether two answers are equal: values and types, index and columns; NaN equals NaN."""
    if isinstance(old, pd.DataFrame | pd.Series | pd.Index):
        return isinstance(new, type(old)) and _same_pandas(old, new)
    if isinstance(new, pd.DataFrame | pd.Series | pd.Index):
        return False
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return old.keys() == new.keys() and all(same(old[key], new[key]) for key in old)
    if isinstance(old, np.ndarray) or isinstance(new, np.ndarray):
        return bool(np.array_equal(np.asarray(old), np.asarray(new)))
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        return (
            type(old) is type(new) and len(old) == len(new) and all(same(a, b) for a, b in zip(old, new, strict=True))
        )
    if isinstance(old, float) and isinstance(new, float) and math.isnan(old) and math.isnan(new):
        return True
    if type(old) is type(new) and type(old).__module__.partition(".")[0] in _TABLES:
        return bool(old.equals(new))
    return bool(old == new)


_TABLES = ("pyarrow", "polars")


def _same_pandas(old: Any, new: Any) -> bool:
    if isinstance(old, pd.Index):
        return bool(old.equals(new)) and old.names == new.names and old.dtype == new.dtype
    if isinstance(old, pd.DataFrame) and not (old.columns.equals(new.columns) and (old.dtypes == new.dtypes).all()):
        return False
    return bool(old.equals(new)) and _same_pandas(old.index, new.index)


def fields(old: Any, new: Any) -> list[str]:
    """Return the keys or columns in which two answers differ; what is not of one shape, by its kind."""
    if isinstance(old, pd.DataFrame) and isinstance(new, pd.DataFrame):
        return _columns(old, new)
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = [*old, *(key for key in new if key not in old)]
        return [str(key) for key in keys if key not in old or key not in new or not same(old[key], new[key])]
    if _of_rows(old) and _of_rows(new):
        if len(old) != len(new):
            return [f"{len(old)} rows, {len(new)} rows"]
        result: dict[str, None] = {}
        for left, right in zip(old, new, strict=True):
            result.update(dict.fromkeys(fields(left, right)))
        return list(result)
    if type(old) is not type(new):
        return [f"{type(old).__name__}, {type(new).__name__}"]
    return ["value"]


def _of_rows(answer: Any) -> bool:
    return isinstance(answer, Sequence) and bool(answer) and all(isinstance(row, Mapping) for row in answer)


def _columns(old: pd.DataFrame, new: pd.DataFrame) -> list[str]:
    result = []
    if not _same_pandas(old.index, new.index):
        result.append("index")
    for name in [*old.columns, *(item for item in new.columns if item not in old.columns)]:
        shared = name in old.columns and name in new.columns
        if not shared or not _same_column(old[name], new[name]):
            result.append(str(name))
    return result or ["order of columns"]


def _same_column(old: pd.Series[Any], new: pd.Series[Any]) -> bool:
    if old.dtype != new.dtype:
        return False
    floats = pd.api.types.is_float_dtype(old.dtype)
    return bool(np.array_equal(old.to_numpy(), new.to_numpy(), equal_nan=floats))
