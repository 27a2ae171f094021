"""Interactive charts: levels against a simple model, packing there and back, the page's structure, live candles."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upbit_frames.core.intervals import INTERVALS
from upbit_frames.core.schema import arrow_schema
from upbit_frames.errors import QueryError
from upbit_frames.frames.chart import levels as levels_module
from upbit_frames.frames.chart.levels import Level, levels_of, tail_of
from upbit_frames.frames.chart.packing import pack, pack_numbers, unpack
from upbit_frames.frames.chart.widget import LiveChart, first_change, merged
from upbit_frames.frames.from_pandas import micros_of

MINUTE = 60_000_000
START = 1_767_225_600_000_000  # 2026-01-01


def table_of(minutes: list[int], seed: int = 1) -> pa.Table:
    rng = np.random.default_rng(seed)
    count = len(minutes)
    open_, close = (rng.integers(900, 1100, count).astype(float) for _ in range(2))
    columns = {
        "open": open_, "high": np.maximum(open_, close) + rng.integers(0, 9, count),
        "low": np.minimum(open_, close) - rng.integers(0, 9, count), "close": close,
        "volume": rng.integers(1, 10**9, count) / 1e8, "value": rng.integers(1, 10**12, count) / 1e4,
    }  # fmt: skip
    schema = arrow_schema("candles")
    times = pa.array(START + np.array(minutes, dtype=np.int64) * MINUTE).view(schema.field("time").type)
    return pa.table({"time": times, **columns})


def frame_of(minutes: list[int], seed: int = 1, tz: str = "UTC") -> pd.DataFrame:
    frame = table_of(minutes, seed).to_pandas().set_index("time").tz_convert(tz)
    frame.attrs["upbit_frames"] = {"market": "KRW-BTC", "interval": "1m"}
    return frame


MINUTES = st.lists(st.integers(0, 4000), unique=True, min_size=1, max_size=300).map(sorted)


@settings(max_examples=60)
@given(MINUTES, st.integers(0, 99), st.sets(st.integers(0, 4000)))
def test_levels_are_exact_aggregations_and_lose_nothing(minutes: list[int], seed: int, quiet: set[int]) -> None:
    table = table_of(minutes, seed)
    filled = np.array([minute in quiet for minute in minutes])
    before = levels_module.FEWEST
    levels_module.FEWEST = 5
    try:
        levels = levels_of(table, filled, INTERVALS["1m"])
    finally:
        levels_module.FEWEST = before
    assert levels[0].table is table
    assert all(2 * len(b) <= len(a) for a, b in pairwise(levels))
    rows = table.to_pylist()
    times = micros_of(table).tolist()
    for level in levels:
        buckets: dict[int, list[int]] = {}
        for i, moment in enumerate(times):
            buckets.setdefault(level.grid.floor(moment), []).append(i)
        assert micros_of(level.table).tolist() == list(buckets)
        for candle, mark, members in zip(level.table.to_pylist(), level.filled, buckets.values(), strict=True):
            assert candle["open"] == rows[members[0]]["open"]
            assert candle["close"] == rows[members[-1]]["close"]
            assert candle["high"] == max(rows[i]["high"] for i in members)
            assert candle["low"] == min(rows[i]["low"] for i in members)
            assert round(candle["volume"] * 1e8) == sum(round(rows[i]["volume"] * 1e8) for i in members)
            assert mark == all(minutes[i] in quiet for i in members)


def test_a_year_of_minutes_has_few_candles_on_top() -> None:
    levels = levels_of(table_of(list(range(525_600))), np.zeros(525_600, bool), INTERVALS["1m"])
    assert len(levels[-1]) <= levels_module.FEWEST
    assert sum(map(len, levels[1:])) < len(levels[0])


@given(st.lists(st.integers(-(10**13), 10**13), min_size=1, max_size=50), st.sampled_from([0, 1, 2, 4, 8]))
def test_prices_are_packed_exactly(units: list[int], decimals: int) -> None:
    values = np.array(units) / 10**decimals
    np.testing.assert_array_equal(unpack(pack_numbers(values)), values)


@given(st.lists(st.floats(allow_nan=False), max_size=20))
def test_any_float_is_packed_exactly(values: list[float]) -> None:
    np.testing.assert_array_equal(unpack(pack_numbers(np.array(values))), values)


def test_a_level_is_packed_whole() -> None:
    table = table_of([0, 1, 5])
    packed = json.loads(json.dumps(pack(Level(INTERVALS["1m"], table, np.array([False, True, False])))))
    columns = {name: unpack(column) for name, column in packed["columns"].items()}
    assert packed["name"] == "1m"
    assert columns["time"].tolist() == [START // 1000 + 60_000 * minute for minute in (0, 1, 5)]
    assert (columns["end"] - columns["time"]).tolist() == [60_000] * 3
    assert columns["filled"].tolist() == [0, 1, 0]
    np.testing.assert_array_equal(columns["high"], table["high"])
    np.testing.assert_allclose(columns["volume"], table["volume"], rtol=1e-6)


@settings(max_examples=40)
@given(MINUTES, st.lists(st.integers(0, 4000), unique=True, min_size=1, max_size=30).map(sorted))
def test_a_tail_makes_every_level_what_all_candles_make_it(old: list[int], new: list[int]) -> None:
    base, news = table_of(old, 1), table_of(new, 2)
    table = merged(base, news)
    assert micros_of(table).tolist() == [START + m * MINUTE for m in [m for m in old if m < new[0]] + new]
    grids = [INTERVALS[name] for name in ("1m", "5m", "1h", "1d")]
    filled = np.zeros(len(table), bool)
    for tail in tail_of(Level(grids[0], table, filled), grids, START + new[0] * MINUTE):
        before = tail_of(Level(grids[0], base, np.zeros(len(base), bool)), [grids[0], tail.grid], 0)[1].table
        whole = tail_of(Level(grids[0], table, filled), [grids[0], tail.grid], 0)[1].table
        assert merged(before, tail.table).select(whole.column_names).to_pylist() == whole.to_pylist()


def test_only_changes_are_noticed() -> None:
    old = table_of([0, 1, 2, 3])
    assert first_change(old, old.slice(2)) is None
    assert first_change(old, old.slice(0, 0)) is None
    assert first_change(old, merged(old, table_of([3], 5)).slice(1)) == START + 3 * MINUTE
    assert first_change(old, table_of([4], 5)) == START + 4 * MINUTE
    grown = pa.concat_tables([old.slice(2), table_of([4], 5)])
    assert first_change(old, grown) == START + 4 * MINUTE


def content_of(page: str) -> dict[str, Any]:
    text = page.rpartition("const CHART = ")[2]
    return json.JSONDecoder().raw_decode(text)[0]  # type: ignore[no-any-return]


def test_the_page_loads_nothing_and_holds_everything(tmp_path: Path) -> None:
    frame = frame_of([0, 1, 2, 10], tz="Asia/Seoul")
    path = frame.uf.chart(lang="ko", title="</script><b>비트코인").to_html(tmp_path / "x.html")
    page = path.read_text(encoding="utf-8")
    assert re.search(r"<(script|link|img)[^>]*\s(src|href)=", page.rpartition("<div id='plot'>")[2]) is None
    assert page.count("</script><b>") == 0
    assert page.count("<script>") - 0 >= 2
    content = content_of(page)
    assert content["words"]["value"] == "거래대금"
    assert content["price"] == "가격 (KRW)"
    assert content["offsets"] == [[0, 9 * 3_600_000]]
    assert len(unpack(content["levels"][0]["columns"]["close"])) == 4
    with pytest.raises(QueryError, match="lang"):
        frame.uf.chart(lang="kr")


def test_a_change_of_clocks_is_in_the_page() -> None:
    hours = pd.date_range("2026-03-08 05:00", periods=4, freq="1h", tz="UTC", name="time")
    frame = frame_of([0, 1, 2, 3]).set_index(hours.tz_convert("America/New_York"))
    frame.attrs["upbit_frames"] = {"market": "KRW-BTC", "interval": "1h"}
    change = pd.Timestamp("2026-03-08 07:00", tz="UTC").value // 10**6
    assert content_of(frame.uf.chart().html())["offsets"] == [[0, -5 * 3_600_000], [change, -4 * 3_600_000]]


def test_a_notebook_gets_a_frame_of_its_own() -> None:
    chart = frame_of([0, 1]).uf.chart(height=300)
    shown = chart._repr_html_()
    assert shown.startswith("<iframe srcdoc='")
    assert "height:300px" in shown
    assert shown.count("'") == 4
    assert repr(chart).startswith("<Chart KRW-BTC 1m: 2 of 1m")


def test_several_markets_are_refused_and_none_is_a_sentence() -> None:
    both = pd.concat({"KRW-BTC": frame_of([0, 1]), "KRW-ETH": frame_of([0, 1])}, names=["market"])
    with pytest.raises(QueryError, match="has 2"):
        both.uf.chart()
    assert content_of(frame_of([0, 1]).iloc[:0].uf.chart(lang="ko").html())["words"]["empty"] == "캔들 없음"


class Followed:
    """A follow whose frames the test decides."""

    closed = True

    def to_frame(self, forming: bool | None = None) -> pd.DataFrame:
        return frame_of([2, 3], 9)


def test_live_candles_reach_the_page() -> None:
    chart = frame_of([0, 1, 2]).uf.chart()
    live = LiveChart(chart, Followed(), 1.0)
    live._thread.join(30)
    (tail,) = live.widget.tail
    assert unpack(tail["columns"]["time"]).tolist() == [START // 1000 + 120_000, START // 1000 + 180_000]
    assert not live.running
    before = live.widget.tail
    live.take(frame_of([2, 3], 9))
    assert live.widget.tail is before or live.widget.tail == before
    live.take(frame_of([4], 3))
    assert len(unpack(live.widget.tail[0]["columns"]["time"])) == 3  # all since the page was made
    assert live.error is None
    live.stop()


def test_a_table_to_read() -> None:
    frame = frame_of(list(range(300)), tz="Asia/Seoul")
    html = frame.uf.style(lang="ko", rows=5).to_html()
    for word in ("시가", "거래대금", "전체 300행 중 최근 5행", "white-space: nowrap"):
        assert word in html
    value = frame["value"].iloc[-1]
    assert f">{value:,.0f}<" in html
    assert f">{frame['volume'].iloc[-1]:,.8f}<" in html
    assert "e+" not in html


@pytest.mark.parametrize(("module", "call"), [("plotly", "chart().html()"), ("jinja2", "style()")])
def test_what_is_missing_is_named(module: str, call: str) -> None:
    code = (
        f"import sys; sys.modules['{module}'] = None\n"
        "import pandas as pd\nimport upbit_frames as uf\n"
        "frame = pd.DataFrame({name: [1.0] for name in ('open','high','low','close','volume','value')},"
        " index=pd.DatetimeIndex(['2026-01-01'], tz='UTC', name='time'))\n"
        f"try:\n    frame.uf.{call}\n"
        "except uf.errors.UsageError as error:\n    assert 'pip install' in str(error)\n"
        "else:\n    raise SystemExit(1)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
