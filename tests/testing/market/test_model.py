"""The model: everything from the same trades, always the same, hidden from the future."""

from __future__ import annotations

import threading
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upbit_frames.core.intervals import INTERVALS, Span
from upbit_frames.testing import FixedTrades, Listing, MarketModel
from upbit_frames.testing.market.columns import exact_floats
from upbit_frames.testing.market.generated import GeneratedTrades, Maintenance
from upbit_frames.testing.market.listings import DEFAULT_LISTINGS, default_listings, many
from upbit_frames.testing.market.price_ticks import (
    SCALE,
    ceil_to_tick,
    floor_to_tick,
    quote_of,
    snap,
    supported_levels,
    tick_size,
)
from upbit_frames.testing.server.virtual_clock import moment
from upbit_frames.testing.strategies import trades as some_trades

DAY = 86_400_000_000
NOW = moment("2026-03-01T03:30:00Z")
MODEL = MarketModel(7)
MARKETS = [one.market for one in DEFAULT_LISTINGS]


def candles_by_hand(trades, interval, start, end):
    """Candles straight from the definition, in exact fractions."""
    found = {}
    for ms, price, volume in zip(trades.ms.tolist(), trades.price.tolist(), trades.volume.tolist(), strict=True):
        if not start <= interval.floor(ms * 1000) < end:
            continue
        row = found.setdefault(interval.floor(ms * 1000), [price, price, price, price, 0, 0])
        row[1], row[2], row[3] = max(row[1], price), min(row[2], price), price
        row[4] += volume
        row[5] += price * volume
    return found


def as_dict(candles):
    columns = (candles.open, candles.high, candles.low, candles.close)
    return {
        time: [*prices, volume, value]
        for time, volume, value, *prices in zip(
            candles.time.tolist(), candles.volume, candles.value_exact, *(one.tolist() for one in columns), strict=True
        )
    }


@pytest.mark.parametrize("interval", INTERVALS.values(), ids=str)
@pytest.mark.parametrize("market", ["KRW-BTC", "KRW-SHIB", "BTC-XRP"])
def test_candles_are_the_trades(market, interval):
    if market == "KRW-BTC" and interval.name in ("1w", "1M", "1y"):
        market = "KRW-QUIET"  # counting half a million trades by hand takes too long
    end = NOW
    # Coarse candles begin before the stretch looked at, so take it whole.
    start = interval.floor(NOW - (DAY // 2 if interval.step < DAY else 3 * DAY))
    if interval.name == "1y":
        start = interval.floor(NOW)
    trades = MODEL.trades(market, start, end, NOW)
    assert as_dict(MODEL.candles(market, interval, start, end, NOW)) == candles_by_hand(trades, interval, start, end)


@pytest.mark.parametrize("market", ["KRW-NEW", "USDT-DOGE", "KRW-GONE"])
@pytest.mark.parametrize("name", ["1s", "1m", "5m", "4h", "1d", "1w", "1M", "1y"])
def test_last_candles_are_the_end_of_all_candles(market, name):
    interval = INTERVALS[name]
    to = NOW - 3 * DAY if market != "KRW-GONE" else moment("2025-12-22T07:00:00Z")
    last = MODEL.last_candles(market, name, to, 37, NOW)
    assert 0 < len(last) <= 37
    everything = MODEL.candles(market, name, int(last.time[0]), to, NOW)
    assert (everything.block == last.block).all()
    if len(last) < 37:  # then history has no more
        before = MODEL.candles(market, name, interval.floor(moment("2017-01-01")), int(last.time[0]), NOW)
        assert not len(before)


def fresh_model(seed):
    """A model that shares no work with another of the same seed."""
    return MarketModel(seed, [GeneratedTrades(one, seed, Maintenance(seed)) for one in DEFAULT_LISTINGS])


def test_two_models_of_a_seed_agree_whatever_was_requested_before():
    one, other, third = fresh_model(11), fresh_model(11), fresh_model(12)
    one.candles("KRW-ETH", "1m", NOW - 40 * DAY, NOW - 30 * DAY)
    one.ticker("KRW-ETH", NOW - 100 * DAY)
    for market in MARKETS:
        mine, yours = (model.trades(market, NOW - 3 * DAY, NOW, NOW) for model in (one, other))
        assert (mine.ms == yours.ms).all()
        assert (mine.price == yours.price).all()
        assert (mine.volume == yours.volume).all()
        assert one.ticker(market, NOW) == other.ticker(market, NOW)
        assert one.book(market, NOW).units() == other.book(market, NOW).units()
    assert one.candles("KRW-ETH", "1m", NOW - DAY, NOW).volume != third.candles("KRW-ETH", "1m", NOW - DAY, NOW).volume


def test_one_model_serves_several_threads():
    fresh, expected, wrong = fresh_model(7), MODEL.candles("KRW-BTC", "1m", NOW - 6 * DAY, NOW, NOW), []

    def look(shift):
        found = fresh.candles("KRW-BTC", "1m", NOW - 6 * DAY + shift * DAY, NOW, NOW)
        if found.volume != expected.volume[len(expected) - len(found) :]:
            wrong.append(shift)

    threads = [threading.Thread(target=look, args=(n % 5,)) for n in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not wrong


@settings(max_examples=20)
@given(st.integers(NOW - 5 * DAY, NOW), st.sampled_from(["1s", "1m", "1h", "1d", "1w", "1y"]))
def test_the_future_is_unknown_and_changes_only_the_forming_candle(now, name):
    interval = INTERVALS[name]
    start = interval.floor(now) - (0 if name == "1y" else interval.step)
    known = as_dict(MODEL.candles("KRW-USDT", name, start, NOW + DAY, now))
    later = as_dict(MODEL.candles("KRW-USDT", name, start, NOW + DAY, now + DAY))
    forming = interval.floor(now - 1)
    assert all(time <= forming for time in known)
    assert {time: row for time, row in known.items() if time < forming} == {
        time: row for time, row in later.items() if time < forming
    }
    trades = MODEL.trades("KRW-USDT", forming, NOW + DAY, now)
    assert (trades.ms * 1000 < now).all()
    assert known.get(forming) == candles_by_hand(trades, interval, forming, forming + 1).get(forming)


def test_every_trade_is_on_the_tick_table_and_numbered():
    for market in MARKETS:
        trades = MODEL.trades(market, NOW - 4 * DAY, NOW, NOW)
        assert (floor_to_tick(quote_of(market), trades.price) == trades.price).all()
        assert (trades.volume > 0).all()
        assert (np.diff(trades.ms) >= 0).all()
        assert (np.diff(trades.sequential_id) > 0).all()
        assert (trades.sequential_id // 10_000 == trades.ms).all()
    dense = MODEL.trades("KRW-BTC", NOW - DAY, NOW, NOW)
    assert (np.diff(dense.ms) == 0).sum() > 100  # several trades in one millisecond
    assert dense.sequential_id.max() > 1 << 53


def test_a_part_keeps_the_numbers_of_the_whole():
    trades = MODEL.trades("KRW-BTC", NOW - DAY, NOW, NOW)
    place = int(np.flatnonzero(np.diff(trades.ms) == 0)[0]) + 1
    assert trades[place : place + 1].sequential_id[0] == trades.sequential_id[place] == trades.ms[place] * 10_000 + 1


def test_the_markets_have_their_characters():
    month = Span(moment("2026-01-05"), moment("2026-02-05"))
    slots = (month.end - month.start) // 60_000_000
    closed = sum(one.end - one.start for one in MODEL.maintenance(*month)) // 60_000_000
    rows = {market: len(MODEL.candles(market, "1m", *month, NOW)) for market in MARKETS}
    assert slots - closed - rows["KRW-BTC"] in range(1, 100)  # nearly every minute, a few holes
    assert slots - closed - rows["KRW-XRP"] in range(50, 500)
    assert 0 < rows["BTC-XRP"] < 400
    assert rows["KRW-EMPTY"] == rows["KRW-GONE"] == 0
    assert len(MODEL.candles("KRW-EMPTY", "1y", 0, NOW, NOW)) == 0
    # Silent for weeks.
    quiet = MODEL.candles("KRW-QUIET", "1d", moment("2025-12-01"), NOW, NOW)
    assert int(np.diff(quiet.time).max()) > 40 * DAY
    # Listed in the middle of the month.
    listed = moment("2026-01-15T07:00:00Z")
    assert MODEL.candles("KRW-NEW", "1m", *month, NOW).time[0] >= listed
    assert MODEL.listing("KRW-NEW", listed - 1) is None
    assert MODEL.listing("KRW-NEW", listed) is not None
    gone = moment("2025-12-22T06:00:00Z")
    assert MODEL.listing("KRW-GONE", gone) is None
    assert MODEL.listing("KRW-GONE", gone - 1) is not None
    assert MODEL.last_trade("KRW-GONE", NOW).ms[0] * 1000 < gone


def test_maintenance_stops_every_market_at_once():
    stops = MODEL.maintenance(moment("2025-01-01"), moment("2026-01-01"))
    assert 1 <= len(stops) <= 12
    for stop in stops:
        for market in MARKETS:
            assert not len(MODEL.trades(market, *stop, NOW))
        around = MODEL.trades("KRW-BTC", stop.start - 600_000_000, stop.end + 600_000_000, NOW)
        assert len(around) > 20
    chosen = [Span(NOW - DAY, NOW - DAY // 2)]
    model = MarketModel(7, maintenance=chosen)
    assert model.maintenance(0, NOW) == chosen
    assert not len(model.trades("KRW-BTC", *chosen[0], NOW))
    assert len(model.trades("KRW-BTC", chosen[0].end, NOW, NOW))


def test_a_market_grows_busy():
    early = len(MODEL.trades("KRW-BTC", moment("2022-12-01"), moment("2022-12-08")))
    late = len(MODEL.trades("KRW-BTC", moment("2023-02-01"), moment("2023-02-08")))
    assert early * 3 < late


@pytest.mark.parametrize("market", ["KRW-BTC", "KRW-QUIET", "KRW-NEW", "BTC-ETH", "USDT-DOGE", "KRW-USDT"])
@pytest.mark.parametrize("at", [NOW, moment("2026-02-10T00:00:00Z"), moment("2026-01-15T09:00:00Z")])
def test_the_ticker_agrees_with_the_candles(market, at):
    ticker = MODEL.ticker(market, at)
    today = at // DAY * DAY
    last = MODEL.trades(market, at - 400 * DAY, at, at)
    assert (ticker.price, ticker.trade_ms, ticker.volume) == (last.price[-1], last.ms[-1], last.volume[-1])
    rolling = MODEL.trades(market, at - DAY, at, at)
    assert (ticker.value_24h, ticker.volume_24h) == rolling.sums()[:2]
    day = MODEL.candles(market, "1d", today, today + 1, at)
    before = MODEL.last_candles(market, "1d", today, 1, at)
    if len(day):
        assert (ticker.open, ticker.high, ticker.low, ticker.price) == (day.open, day.high, day.low, day.close)
        assert (ticker.day_value, ticker.day_volume) == (day.value_exact[0], day.volume[0])
        assert ticker.previous_close == (before.close[0] if len(before) else day.open[0])
    else:
        assert ticker.open == ticker.high == ticker.low == ticker.previous_close == before.close[0]
        assert ticker.day_value == ticker.day_volume == 0
    year = MODEL.candles(market, "1d", today - 363 * DAY, at, at)
    assert (ticker.high_52w, ticker.low_52w) == (year.high.max(), year.low.min())
    assert year.high[year.time == ticker.high_52w_day * DAY] == ticker.high_52w
    assert year.low[year.time == ticker.low_52w_day * DAY] == ticker.low_52w


def test_books_stand_around_the_last_trade():
    for market in MARKETS:
        for at in (NOW, NOW - DAY // 3):
            book, last = MODEL.book(market, at), MODEL.last_trade(market, at)
            assert book.ms * 1000 <= at
            if not len(last):
                assert not len(book.ask_price)
                continue
            assert (np.diff(book.ask_price) > 0).all()
            assert (np.diff(book.bid_price) < 0).all()
            assert book.ask_price[0] > book.bid_price[0]
            assert last.price[0] == (book.ask_price[0] if last.bid[0] else book.bid_price[0])
            for prices in (book.ask_price, book.bid_price):
                assert (floor_to_tick(quote_of(market), prices) == prices).all()
    assert MODEL.book("BTC-XRP", NOW).ms != MODEL.book("KRW-BTC", NOW).ms


def test_grouping_keeps_every_coin_and_only_widens():
    book = MODEL.book("KRW-BTC", NOW)
    level = 100_000 * SCALE
    grouped = book.grouped(level)
    assert grouped.ask_size.sum() == book.ask_size.sum()
    assert grouped.bid_size.sum() == book.bid_size.sum()
    assert (grouped.ask_price % level == 0).all()
    assert (grouped.bid_price % level == 0).all()
    assert grouped.ask_price[0] >= book.ask_price[0]
    assert grouped.bid_price[0] <= book.bid_price[0]
    assert len(grouped.ask_price) < len(book.ask_price)


# --- arithmetic ---------------------------------------------------------------------------------


@settings(max_examples=60)
@given(some_trades(max_size=60), st.sampled_from(["1s", "1m", "3m", "4h", "1d", "1w", "1M"]))
def test_given_trades_make_their_candles(trades, name):
    listing = Listing("KRW-TOY", "장난감", "Toy", 1, 0, 0, listed=moment("2017-01-01"))
    model, interval = MarketModel(1, [FixedTrades(listing, trades)]), INTERVALS[name]
    assert as_dict(model.candles("KRW-TOY", name, 0, moment("2040-01-01"))) == candles_by_hand(
        trades, interval, 0, moment("2040-01-01")
    )
    value, volume, bought = trades.sums()
    assert value == sum(p * v for p, v in zip(trades.price.tolist(), trades.volume.tolist(), strict=True))
    assert volume == sum(trades.volume.tolist())
    assert bought == sum(trades.volume[trades.bid].tolist())


@given(st.lists(st.integers(0, 10**22), max_size=20))
def test_floats_are_the_nearest_ones(numbers):
    assert exact_floats(numbers).tolist() == [float(Fraction(one, SCALE)) for one in numbers]


@pytest.mark.parametrize(
    ("quote", "price", "tick"),
    [
        ("KRW", "150000000", "1000"), ("KRW", "1000000", "1000"), ("KRW", "999500", "500"), ("KRW", "499900", "100"),
        ("KRW", "99950", "50"), ("KRW", "49990", "10"), ("KRW", "9995", "5"), ("KRW", "4999", "1"), ("KRW", "100", "1"),
        ("KRW", "99.9", "0.1"), ("KRW", "9.99", "0.01"), ("KRW", "0.999", "0.001"), ("KRW", "0.0999", "0.0001"),
        ("KRW", "0.00999", "0.00001"), ("KRW", "0.000001", "0.00000001"), ("BTC", "0.03", "0.00000001"),
        ("USDT", "70000", "0.01"), ("USDT", "10", "0.01"), ("USDT", "9.999", "0.001"), ("USDT", "0.01", "0.00001"),
        ("USDT", "0.00009999", "0.00000001"),
    ],
)  # fmt: skip
def test_price_steps_are_the_documented_ones(quote, price, tick):
    assert Fraction(tick_size(quote, int(Fraction(price) * SCALE)), SCALE) == Fraction(tick)


@given(st.integers(1, 3 * 10**16), st.sampled_from(["KRW", "BTC", "USDT"]))
def test_snapping_stays_within_one_step(price, quote):
    down, up = int(floor_to_tick(quote, price)), int(ceil_to_tick(quote, price))
    step = tick_size(quote, price)
    assert up - step < price <= up
    assert down <= max(price, step)
    assert price - down < step
    both = snap(quote, np.array([price, price]), np.array([True, False]), price, price)
    assert both.tolist() == [up, price - price % step]


def test_supported_levels_are_the_documented_ones():
    whole = {"KRW-BTC": 103_460_000, "KRW-ETH": 3_025_000, "KRW-TRX": 420}
    expected = {
        "KRW-BTC": [0, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000],
        "KRW-ETH": [0, 10_000, 100_000, 1_000_000],
        "KRW-TRX": [0, 1, 10, 100],
    }
    for market, price in whole.items():
        assert [one // SCALE for one in supported_levels("KRW", price * SCALE)] == expected[market]
    assert supported_levels("USDT", 70_000 * SCALE) == supported_levels("BTC", 3_000_000) == [0]


def test_other_regions_and_more_markets():
    assert [one.market for one in default_listings("id")][:2] == ["IDR-BTC", "IDR-ETH"]
    assert not any(one.market.startswith("KRW") for one in default_listings("sg", 5))
    more = many(250)
    assert len({one.market for one in more}) == 250
    model = MarketModel(3, more)
    tickers = [model.ticker(one.market, NOW) for one in more]
    assert sum(one is not None for one in tickers) == 250
    assert {tick_size("KRW", one.price) for one in tickers if one} >= {10**5, 10**6, 10**7, SCALE, 5 * SCALE}
