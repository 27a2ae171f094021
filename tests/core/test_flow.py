"""Flow of trades against a loop in decimal numbers."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upbit_frames.core.bar_grid import parse_grid
from upbit_frames.core.exact_sums import UNIT
from upbit_frames.core.flow import flow_of_trades
from upbit_frames.core.intervals import INTERVALS, Span
from upbit_frames.core.resample import candles_of_trades
from upbit_frames.core.schema import COMPLETE, arrow_schema
from upbit_frames.errors import QueryError

HOUR = 3_600_000_000
START = 1_793_400_000_000_000  # 2026-10-30; New York changes its clocks on 2026-11-01
Trade = tuple[int, int, int, str]

many_trades = st.lists(
    st.tuples(
        st.integers(0, 72 * HOUR),
        st.one_of(st.integers(1, 10**9), st.integers(1, 2 * 10**5).map(lambda one: one * 1000 * UNIT)),
        st.one_of(st.integers(0, 2 * UNIT), st.integers(0, 10**12)),
        st.sampled_from(["bid", "ask"]),
    ),
    max_size=50,
).map(lambda rows: sorted(rows, key=lambda row: row[0]))
grids = st.sampled_from(
    [INTERVALS["1h"], INTERVALS["1d"], parse_grid("6h", "Asia/Seoul"), parse_grid("1d", "17:00 America/New_York")]
)


def table_of(trades: list[Trade]) -> pa.Table:
    return pa.table(
        {
            "time": pa.array([START + one[0] for one in trades], pa.int64()).view(
                arrow_schema("flow").field("time").type
            ),
            "price": pa.array([one[1] / UNIT for one in trades], pa.float64()),
            "volume": pa.array([one[2] / UNIT for one in trades], pa.float64()),
            "value": pa.array([one[1] / UNIT * (one[2] / UNIT) for one in trades], pa.float64()),
            "side": pa.array([one[3] for one in trades], pa.string()),
        }
    )


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    return table.set_column(0, "time", table["time"].cast(pa.int64())).to_pylist()


def model(trades: list[Trade], grid: Any) -> list[dict[str, Any]]:
    def near(value: Decimal) -> float:
        return float(value.quantize(Decimal(1).scaleb(-8), ROUND_HALF_EVEN))

    periods: dict[int, list[Trade]] = {}
    for one in trades:
        periods.setdefault(grid.floor(START + one[0]), []).append(one)
    rows = []
    for start, inside in periods.items():
        volume, value = ({"bid": Decimal(0), "ask": Decimal(0)} for _ in range(2))
        for _, price, amount, side in inside:
            volume[side] += Decimal(amount) / UNIT
            value[side] += Decimal(price) * Decimal(amount) / UNIT / UNIT
        coins, money = sum(volume.values()), sum(value.values())
        rows.append(
            {
                "time": start, "trades": len(inside), "buy_volume": near(volume["bid"]),
                "sell_volume": near(volume["ask"]), "delta": near(volume["bid"] - volume["ask"]),
                "buy_value": near(value["bid"]), "sell_value": near(value["ask"]),
                "vwap": near(Decimal(money)) / near(Decimal(coins)) if coins else None,
            }
        )  # fmt: skip
    return rows


@given(many_trades, grids)
def test_every_period_is_what_a_decimal_loop_gives(trades: list[Trade], grid: Any):
    table = flow_of_trades(table_of(trades), grid, edges="keep")
    assert table.schema.equals(arrow_schema("flow"), check_metadata=True)
    with localcontext(prec=60):
        assert rows_of(table) == model(trades, grid)


@given(many_trades, grids, st.integers(0, 72), st.integers(0, 72), st.booleans())
def test_the_same_periods_as_candles_are_complete(trades: list[Trade], grid: Any, low: int, high: int, given_: bool):
    span = Span(START + min(low, high) * HOUR, START + max(low, high) * HOUR) if given_ else None
    table = table_of(trades)
    for edges in ("drop", "keep"):
        flow = flow_of_trades(table, grid, span=span, edges=edges)
        assert flow["time"].equals(candles_of_trades(table, grid, span=span, edges=edges)["time"])
    flagged = flow_of_trades(table, grid, span=span, edges="flag")
    assert flagged.filter(flagged[COMPLETE.name]).num_rows == flow_of_trades(table, grid, span=span).num_rows


@given(many_trades, grids)
def test_candles_have_the_same_sums(trades: list[Trade], grid: Any):
    """Their volume and value are those of a decimal loop, rounded once: nothing of a product is lost on the way."""

    def near(value: Decimal) -> float:
        return float(value.quantize(Decimal(1).scaleb(-8), ROUND_HALF_EVEN))

    sums: dict[int, list[Decimal]] = {}
    with localcontext(prec=60):
        for time, price, amount, _ in trades:
            both = sums.setdefault(grid.floor(START + time), [Decimal(0), Decimal(0)])
            both[0] += Decimal(amount) / UNIT
            both[1] += Decimal(price) * Decimal(amount) / UNIT / UNIT
        expected = [[near(volume), near(value)] for volume, value in sums.values()]
    candles = candles_of_trades(table_of(trades), grid, edges="keep")
    assert [
        list(row) for row in zip(*(candles[name].to_pylist() for name in ("volume", "value")), strict=True)
    ] == expected


def test_candles_of_what_cannot_be_multiplied_are_sums_of_the_values():
    table = table_of([(0, UNIT, UNIT, "bid"), (1, UNIT, UNIT, "ask")])
    table = table.set_column(2, "volume", pa.array([float("nan"), 1.0]))
    (row,) = candles_of_trades(table, INTERVALS["1h"], edges="keep").to_pylist()
    assert row["value"] == 2.0
    assert row["volume"] != row["volume"]


def test_other_edges_are_refused():
    with pytest.raises(QueryError, match="edges must be one of"):
        flow_of_trades(table_of([]), INTERVALS["1h"], edges="cut")
