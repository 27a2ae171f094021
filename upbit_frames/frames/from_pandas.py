"""pandas frames → Arrow tables: the way back, for frames that went through a user's hands.

Nothing is taken for granted: the index may have been sliced, renamed or reset, times may be in
another zone or unit, columns may have come from a CSV file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd
import pyarrow as pa

from upbit_frames.core.event_bars import bought_of
from upbit_frames.core.markets import CODE
from upbit_frames.core.schema import KINDS, arrow_schema
from upbit_frames.errors import QueryError
from upbit_frames.frames.books import is_books

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "CANDLES",
    "TRADES",
    "kind_of",
    "markets_of",
    "micros_of",
    "moments",
    "names_markets",
    "plain_zone",
    "tables",
    "zone_of",
]

CANDLES = tuple(column.name for column in KINDS["candles"] if column.name != "time")
TRADES = ("price", "volume", "value")
_PRICES = CANDLES[:4]


def kind_of(frame: pd.DataFrame) -> str:
    """Whether it holds candles, trades, order books, or a panel.

    Frames of some columns are what the call that made them says, else what their prices are.

    Raises
    ------
    AttributeError
        Naming the missing columns, if it is none of them.
    """
    if _is_panel(frame):
        return "panel"
    if is_books(frame):
        return "books"
    names = {*frame.columns, *frame.index.names}
    timed = isinstance(frame.index, pd.DatetimeIndex) or "time" in names
    if timed and set(CANDLES) <= names:
        return "candles"
    if timed and "price" in names:
        return "trades"
    kind = frame.attrs.get("upbit_frames", {}).get("kind")
    if timed and (names & set(_PRICES) or (kind == "candles" and names & set(CANDLES))):
        return "candles"
    if timed and kind == "trades" and names & set(TRADES):
        return "trades"
    missing = ([] if timed else ["time"]) + [name for name in CANDLES if name not in names]
    raise AttributeError(
        "df.uf is for frames of candles, trades or order books and for panels; as candles, this one lacks "
        f"{', '.join(missing)}"
    )


def _is_panel(frame: pd.DataFrame) -> bool:
    """Whether each column is a market, or a field and a market, and each row a time."""
    if not isinstance(frame.index, pd.DatetimeIndex) or not len(frame.columns) or frame.columns.nlevels > 2:
        return False
    return all(isinstance(code, str) and CODE.fullmatch(code) for code in frame.columns.get_level_values(-1))


def names_markets(frame: pd.DataFrame) -> bool:
    """Whether rows name their market: in the index, or in a column that names more than one."""
    return "market" in frame.index.names or ("market" in frame.columns and len(frame["market"].unique()) > 1)


def markets_of(frame: pd.DataFrame) -> list[str]:
    """The markets that the rows can be of: those that they name, else those that the call was for."""
    if "market" in frame.index.names:
        return [str(code) for code in frame.index.get_level_values("market").unique()]
    if "market" in frame.columns:
        return [str(code) for code in frame["market"].unique()]
    given = frame.attrs.get("upbit_frames", {}).get("market")
    return [given] if isinstance(given, str) else [str(code) for code in given] if isinstance(given, list) else []


def _times(frame: pd.DataFrame) -> pd.DatetimeIndex:
    if isinstance(frame.index, pd.DatetimeIndex):
        times = frame.index
    elif "time" in frame.index.names:
        times = pd.DatetimeIndex(frame.index.get_level_values("time"))
    else:
        times = pd.DatetimeIndex(frame["time"])
    if times.tz is None:
        raise QueryError(
            "the times of this frame have no zone, so it is unknown which moments they are",
            suggestion="df.index = df.index.tz_localize('UTC') if they are UTC, else with their own zone",
        )
    if times.hasnans:
        raise QueryError("a row of this frame has no time", suggestion="df = df[df.index.notna()]")
    return times


def zone_of(frame: pd.DataFrame) -> Any:
    """The zone in which the frame shows its times."""
    return _times(frame).tz


def plain_zone(zone: Any) -> Any:
    """The same zone as one that a naive datetime can simply be given.

    Those of pytz, which pandas before 3 makes, mean a zone's oldest local time when used so.
    """
    try:
        return ZoneInfo(str(zone))
    except (ValueError, OSError, ZoneInfoNotFoundError):
        return zone  # a fixed offset, or a zone by file


def micros_of(table: pa.Table) -> NDArray[np.int64]:
    """The column ``time`` as int64 microseconds."""
    return np.asarray(table["time"].cast(pa.int64()))


def moments(micros: list[int], zone: Any) -> pd.DatetimeIndex:
    """Microseconds as aware times of that zone."""
    return pd.DatetimeIndex(np.array(micros, dtype=np.int64).view("datetime64[us]")).tz_localize("UTC").tz_convert(zone)


def tables(
    frame: pd.DataFrame, kind: str, *, ordered: bool = True, filled: bool = False, sides: bool = False
) -> list[tuple[str | None, pa.Table]]:
    """The rows market by market, with the columns of the kind that ``df.uf`` needs, as far as the frame has them.

    Candles that :mod:`upbit_frames.core.gaps` put in (``filled``, or NaN) are left out, because no
    trade made them; flat ones are kept with ``filled``. With ``sides`` trades have a column
    ``bought``: whether the taker bought.

    Raises
    ------
    QueryError
        If times have no zone, or, with ``ordered``, do not increase; if ``sides`` are needed and missing.
    """
    times = np.asarray(_times(frame).tz_convert("UTC").tz_localize(None), dtype="datetime64[us]")
    names = [name for name in (CANDLES if kind == "candles" else TRADES) if name in frame.columns]
    arrays = [pa.array(times.view(np.int64)).view(arrow_schema("candles").field("time").type)]
    arrays += [pa.array(frame[name].to_numpy(dtype=np.float64, na_value=np.nan), from_pandas=False) for name in names]
    table = pa.Table.from_arrays(arrays, names=["time", *names])
    if sides:
        table = table.append_column("bought", pa.chunked_array([_bought(frame)]))
    real = np.ones(len(table), dtype=bool)
    if kind == "candles":
        real &= ~np.isnan(np.asarray(table["close" if "close" in names else names[0]]))
        if "filled" in frame.columns and not filled:
            real &= ~frame["filled"].to_numpy(dtype=bool, na_value=False)
    parts: list[tuple[str | None, pa.Table]] = []
    for market, rows in _by_market(frame, real):
        part = table if rows is None else table.take(pa.array(rows))
        if ordered:
            _check_order(part, kind, market)
        parts.append((market, part))
    return parts


def _bought(frame: pd.DataFrame) -> pa.Array:
    if "side" not in frame.columns:
        raise QueryError(
            "this needs the column side ('bid' = the taker bought), and the frame lacks it",
            suggestion="uf.trades(market, start=…) has it",
        )
    bought = bought_of(pa.chunked_array([pa.array(frame["side"], pa.string(), from_pandas=True)]))
    return bought.combine_chunks() if isinstance(bought, pa.ChunkedArray) else bought


def _by_market(frame: pd.DataFrame, real: NDArray[np.bool_]) -> list[tuple[str | None, NDArray[np.intp] | None]]:
    """Positions of the real rows of each market; None where that is every row."""
    if not names_markets(frame):
        return [(None, None if real.all() else np.flatnonzero(real))]
    inside = "market" in frame.index.names
    codes, words = pd.factorize(frame.index.get_level_values("market") if inside else pd.Index(frame["market"]))
    return [(str(word), np.flatnonzero(real & (codes == code))) for code, word in enumerate(words)]


def _check_order(table: pa.Table, kind: str, market: str | None) -> None:
    times = micros_of(table)
    rises = times[1:] > times[:-1] if kind == "candles" else times[1:] >= times[:-1]
    if not rises.all():
        raise QueryError(
            f"the times of this frame do not {'increase' if kind == 'candles' else 'rise'}",
            suggestion="sort it (df.sort_index()) and drop repeated rows; df.uf.validate() counts them",
            market=market,
        )
