"""Frames for what knows no time zones: naive times, Excel sheets, backtesting.py."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from upbit_frames.core.moments import parse_zone
from upbit_frames.errors import QueryError, UsageError
from upbit_frames.frames.from_pandas import markets_of, names_markets, zone_of

if TYPE_CHECKING:
    from openpyxl.worksheet.worksheet import Worksheet

__all__ = ["AMOUNTS", "MONEY", "naive", "to_backtesting", "write_excel"]

_MOST_ROWS = 2**20 - 1  # of an Excel sheet, without its header
_EXACT_DIGITS = 10**15  # Excel keeps fifteen digits of a number
MONEY = ("open", "high", "low", "close", "price", "vwap", "value", "buy_value", "sell_value")
AMOUNTS = ("volume", "buy_volume", "sell_volume", "delta")
_CANDLES = ("open", "high", "low", "close", "volume")


def naive(frame: pd.DataFrame, tz: Any) -> pd.DataFrame:
    """Return the frame with the wall times of a zone, without the zone; see ``df.uf.naive``."""
    zone = zone_of(frame) if tz is None else parse_zone(tz)
    result = frame.copy(deep=False)
    if isinstance(frame.index, pd.MultiIndex):
        for level, values in enumerate(frame.index.levels):
            if isinstance(values, pd.DatetimeIndex):
                result.index = result.index.set_levels(values.tz_convert(zone).tz_localize(None), level=level)  # type: ignore[attr-defined]
    elif isinstance(frame.index, pd.DatetimeIndex):
        result.index = frame.index.tz_convert(zone).tz_localize(None)
    for name, column in frame.items():
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            result[name] = column.dt.tz_convert(zone).dt.tz_localize(None).array
    return result


def to_backtesting(frame: pd.DataFrame, tz: Any) -> pd.DataFrame:
    """Return candles as backtesting.py takes them; see ``df.uf.to_backtesting``."""
    markets = markets_of(frame)
    if len(markets) > 1 and names_markets(frame):
        raise QueryError(
            f"backtesting.py takes one market, and this frame has {len(markets)}",
            suggestion=f"choose one: df.loc[{markets[0]!r}].uf.to_backtesting()",
        )
    result = naive(frame, tz)
    if not isinstance(result.index, pd.DatetimeIndex):
        times = result.index.get_level_values("time") if "time" in result.index.names else result["time"]
        result.index = pd.DatetimeIndex(times, name="time")
    result = result[list(_CANDLES)].rename(columns=str.capitalize)
    missing = int(result.isna().any(axis=1).sum())
    if missing:
        raise QueryError(
            f"backtesting.py takes no NaN, and {missing:,} rows have some",
            suggestion="df.uf.fill('fill').uf.to_backtesting() has flat candles there, df.dropna() none",
        )
    return result


def write_excel(frame: pd.DataFrame, path: Any, tz: Any) -> Path:
    """Write the frame as an Excel sheet; see ``df.uf.to_excel``."""
    target = Path(path)
    if target.suffix.lower() != ".xlsx":
        raise QueryError(f"path must end with .xlsx, got {target.name!r}", suggestion=f"{target.stem}.xlsx")
    if len(frame) > _MOST_ROWS:
        raise QueryError(
            f"an Excel sheet holds {_MOST_ROWS:,} rows, and this frame has {len(frame):,}",
            suggestion="write a part of it, coarser candles (df.uf.resample('1h')), or df.to_parquet(path)",
        )
    try:
        import openpyxl
    except ImportError as error:
        raise UsageError(
            "Excel sheets need openpyxl, which is not installed", suggestion="pip install 'upbit-frames[excel]'"
        ) from error
    rows, index = _for_excel(frame, tz)
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet(_title(frame))
    _lay_out(sheet, frame, rows, index)
    content = BytesIO()
    book.save(content)
    try:
        target.write_bytes(content.getbuffer())
    except OSError as error:
        raise UsageError(
            f"{target} cannot be written: {error.strerror or error}",
            suggestion="close it where it is open in Excel, or choose another path",
        ) from error
    return target


def _for_excel(frame: pd.DataFrame, tz: Any) -> tuple[pd.DataFrame, int]:
    """Return the rows with every index level as a column, times naive, and how many columns those are."""
    zone = zone_of(frame) if tz is None else parse_zone(tz)
    rows = naive(frame, tz)
    named = [name for name in rows.index.names if name is not None]
    index = len(named)
    rows = rows.reset_index() if named else rows
    for name, column in rows.items():
        if pd.api.types.is_integer_dtype(column.dtype) and (column.abs() >= _EXACT_DIGITS).any():
            rows[name] = column.astype(object).where(column.notna(), None).map(_digits)
    # Excel has no zones, so the header says which one the times are of.
    times = {name: f"{name} ({zone})" for name in rows if pd.api.types.is_datetime64_dtype(rows[name].dtype)}
    return rows.rename(columns=times), index


def _digits(value: Any) -> str | None:
    return None if value is None else str(int(value))


def _title(frame: pd.DataFrame) -> str:
    """Return the market and the interval, as far as they are known; a sheet's name has 31 characters."""
    meta = frame.attrs.get("upbit_frames", {})
    market, interval = meta.get("market"), meta.get("interval")
    words = [str(word) for word in (market, interval) if isinstance(word, str)]
    return " ".join(words)[:31] or "upbit_frames"


def _lay_out(sheet: Worksheet, frame: pd.DataFrame, rows: pd.DataFrame, index: int) -> None:
    """Write header and rows with their formats; the header and the index stay in view."""
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Font
    from openpyxl.utils import get_column_letter

    formats = [_format(str(name), column, markets_of(frame)) for name, column in rows.items()]
    for number, (name, form) in enumerate(zip(rows.columns, formats, strict=True), 1):
        sheet.column_dimensions[get_column_letter(number)].width = max(len(str(name)), len(form)) + 3
    sheet.freeze_panes = f"{get_column_letter(index + 1)}2"
    header = [WriteOnlyCell(sheet, str(name)) for name in rows.columns]
    for cell in header:
        cell.font = Font(bold=True)
    sheet.append(header)
    columns = [_cells(column) for column in rows.to_dict("series").values()]
    for values in zip(*columns, strict=True):
        cells = [WriteOnlyCell(sheet, value) for value in values]
        for cell, form in zip(cells, formats, strict=True):
            cell.number_format = form
        sheet.append(cells)


def _cells(column: pd.Series[Any]) -> list[Any]:
    """Return the values of a column as openpyxl takes them; what is missing is an empty cell."""
    if pd.api.types.is_datetime64_dtype(column.dtype):
        return [None if value is pd.NaT else value.to_pydatetime() for value in column]
    return [
        None if missing else ", ".join(value) if isinstance(value, list) else value
        for value, missing in zip(column.tolist(), column.isna().tolist(), strict=True)
    ]


def _format(name: str, column: pd.Series[Any], markets: list[str]) -> str:
    """Return the number format of a column: won without decimals where there are none."""
    if pd.api.types.is_datetime64_dtype(column.dtype):
        whole = bool((column.dropna().dt.microsecond == 0).all())
        return "yyyy-mm-dd hh:mm:ss" if whole else "yyyy-mm-dd hh:mm:ss.000"
    if name in AMOUNTS:
        return "#,##0.00000000"
    if name in MONEY:
        values = column.dropna().to_numpy(dtype=np.float64)
        won = all(market.startswith("KRW-") for market in markets)
        sums = name.endswith("value")
        if won and (sums or bool((values == np.floor(values)).all())):
            return "#,##0"
        return "#,##0.00######"
    return "General"
