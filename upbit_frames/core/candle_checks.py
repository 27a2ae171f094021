"""The rules for a valid candle, the same for REST, streams, the archive, the store and users' frames (pure).

A valid candle has six finite numbers, prices above zero with ``low <= open <= high`` and ``low <= close <= high``,
and no negative volume or value. :func:`is_valid` answers for one candle or for whole columns; :func:`violations`
names the rule, the column and the rows. Times are checked only where they are given.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from upbit_frames.core.bar_grid import Grid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["NUMBERS", "Violation", "describe", "is_valid", "violations"]

NUMBERS = ("open", "high", "low", "close", "volume", "value")
"""Columns of numbers, in the order of the schema ``candles``."""


class Violation(NamedTuple):
    """One rule that rows of one column break.

    Attributes
    ----------
    rule : str
    column : str
    wrong : numpy.ndarray
        bool, True for each row that breaks the rule.
    """

    rule: str
    column: str
    wrong: NDArray[np.bool_]


def is_valid(open_: Any, high: Any, low: Any, close: Any, volume: Any, value: Any) -> Any:
    """Return whether candles are valid: bool for numbers, an array of bool for arrays.

    Every comparison with a NaN is false, so a NaN is never valid.

    Examples
    --------
    >>> is_valid(100.0, 110.0, 90.0, 105.0, 0.5, 52.5), is_valid(100.0, 99.0, 90.0, 95.0, 0.5, 50.0)
    (True, False)
    """
    return (
        (low > 0) & (low <= open_) & (low <= close) & (open_ <= high) & (close <= high) & (high < inf)
        & (volume >= 0) & (volume < inf) & (value >= 0) & (value < inf)
    )  # fmt: skip


def violations(columns: Mapping[str, Any], interval: Grid | None = None) -> list[Violation]:
    """List every rule that candles break, none of them if all candles are valid.

    Parameters
    ----------
    columns : mapping of str to numpy.ndarray
        The columns :data:`NUMBERS` (float64), or some of them, and ``time`` (int64 microseconds UTC) where order and
        grid are to be checked.
    interval : Grid, optional
        Of the candles; without it the grid is not checked.

    Returns
    -------
    list of Violation

    Examples
    --------
    >>> import numpy as np
    >>> columns = {name: np.array([1.0, 1.0]) for name in NUMBERS} | {"volume": np.array([0.0, -1.0])}
    >>> [(violation.rule, violation.column, violation.wrong.tolist()) for violation in violations(columns)]
    [('volume or value below zero', 'volume', [False, True])]
    """
    import numpy as np

    checks: list[tuple[str, str, Any]] = []
    if "time" in columns:
        checks += _time_checks(columns["time"], interval)
    high, low = columns.get("high", inf), columns.get("low", -inf)
    names = [name for name in NUMBERS if name in columns]
    checks += [("not a finite number", name, ~np.isfinite(columns[name])) for name in names]
    checks += [("price not above zero", name, columns[name] <= 0) for name in names if name in NUMBERS[:4]]
    checks.append(("high below low", "high", np.asarray(high < low)))
    checks += [
        (f"{name} outside of low and high", name, (columns[name] < low) | (columns[name] > high))
        for name in ("open", "close")
        if name in columns
    ]
    checks += [("volume or value below zero", name, columns[name] < 0) for name in NUMBERS[4:] if name in columns]
    return [Violation(*check) for check in checks if check[2].any()]


def _time_checks(times: NDArray[np.int64], interval: Grid | None) -> list[tuple[str, str, Any]]:
    import numpy as np

    repeated, earlier = np.ones(len(times), dtype=bool), np.zeros(len(times), dtype=bool)
    repeated[np.unique(times, return_index=True)[1]] = False
    earlier[1:] = times[1:] < times[:-1]
    checks: list[tuple[str, str, Any]] = [("time goes back", "time", earlier), ("time occurs again", "time", repeated)]
    if interval is not None:
        checks.append(("time starts no period", "time", interval.floors(times) != times))
    return checks


def describe(violation: Violation, times: NDArray[np.int64]) -> str:
    """Describe a violation in words, with the first row's time and the number of rows.

    Examples
    --------
    >>> import numpy as np
    >>> describe(Violation("high below low", "high", np.array([False, True])), np.array([0, 60_000_000]))
    'high: high below low at 1970-01-01T00:01:00.000000 (1 such row)'
    """
    import numpy as np

    count, first = int(violation.wrong.sum()), int(times[int(np.argmax(violation.wrong))])
    rows = f"{count:,} such row{'' if count == 1 else 's'}"
    return f"{violation.column}: {violation.rule} at {np.datetime64(first, 'us')} ({rows})"
