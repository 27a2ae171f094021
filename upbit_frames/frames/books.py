"""What a frame of order books says: mid, spread, imbalance, depth, microprice, and events for hftbacktest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from upbit_frames.core.arguments import number, whole
from upbit_frames.errors import QueryError
from upbit_frames.frames.book_events import EVENT, events

__all__ = ["depth", "imbalance", "is_books", "levels_of", "microprice", "mid", "spread", "write_hftbacktest"]


def is_books(frame: pd.DataFrame) -> bool:
    """Whether a frame has the best prices of order books."""
    return {"ask_price_0", "ask_size_0", "bid_price_0", "bid_size_0"} <= set(frame.columns)


def levels_of(frame: pd.DataFrame) -> int:
    """Return how many price levels a frame has of each side."""
    level = 0
    while f"ask_price_{level}" in frame.columns and f"bid_price_{level}" in frame.columns:
        level += 1
    return level


def mid(frame: pd.DataFrame) -> pd.Series:
    """Return the middle between best ask and best bid."""
    return ((frame["ask_price_0"] + frame["bid_price_0"]) / 2).rename("mid")


def spread(frame: pd.DataFrame, *, bps: bool = False) -> pd.Series:
    """Return best ask minus best bid, in the quote currency or in hundredths of a percent of the mid."""
    difference = frame["ask_price_0"] - frame["bid_price_0"]
    return (difference / mid(frame) * 1e4 if bps else difference).rename("spread")


def microprice(frame: pd.DataFrame) -> pd.Series:
    """Return the mean of best ask and best bid, each weighted with the amount on the other side."""
    ask, bid = frame["ask_size_0"], frame["bid_size_0"]
    weighted = frame["ask_price_0"] * bid + frame["bid_price_0"] * ask
    return (weighted / (ask + bid)).rename("microprice")


def imbalance(frame: pd.DataFrame, levels: int | None = None) -> pd.Series:
    """Return bid minus ask amount over both, of so many levels."""
    most = levels_of(frame)
    count = most if levels is None else whole("levels", levels, 1, most, suggestion="uf.books(…, levels=…) reads more")
    ask = frame[[f"ask_size_{level}" for level in range(count)]].sum(axis=1)
    bid = frame[[f"bid_size_{level}" for level in range(count)]].sum(axis=1)
    with np.errstate(invalid="ignore"):
        return ((bid - ask) / (bid + ask)).rename("imbalance")


def depth(frame: pd.DataFrame, bps: float) -> pd.DataFrame:
    """Return the amounts offered and bid within so many hundredths of a percent of the mid."""
    distance = number("bps", bps, 0, above=True) / 1e4
    middle = mid(frame).to_numpy()[None, :]
    result: dict[str, NDArray[Any]] = {}
    reached = np.ones(len(frame), dtype=bool)
    for side, sign in (("bid", -1), ("ask", 1)):
        price, size = side_arrays(frame, side)
        inside = sign * (price - middle) <= distance * middle
        result[side] = np.where(np.isnan(middle[0]), np.nan, np.where(inside, size, 0.0).sum(axis=0))
        reached &= ~inside[-1]  # a level beyond shows that none is missing
    return pd.DataFrame({**result, "complete": reached & ~np.isnan(middle[0])}, index=frame.index)


def side_arrays(frame: pd.DataFrame, side: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return prices and sizes of a side, each of shape (levels, rows)."""
    count = levels_of(frame)
    price = frame[[f"{side}_price_{level}" for level in range(count)]].to_numpy(dtype=np.float64).T
    size = frame[[f"{side}_size_{level}" for level in range(count)]].to_numpy(dtype=np.float64).T
    return price, size


def write_hftbacktest(frame: pd.DataFrame, path: str | Path, missing: list[list[str]]) -> int:
    """Write books as events that hftbacktest reads; return how many."""
    if "received_at" not in frame.columns:
        raise QueryError("this frame lacks received_at", suggestion="use a frame as uf.books gives it")
    times = pd.DatetimeIndex(frame.index)
    if times.tz is None:
        raise QueryError("the times of this frame have no zone", suggestion="use a frame as uf.books gives it")
    changed = pd.DatetimeIndex(frame["updated"]) if "updated" in frame.columns else times
    known = ~(np.isnan(frame["ask_price_0"].to_numpy()) & np.isnan(frame["bid_price_0"].to_numpy()))
    breaks = np.array([pd.Timestamp(start).value // 1000 for start, _ in missing], dtype=np.int64)
    data = events(
        _micros(changed), _micros(pd.DatetimeIndex(frame["received_at"])), side_arrays(frame, "ask"),
        side_arrays(frame, "bid"), known, breaks,
    )  # fmt: skip
    target = Path(path)
    with target.open("wb") as file:
        np.savez_compressed(file, data=data)
    assert data.dtype == EVENT
    return len(data)


def _micros(times: pd.DatetimeIndex) -> NDArray[np.int64]:
    return times.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.int64)
