"""Levels as JSON that a browser unpacks: columns deflated, prices exact (pure)."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np

from upbit_frames.frames.chart.levels import Level
from upbit_frames.frames.from_pandas import micros_of

__all__ = ["pack", "pack_numbers", "pack_times", "unpack"]

_PRICES = ("open", "high", "low", "close")
_SMALL = 2**31  # differences below it fit into an int32


def pack(level: Level) -> dict[str, Any]:
    """Return a level as JSON.

    Prices are exact; volumes and values have the seven digits of a float32, as a chart shows fewer. ``ends`` are
    those of the candles' periods.
    """
    starts = micros_of(level.table)
    ends = level.grid.nexts(starts)
    columns: dict[str, Any] = {name: pack_numbers(np.asarray(level.table[name])) for name in _PRICES}
    columns |= {name: _packed("f4", np.asarray(level.table[name]), 1) for name in ("volume", "value")}
    columns |= {"time": pack_times(starts), "end": pack_times(ends), "filled": _packed("u1", level.filled, 1)}
    return {"name": level.grid.name, "columns": columns}


def pack_times(micros: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Return moments as packed milliseconds since 1970."""
    return pack_numbers(micros // 1000)


def pack_numbers(values: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Return numbers packed exactly: as differences of decimals where these are small, else as float64."""
    largest = float(np.abs(values).max(initial=0))
    for decimals in (0, 1, 2, 3, 4, 8):
        scale = 10**decimals
        if not len(values) or not largest * scale < 2**53:
            break
        units = np.rint(values * scale)
        steps = np.diff(units, prepend=units[:1])
        if (units / scale == values).all() and np.abs(steps).max() < _SMALL:
            return _packed("i4", steps, scale) | {"first": float(units[0])}
    return _packed("f8", values, 1)


def _packed(kind: str, values: np.ndarray[Any, Any], scale: int) -> dict[str, Any]:
    raw = np.ascontiguousarray(values, dtype=f"<{kind}").tobytes()
    return {"kind": kind, "scale": scale, "data": base64.b64encode(zlib.compress(raw, 6)).decode("ascii")}


def unpack(column: dict[str, Any]) -> np.ndarray[Any, Any]:
    """Return the numbers of a packed column, as ``chart.js`` does."""
    values = np.frombuffer(zlib.decompress(base64.b64decode(column["data"])), dtype=f"<{column['kind']}")
    if column["kind"] != "i4":
        return values
    units: np.ndarray[Any, Any] = (column["first"] + np.cumsum(values, dtype=np.float64)) / column["scale"]
    return units
