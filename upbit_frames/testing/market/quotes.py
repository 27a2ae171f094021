"""Tickers computed from the same trades as the candles. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from upbit_frames.testing.market.columns import storage_lag
from upbit_frames.testing.market.generated import DAY_MS, DAY_US

if TYPE_CHECKING:
    from upbit_frames.testing.market.model import MarketModel
    from upbit_frames.testing.market.sources import Source

__all__ = ["Ticker", "make_ticker"]

_YEAR_DAYS = 364  # 52 weeks


@dataclass(frozen=True)
class Ticker:
    """A market at a moment.

    Prices and volumes are integers of 1e-8, values of 1e-16; times are milliseconds since the
    epoch, UTC; days are days since the epoch.
    """

    market: str
    trade_ms: int
    open: int
    high: int
    low: int
    price: int
    previous_close: int
    volume: int
    bid: bool
    day_value: int
    value_24h: int
    day_volume: int
    volume_24h: int
    day_bid_volume: int
    high_52w: int
    high_52w_day: int
    low_52w: int
    low_52w_day: int
    ms: int

    @property
    def change(self) -> int:
        """Last price minus the previous day's close, signed."""
        return self.price - self.previous_close


def make_ticker(model: MarketModel, source: Source, at: int) -> Ticker | None:
    """Return the ticker at a moment; None while nothing was ever traded.

    On a day without a trade open, high, low and last price are the last close, and so is the
    previous close; the sums of the day are 0.
    """
    market, today = source.listing.market, at // DAY_US
    last = model.last_trade(market, at)
    if not len(last):
        return None
    price, trade_ms = int(last.price[0]), int(last.ms[0])
    trades = model.trades(market, today * DAY_US, at, at)
    value, volume, bought = trades.sums()
    rolling = [part.sums() for part in model.trades_by_day(market, at - DAY_US, at, at)]
    if len(trades):
        opening, high, low = int(trades.price[0]), int(np.max(trades.price)), int(np.min(trades.price))
        previous = model.previous_close(market, today)
    else:
        opening = high = low = price
        previous = price
    days, highs, lows = source.extremes(today - _YEAR_DAYS + 1, today)
    if len(trades) or not len(days):
        days, highs, lows = np.append(days, trade_ms // DAY_MS), np.append(highs, high), np.append(lows, low)
    top, bottom = int(np.argmax(highs)), int(np.argmin(lows))
    return Ticker(
        market=market,
        trade_ms=trade_ms,
        open=opening,
        high=high,
        low=low,
        price=price,
        previous_close=opening if previous is None else previous,
        volume=int(last.volume[0]),
        bid=bool(last.bid[0]),
        day_value=value,
        value_24h=sum(part[0] for part in rolling),
        day_volume=volume,
        volume_24h=sum(part[1] for part in rolling),
        day_bid_volume=bought,
        high_52w=int(highs[top]),
        high_52w_day=int(days[top]),
        low_52w=int(lows[bottom]),
        low_52w_day=int(days[bottom]),
        ms=trade_ms + int(storage_lag(trade_ms)),
    )
