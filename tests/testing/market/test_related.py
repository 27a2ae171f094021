"""Markets that share what happens to them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from upbit_frames.core.intervals import INTERVALS
from upbit_frames.testing.market.listings import Listing
from upbit_frames.testing.market.model import MarketModel
from upbit_frames.testing.market.related import related_listings

START, END = 1_672_531_200_000_000, 1_767_225_600_000_000  # 2023 to 2025


def closes(model: MarketModel, market: str) -> dict[int, float]:
    table = model.candles(market, INTERVALS["1d"], START, END).table()
    return dict(zip(table["time"].cast("int64").to_pylist(), table["close"].to_pylist(), strict=True))


@pytest.fixture(scope="module")
def returns() -> dict[str, np.ndarray]:
    chosen = {"KRW-BTC", "USDT-BTC", "KRW-USDT", "KRW-ETH", "KRW-DOGE", "KRW-PEPE", "KRW-SAND", "KRW-TRX"}
    listings = [replace(listing, listed=START, trades_per_day=20) for listing in related_listings()]
    model = MarketModel(seed=7, listings=tuple(one for one in listings if one.market in chosen))
    prices = {market: closes(model, market) for market in sorted(chosen)}
    days = sorted(set.intersection(*(set(one) for one in prices.values())))
    assert len(days) > 1_000
    return {market: np.diff(np.log([one[day] for day in days])) for market, one in prices.items()}


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ("KRW-BTC", "USDT-BTC", 0.9, 1.0), ("KRW-DOGE", "KRW-PEPE", 0.5, 0.85), ("KRW-BTC", "KRW-ETH", 0.4, 0.75),
        ("KRW-PEPE", "KRW-SAND", 0.1, 0.4), ("KRW-USDT", "KRW-ETH", -0.12, 0.12),
    ],
)  # fmt: skip
def test_markets_correlate_as_their_factors_say(returns, first: str, second: str, low: float, high: float):
    assert low < np.corrcoef(returns[first], returns[second])[0, 1] < high


def test_factors_leave_other_markets_and_the_size_of_moves_alone(returns):
    for market, sigma in (("KRW-BTC", 0.022), ("KRW-PEPE", 0.058), ("KRW-TRX", 0.022)):
        assert returns[market].std() == pytest.approx(sigma, rel=0.25)


def test_thirty_coins_in_won_and_the_price_of_a_dollar():
    listings = related_listings()
    codes = [listing.market for listing in listings]
    assert len(set(codes)) == 32
    assert len([code for code in codes if code.startswith("KRW-") and code != "KRW-USDT"]) == 30
    for listing in listings:
        assert sum(weight**2 for _, weight in listing.factors) <= 1 + 1e-12
    assert all(isinstance(listing, Listing) for listing in listings)
