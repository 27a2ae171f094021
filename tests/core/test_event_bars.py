"""Bars by trades, volume and value against a loop in decimal numbers."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from upbit_frames.core import event_bars
from upbit_frames.core.event_bars import EventBars, Threshold, bought_of
from upbit_frames.core.exact_sums import UNIT, carried, cumulative, digits_of, product_digits, to_floats
from upbit_frames.core.schema import COMPLETE, arrow_schema
from upbit_frames.errors import QueryError

BASE = 1_767_225_600_000_000
Trade = tuple[int, int, int, str]  # microseconds, units of the price, units of the volume, side


def table_of(trades: list[Trade]) -> pa.Table:
    schema = arrow_schema("trades")
    return pa.table(
        {
            "time": pa.array([BASE + trade[0] for trade in trades], pa.int64()).view(schema.field("time").type),
            "price": pa.array([trade[1] / UNIT for trade in trades], pa.float64()),
            "volume": pa.array([trade[2] / UNIT for trade in trades], pa.float64()),
            "side": pa.array([trade[3] for trade in trades], pa.string()),
        }
    )


@st.composite
def many_trades(draw: st.DrawFn) -> list[Trade]:
    """Trades whose numbers a float64 holds exactly to eight decimals, and whole ones far above that."""
    price = st.one_of(st.integers(1, 10**9), st.integers(1, 2 * 10**5).map(lambda one: one * 1000 * UNIT))
    volume = st.one_of(st.integers(0, 2 * UNIT), st.integers(0, 10**15), st.integers(1, 10**10).map(lambda n: n * UNIT))
    rows = draw(st.lists(st.tuples(st.integers(0, 3000), price, volume, st.sampled_from(["bid", "ask"])), max_size=60))
    return sorted(rows, key=lambda row: row[0])


thresholds = st.one_of(
    st.integers(1, 20).map(lambda n: Threshold("ticks", n)),
    st.one_of(st.integers(1, 3 * UNIT), st.integers(1, 10**20)).map(lambda n: Threshold("volume", n)),
    st.one_of(st.integers(1, 3 * UNIT), st.integers(1, 10**22)).map(lambda n: Threshold("value", n)),
)


def model(trades: list[Trade], threshold: Threshold) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """The bars, and the one that is not complete, trade by trade."""
    bars: list[dict[str, Any]] = []
    bar: dict[str, Any] | None = None
    for time, price, volume, side in trades:
        price_, volume_ = Decimal(price) / UNIT, Decimal(volume) / UNIT
        if bar is None:
            bar = {"time": BASE + time, "open": price_, "high": price_, "low": price_, "volume": Decimal(0),
                   "value": Decimal(0), "trades": 0, "buy_volume": Decimal(0)}  # fmt: skip
        bar["high"], bar["low"] = max(bar["high"], price_), min(bar["low"], price_)
        bar["close"], bar["end"] = price_, BASE + time
        bar["volume"] += volume_
        bar["value"] += price_ * volume_
        bar["trades"] += 1
        bar["buy_volume"] += volume_ if side == "bid" else 0
        reached = bar["trades"] if threshold.kind == "ticks" else bar[threshold.kind] * UNIT
        if reached >= threshold.amount:
            bars.append(bar)
            bar = None
    return bars, bar


def rounded(bar: dict[str, Any]) -> dict[str, Any]:
    eight = Decimal(1).scaleb(-8)
    return {
        name: float(value.quantize(eight, ROUND_HALF_EVEN)) if isinstance(value, Decimal) else value
        for name, value in bar.items()
    }


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    schema = arrow_schema("bars")
    assert table.schema.equals(schema)
    plain = table.set_column(0, "time", table["time"].cast(pa.int64()))
    return plain.set_column(7, "end", table["end"].cast(pa.int64())).to_pylist()


@given(many_trades(), thresholds)
def test_every_bar_is_what_a_decimal_loop_gives(trades: list[Trade], threshold: Threshold):
    bars = EventBars(threshold)
    rows = rows_of(bars.add(table_of(trades)))
    with localcontext(prec=80):
        complete, rest = model(trades, threshold)
        assert rows == [rounded(bar) for bar in complete]
        assert rows_of(bars.forming()) == ([] if rest is None else [rounded(rest)])


@given(many_trades(), thresholds, st.lists(st.integers(0, 60), max_size=6), st.integers(1, 9))
def test_where_the_chunks_are_cut_changes_nothing(
    trades: list[Trade], threshold: Threshold, cuts: list[int], rows: int
):
    whole, pieces = EventBars(threshold), EventBars(threshold)
    table = table_of(trades)
    expected = whole.add(table)
    edges = [0, *sorted(cuts), len(table)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_bars, "_ROWS", rows)
        parts = [pieces.add(table.slice(low, max(0, high - low))) for low, high in pairwise(edges)]
    assert pieces.finish(parts, forming=False).equals(expected)
    assert pieces.forming().equals(whole.forming())


@given(many_trades(), thresholds)
def test_nothing_is_lost_between_bars(trades: list[Trade], threshold: Threshold):
    bars = EventBars(threshold)
    table = bars.finish([bars.add(table_of(trades))], forming=True)
    assert sum(table["trades"].to_pylist()) == len(trades)
    assert table.column_names == [*arrow_schema("bars").names, COMPLETE.name]
    assert all(table["complete"].to_pylist()[:-1])


digit = st.one_of(st.integers(0, 3), st.integers(0, UNIT - 1), st.integers(UNIT - 3, UNIT - 1))
whole_part = st.one_of(st.integers(0, 3), st.integers(0, 10**11), st.integers(2**54, 2**55))


@given(
    st.lists(st.tuples(whole_part, digit, digit), min_size=1, max_size=60), whole_part, digit, st.integers(2, 3),
    st.booleans(),
)  # fmt: skip
@example([(2**55, 7, 0), (1, 8, 1), (2**55, 5, 0), (2**55, 5, 0)], 2**55, 6, 3, False)  # the key alone is equal
def test_both_searches_for_the_ends_of_bars_are_those_of_a_loop(
    terms: list[tuple[int, int, int]], wholes: int, units: int, places: int, alike: bool
):
    if alike:  # sums that reach the threshold exactly, again and again
        terms = [terms[number % 2 % len(terms)] for number in range(len(terms))]
    amount = (wholes, units) if wholes or units else (0, 1)
    sums = cumulative(np.array(terms, dtype=np.int64).T[:places].copy())
    exact = [sum(int(one) * UNIT ** (2 - place) for place, one in enumerate(column)) for column in sums.T]
    ends, reached = [], 0
    for at, total in enumerate(exact):
        if total - reached >= amount[0] * UNIT**2 + amount[1] * UNIT:
            ends.append(at)
            reached = total
    assert event_bars._crossings_by_trade(sums, amount).tolist() == ends
    assert event_bars._crossings_by_bar(sums, amount).tolist() == ends


def test_the_trade_that_crosses_belongs_to_its_bar_whole():
    trades = [(i, 100 * UNIT, volume, "bid") for i, volume in enumerate([6 * UNIT, 5 * UNIT, 9 * UNIT, UNIT])]
    bars = EventBars(Threshold.build(volume=10))
    table = bars.add(table_of(trades))
    assert table["volume"].to_pylist() == [11.0, 10.0]  # one above does not shorten the next


def test_sums_of_tenths_reach_their_threshold():
    trades = [(i, 10 * UNIT, UNIT // 10, "ask") for i in range(30)]
    assert [len(EventBars(Threshold.build(volume=0.3)).add(table_of(trades)))] == [10]  # floats reach it a trade late
    assert len(EventBars(Threshold.build(value=3.0)).add(table_of(trades))) == 10


def test_an_interruption_leaves_the_incomplete_bar_out():
    bars = EventBars(Threshold.build(ticks=3))
    first = bars.add(table_of([(i, UNIT, UNIT, "bid") for i in range(5)]))
    bars.interrupt()
    second = bars.add(table_of([(i, UNIT, UNIT, "bid") for i in range(9, 12)]))
    assert (first["trades"].to_pylist(), second["time"].cast(pa.int64()).to_pylist()) == ([3], [BASE + 9])


def test_trades_of_fractions_of_a_won_times_a_hundred_billion_coins():
    trades = [(i, 61_000, 160_000_000_000 * UNIT, "bid") for i in range(3)]
    table = EventBars(Threshold.build(value=1.9e8)).add(table_of(trades))
    assert table["value"].to_pylist() == [195_200_000.0]
    assert table["volume"].to_pylist() == [320_000_000_000.0]


@given(st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**15)), min_size=1, max_size=20))
def test_products_are_exact(pairs: list[tuple[int, int]]):
    price, volume = (digits_of(np.array([pair[i] / UNIT for pair in pairs])) for i in (0, 1))
    digits = product_digits(price, volume)
    found = [(int(a) * UNIT + int(b)) * UNIT + int(c) for a, b, c in digits.T]
    assert found == [p * v for p, v in pairs]


@given(st.lists(st.integers(-(10**17), 10**17), min_size=1, max_size=9))
def test_sums_become_the_nearest_float(units: list[int]):
    digits = carried(np.array([[0] * len(units), units]))
    assert to_floats(digits).tolist() == [one / UNIT for one in units]


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({}, "exactly one threshold, ticks=, volume= or value=, got none"),
        ({"ticks": 5, "volume": 1.0}, "got ticks=5 and volume=1.0"),
        ({"ticks": 0}, "ticks must be an integer of at least 1, got 0"),
        ({"ticks": 2.5}, "ticks must be an integer of at least 1, got 2.5"),
        ({"volume": 0}, "volume must be a number above 0"),
        ({"volume": -1.0}, "volume must be a number above 0"),
        ({"value": float("nan")}, "value must be a number above 0 .*got nan"),
        ({"value": float("inf")}, "value must be a number above 0 .*got inf"),
        ({"value": "1e9"}, "value must be a number above 0 .*got '1e9'"),
        ({"volume": True}, "volume must be a number above 0"),
        ({"volume": 1e-9}, "volume must be at least 0.00000001"),
    ],
)
def test_bad_thresholds_are_refused(given_: dict[str, Any], message: str):
    with pytest.raises(QueryError, match=message):
        Threshold.build(**given_)


def test_thresholds_of_numpy_and_decimals_are_numbers():
    assert Threshold.build(ticks=np.int64(5)) == Threshold("ticks", 5)
    assert Threshold.build(volume=np.float32(0.5)) == Threshold("volume", UNIT // 2)
    assert Threshold.build(value=Decimal("0.1")) == Threshold("value", UNIT // 10)
    assert (Threshold.build(value=1e9).text, Threshold.build(ticks=500).text) == ("value=1e+09", "ticks=500")


@pytest.mark.parametrize(("column", "value"), [("volume", float("nan")), ("price", float("inf")), ("volume", -1.0)])
def test_amounts_that_cannot_be_added_are_refused(column: str, value: float):
    table = table_of([(0, UNIT, UNIT, "bid")])
    table = table.set_column(table.column_names.index(column), column, pa.array([value]))
    with pytest.raises(QueryError, match=f"{column} must be finite, not negative"):
        EventBars(Threshold.build(ticks=1)).add(table)


def test_products_beyond_an_int64_are_refused():
    with pytest.raises(QueryError, match="to be added exactly"):
        EventBars(Threshold.build(ticks=1)).add(table_of([(0, 10**18, 10**18, "bid")]))


def test_times_that_do_not_ascend_are_refused():
    bars = EventBars(Threshold.build(ticks=1))
    bars.add(table_of([(5, UNIT, UNIT, "bid")]))
    with pytest.raises(QueryError, match="do not ascend"):
        bars.add(table_of([(4, UNIT, UNIT, "bid")]))


@pytest.mark.parametrize("side", ["BID", None, "buy"])
def test_sides_other_than_the_two_are_refused(side: str | None):
    with pytest.raises(QueryError, match="side must be 'bid'"):
        bought_of(pa.chunked_array([["ask", side]], pa.string()))
