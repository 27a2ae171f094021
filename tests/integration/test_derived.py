"""Candles that Upbit does not have, over real sockets: each value the exact sum of what the exchange serves."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

import upbit_frames as uf
from upbit_frames.core.bar_grid import Grid, parse_grid
from upbit_frames.core.intervals import INTERVALS, to_micros
from upbit_frames.errors import UpbitFramesWarning
from upbit_frames.testing import Exchange

COLUMNS = ["open", "high", "low", "close", "volume", "value"]
Rows = dict[int, list[float]]


def aggregated(candles: pd.DataFrame, grid: Grid, columns: list[str]) -> Rows:
    """Aggregate in exact decimals, one row after the other."""
    bars: dict[int, list[Any]] = {}
    for moment, row in zip(candles.index, candles[columns].itertuples(index=False), strict=True):
        start = grid.floor(to_micros(moment))
        amounts = [Decimal(repr(amount)) for amount in row[4:]]
        if start not in bars:
            bars[start] = [*row[:4], *amounts]
            continue
        bar = bars[start]
        bar[1:4] = max(bar[1], row[1]), min(bar[2], row[2]), row[3]
        bar[4:] = [one + other for one, other in zip(bar[4:], amounts, strict=True)]
    return {start: [*bar[:4], *map(float, bar[4:])] for start, bar in bars.items()}


def rows_of(frame: pd.DataFrame, columns: list[str]) -> Rows:
    return {to_micros(moment): row for moment, row in zip(frame.index, frame[columns].to_numpy().tolist(), strict=True)}


def assert_exact(frame: pd.DataFrame, candles: pd.DataFrame, grid: Grid, columns: list[str]) -> None:
    """Every value to the last digit, where a float64 has that digit: amounts below 2**26 have eight decimals."""
    got, known = rows_of(frame, columns), aggregated(candles, grid, columns)
    assert list(got) == list(known)
    for start, row in known.items():
        assert got[start][:4] == row[:4]
        for amount, other in zip(got[start][4:], row[4:], strict=True):
            assert amount == other if other < 2**26 else abs(amount - other) <= 2 * math.ulp(other)


def candle_requests(exchange: Exchange) -> int:
    return sum(request.path.startswith("/v1/candles") for request in exchange.requests)


def source_of(frame: pd.DataFrame) -> str:
    """The interval that the route names."""
    route = frame.attrs["upbit_frames"]["route"]
    assert {step["channel"] for step in route} == {"derived"}
    (name,) = {re.match(r"aggregated from (\w+) candles; ", step["reason"])[1] for step in route}  # type: ignore[index]
    return name


@pytest.fixture(scope="module")
def april() -> Iterator[Exchange]:
    """Generated markets, after the clocks changed in New York (8 March) and on Lord Howe (5 April)."""
    with Exchange(seed=7, now="2026-04-12T10:20:30Z", limits=False) as running:
        yield running


@pytest.mark.parametrize("market", ["KRW-BTC", "KRW-QUIET", "KRW-NEW"])
@pytest.mark.parametrize(
    ("interval", "base", "start", "end"),
    [
        ("2h", "America/New_York", "2026-03-06", "2026-03-11"), ("1d", "America/New_York", "2026-03-01", "2026-03-15"),
        ("1d", "17:00 America/New_York", "2026-03-01", "2026-03-15"),
        ("6h", "Australia/Lord_Howe", "2026-04-02", "2026-04-08"),
        ("1d", "02:00 Australia/Lord_Howe", "2026-04-01", "2026-04-12"), ("12h", None, "2026-01-01", "2026-02-20"),
        ("3d", "Asia/Seoul", "2026-01-03", "2026-04-12"), ("1w", "Asia/Seoul", "2026-01-01", "2026-04-12"),
        ("45m", None, "2026-01-14 20:00", "2026-01-16"), ("2M", None, "2025-01-01", "2026-04-12"),
    ],
)  # fmt: skip
def test_every_bar_is_the_exact_sum_of_the_exchanges_candles(
    april: Exchange, make_client: Callable[..., uf.Client], market: str, interval: str, base: Any, start: str, end: str
) -> None:
    client = make_client(april)
    april.requests.clear()
    frame = client.candles(market, interval, base=base, start=start, end=end)
    asked = candle_requests(april)
    grid = parse_grid(interval, base)
    source = source_of(frame) if len(frame.attrs["upbit_frames"]["route"]) else None
    low, high = grid.ceil(to_micros(pd.Timestamp(start, tz="UTC"))), grid.ceil(to_micros(pd.Timestamp(end, tz="UTC")))
    high = min(high, grid.floor(april.clock.now()))
    assert source is not None
    own = april.market.candles(market, INTERVALS[source].name, low, high).table().to_pandas().set_index("time")
    assert_exact(frame, own, grid, COLUMNS)
    again = client.candles(market, interval, base=base, start=start, end=end)
    pd.testing.assert_frame_equal(again, frame)
    assert candle_requests(april) == asked
    assert asked <= -(-len(own) // 200) + 15


def test_an_outage_of_the_exchange_leaves_bars_without_its_hours(
    april: Exchange, make_client: Callable[..., uf.Client]
) -> None:
    client = make_client(april)
    outage = max(
        april.market.maintenance(
            to_micros(pd.Timestamp("2025-01-01", tz="UTC")), to_micros(pd.Timestamp("2026-01-01", tz="UTC"))
        ),
        key=lambda span: span.end - span.start,
    )
    grid = parse_grid("90m")
    low, high = grid.floor(outage.start) - 12 * grid.step, grid.ceil(outage.end) + 12 * grid.step
    start, end = pd.Timestamp(low, unit="us", tz="UTC"), pd.Timestamp(high, unit="us", tz="UTC")
    raw = client.candles("KRW-BTC", "90m", start=start, end=end)
    own = april.market.candles("KRW-BTC", "30m", low, high).table().to_pandas().set_index("time")
    assert_exact(raw, own, grid, COLUMNS)
    filled = client.candles("KRW-BTC", "90m", start=start, end=end, gaps="fill")
    assert len(filled) == (high - low) // grid.step
    assert filled.index.freq == pd.tseries.frequencies.to_offset("90min")
    pd.testing.assert_frame_equal(filled[~filled["filled"]][COLUMNS], raw, check_freq=False)


def test_the_newest_bar_forms_from_everything_since_its_beginning(
    april: Exchange, make_client: Callable[..., uf.Client]
) -> None:
    client = make_client(april)
    frame = client.candles("KRW-BTC", "1d", base="Asia/Seoul", count=3, forming=True, tz="Asia/Seoul")
    assert [str(one) for one in frame.index] == [f"2026-04-{day} 00:00:00+09:00" for day in (10, 11, 12)]
    grid = parse_grid("1d", "Asia/Seoul")
    low = to_micros(frame.index[0])
    own = april.market.candles("KRW-BTC", "1h", low, low + 10**12, april.clock.now()).table().to_pandas()
    assert_exact(frame, own.set_index("time"), grid, COLUMNS)
    meta = frame.attrs["upbit_frames"]
    assert (meta["interval"], meta["base"]) == ("1d", "Asia/Seoul")
    panel = client.panel(["KRW-BTC", "KRW-ETH"], "1d", base="Asia/Seoul", count=2)
    assert panel["KRW-BTC"].tolist() == frame["close"].iloc[:2].tolist()
    assert panel.attrs["upbit_frames"]["base"] == "Asia/Seoul"


def test_a_range_before_the_listing_says_so(april: Exchange, make_client: Callable[..., uf.Client]) -> None:
    with pytest.warns(UpbitFramesWarning, match="KRW-NEW has no candle before 2018-06-01"):
        assert make_client(april).candles("KRW-NEW", "2h", start="2018-01-01", end="2018-06-01").empty


def test_several_markets_may_be_made_of_different_intervals(
    april: Exchange, make_client: Callable[..., uf.Client]
) -> None:
    client = make_client(april)
    day = {"start": "2026-04-01", "end": "2026-04-02"}
    client.candles("KRW-BTC", "15m", **day)
    client.candles("KRW-ETH", "1h", **day)
    april.requests.clear()
    frame = client.candles(quote="KRW", interval="2h", source="store", **day)
    assert april.requests == []
    reasons = {step["market"]: step["reason"] for step in frame.attrs["upbit_frames"]["route"]}
    assert reasons == {
        "KRW-BTC": "aggregated from 15m candles; store: stored",
        "KRW-ETH": "aggregated from 1h candles; store: stored",
    }
    both = client.candles(["KRW-BTC", "KRW-ETH"], "2h", **day)
    pd.testing.assert_frame_equal(both, frame)
    assert april.requests == []
    for market in ("KRW-BTC", "KRW-ETH"):
        pd.testing.assert_frame_equal(frame.loc[market], client.candles(market, "2h", **day))
    explained = client.explain("candles", "KRW-BTC", "2h", **day)
    assert (explained.channel, explained.rule) == ("derived", "derived")
    assert explained.alternatives["store"] == "derived candles are never stored"


# --- real markets ------------------------------------------------------------------------------------

REAL = ["open", "high", "low", "close", "volume"]  # the captures have no value


def test_hours_of_a_real_market_are_those_that_upbit_published(
    september: Exchange, make_client: Callable[..., uf.Client], history: Callable[[str], pd.DataFrame]
) -> None:
    client = make_client(september)
    month = {"start": "2025-09-01", "end": "2025-10-01"}
    client.candles("KRW-BTC", "1m", **month)
    september.requests.clear()
    hours = client.candles("KRW-BTC", "1h", source="store", **month)
    assert september.requests == []
    assert source_of(hours) == "1m"
    published = history("KRW-BTC_1h_2022-2025.csv.gz")[month["start"] : month["end"]]
    common = hours.index.intersection(published.index)
    assert len(common) > 600
    pd.testing.assert_frame_equal(hours.loc[common, REAL], published.loc[common, REAL], check_freq=False)


@pytest.mark.parametrize("market", ["KRW-BTC", "KRW-DOGE"])
def test_bars_of_real_minutes_are_their_exact_sums_without_a_request(
    september: Exchange, make_client: Callable[..., uf.Client], history: Callable[[str], pd.DataFrame], market: str
) -> None:
    client = make_client(september)
    client.candles(market, "1m", start="2025-09-01", end="2025-09-24")
    minutes = history(f"{market}_1m_2025-09.csv.gz")
    for interval, base in [
        ("2m", None), ("45m", None), ("1h", None), ("2h", None), ("6h", "Asia/Seoul"), ("1d", "Asia/Seoul"),
        ("1d", None), ("1d", "17:00 America/New_York"), ("2d", "Asia/Kathmandu"), ("1w", "Australia/Lord_Howe"),
        ("90m", "00:07"),
    ]:  # fmt: skip
        source = "auto" if base or interval not in INTERVALS else "derived"
        frame = client.candles(market, interval, base=base, start="2025-09-03", end="2025-09-20", source=source)
        grid = parse_grid(interval, base)
        low, high = (grid.ceil(to_micros(pd.Timestamp(day, tz="UTC"))) for day in ("2025-09-03", "2025-09-20"))
        ours = minutes[(minutes.index >= pd.Timestamp(low, unit="us", tz="UTC"))]
        ours = ours[ours.index < pd.Timestamp(high, unit="us", tz="UTC")]
        assert_exact(frame, ours, grid, REAL)
        assert source_of(frame) == "1m"
        # Not the log of the exchange, which other tests of the session use, too.
        assert sum(step["requests"] for step in frame.attrs["upbit_frames"]["route"]) == 0
