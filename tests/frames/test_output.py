"""What a table becomes: index, types, attrs, zones; the same when empty."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from upbit_frames.core.arrow import grid_codes
from upbit_frames.core.event_bars import EventBars, Threshold
from upbit_frames.core.flow import flow_of_trades
from upbit_frames.core.intervals import INTERVALS
from upbit_frames.core.schema import KINDS, arrow_schema
from upbit_frames.errors import ConfigError, UsageError
from upbit_frames.exchange import wire as normalize
from upbit_frames.frames import output as frames

ATTRS = {"market": "KRW-BTC", "interval": "1m", "route": [{"channel": "store", "rows": 3}]}
TEXT = str(frames.text_type())  # "str" from pandas 3 on
TYPES = {
    "timestamp[us, UTC]": "datetime64[us, UTC]",
    "double": "float64",
    "int64": "int64",
    "string": TEXT,
    "bool": "bool",
    "dictionary<string>": TEXT,
    "date32": "datetime64[us]",
    "list<double>": "object",
    "list<string>": "object",
}
INDEX = {
    "candles": ["time"],
    "trades": ["time"],
    "bars": ["time"],
    "flow": ["time"],
    "ticker": ["market"],
    "orderbook": ["market", "level"],
    "books": ["time"],
    "markets": ["market"],
    "instruments": ["market"],
}


def types(frame: pd.DataFrame) -> dict[str, str]:
    index = {name: str(frame.index.get_level_values(name).dtype) for name in frame.index.names}
    return index | {name: str(kind) for name, kind in frame.dtypes.items()}


def recorded_books() -> pa.Table:
    """Two books of two levels."""
    sides = [[100.0, 101.0], [1.5, 2.5], [99.0, 98.0], [0.5, 0.25]]
    times = pa.array([1_767_225_600_000_000, 1_767_225_601_000_000]).cast(pa.timestamp("us", "UTC"))
    columns = [times, times, *([side, side] for side in sides), [4.0, 4.0], [0.75, 0.75]]
    schema = arrow_schema("books")
    return pa.Table.from_arrays(
        [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)], schema=schema
    )


@pytest.fixture(scope="session")
def full(real_data: Path, trades: pa.Table, walk: Any) -> dict[str, pa.Table]:
    """A table of every kind, from real answers where there are any."""

    def body(name: str) -> bytes:
        text = (real_data / "rest" / "cassettes" / f"get_{name}.yaml").read_text(encoding="utf-8")
        return yaml.safe_load(text)["interactions"][0]["response"]["body"]["string"].encode()

    listed = (
        '[{"market":"KRW-BTC","korean_name":"비트코인","english_name":"Bitcoin","market_event":{"warning":true,'
        '"caution":{"PRICE_FLUCTUATIONS":true}}}]'
    )
    return {
        "candles": walk(300, chunks=3),
        "trades": trades,
        "bars": EventBars(Threshold.build(ticks=2)).add(trades),
        "flow": flow_of_trades(trades, INTERVALS["1m"], edges="keep"),
        "ticker": normalize.ticker(body("tickers_by_quote")),
        "orderbook": normalize.orderbook(body("orderbooks")),
        "books": recorded_books(),
        "markets": normalize.markets(listed.encode()),
        "instruments": normalize.instruments(body("orderbook_instruments")),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_types_are_those_of_the_schema_also_when_empty(kind: str, full: dict[str, pa.Table]):
    wanted = {column.name: TYPES[column.type] for column in KINDS[kind]}
    wanted |= {"seq": "Int64"} if kind == "trades" else {}
    for table in (full[kind], arrow_schema(kind).empty_table()):
        frame = frames.to_output(table, kind, "pandas")
        assert types(frame) == wanted
        assert list(frame.index.names) == INDEX[kind]
        assert list(frame.columns) == [name for name in wanted if name not in INDEX[kind]]
        assert len(frame) == len(table)


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_those_of_the_table(kind: str, full: dict[str, pa.Table]):
    table = full[kind]
    frame = frames.to_output(table, kind, "pandas").reset_index()
    for name in table.column_names:
        for got, wanted in zip(frame[name], table[name].to_pylist(), strict=True):
            if wanted is None:
                assert pd.isna(got)
            elif isinstance(wanted, date) and not isinstance(wanted, datetime):
                assert got.date() == wanted
            else:
                assert got == wanted


@pytest.mark.parametrize("kind", KINDS)
def test_polars_and_arrow_hold_the_same(kind: str, full: dict[str, pa.Table]):
    table = full[kind]
    assert frames.to_output(table, kind, "polars").to_dicts() == table.to_pylist()
    arrow = frames.to_output(table, kind, "arrow", attrs=ATTRS)
    assert arrow.equals(table)
    assert json.loads(arrow.schema.metadata[b"upbit_frames"]) == ATTRS
    assert arrow.schema.metadata[b"upbit_frames.kind"] == kind.encode()


@pytest.mark.parametrize("tz", ["UTC", "Asia/Seoul", "America/New_York"])
def test_the_zone_changes_only_what_is_shown(tz: str, walk: Any, full: dict[str, pa.Table]):
    table = walk(3)
    frame = frames.to_output(table, "candles", "pandas", tz=tz)
    assert str(frame.index.dtype) == f"datetime64[us, {tz}]"
    assert frame.index.name == "time"
    assert frame.index.is_monotonic_increasing
    assert [stamp.astimezone(UTC) for stamp in frame.index.to_pydatetime()] == table["time"].to_pylist()
    assert frames.to_output(table, "candles", "arrow", tz=tz)["time"].cast(pa.int64()) == table["time"].cast(pa.int64())
    assert frames.to_output(table, "candles", "polars", tz=tz).schema["time"] == pl.Datetime("us", tz)
    ticker = frames.to_output(full["ticker"], "ticker", "pandas", tz=tz)
    assert str(ticker["updated"].dtype) == f"datetime64[us, {tz}]"


def test_attrs_are_one_key(walk: Any):
    frame = frames.to_output(walk(3), "candles", "pandas", attrs=ATTRS)
    assert frame.attrs == {"upbit_frames": ATTRS}
    assert frame.iloc[1:].attrs == frame.attrs
    assert frames.to_output(walk(3), "candles", "pandas").attrs == {}


@settings(max_examples=50)
@given(st.lists(st.integers(0, 5), max_size=5), st.data())
def test_chunks_do_not_show(sizes: list[int], data: Any):
    """A table from several files is the same frame as one that came in one piece."""
    schema = arrow_schema("candles")
    count = sum(sizes)
    times = pa.array(np.arange(count) * 1_000_000).view(schema.field("time").type)
    numbers = [pa.array(np.arange(count) + i / 10) for i in range(6)]
    whole = pa.Table.from_arrays([times, *numbers], schema=schema)
    edges = np.cumsum([0, *sizes]).tolist()
    parts = [whole.slice(low, size) for low, size in zip(edges, sizes, strict=False)]
    joined = pa.concat_tables(parts) if parts else whole
    pd.testing.assert_frame_equal(
        frames.to_output(joined, "candles", "pandas"), frames.to_output(whole, "candles", "pandas")
    )


def test_the_frame_is_the_readers_own(walk: Any):
    """Writing into the frame works, and does not reach the table."""
    table = walk(50)
    before = table.to_pylist()
    frame = frames.to_output(table, "candles", "pandas")
    frame.iloc[0, 0] = -1.0
    frame.loc[frame.index[1], "close"] = -2.0
    frame["volume"] *= 2
    frame["new"] = 1
    assert table.to_pylist() == before
    held = frames.to_output(table.append_column("filled", pa.array([False] * 50)), "candles", "pandas")
    held.loc[held.index[3], "filled"] = True
    assert held["filled"].sum() == 1


def test_writing_into_frames_of_other_kinds(full: dict[str, pa.Table]):
    for kind, table in full.items():
        frame = frames.to_output(table, kind, "pandas")
        lists = [column.name for column in KINDS[kind] if column.type.startswith("list")]  # no single values
        for name in frame.columns.difference(lists):
            frame.iloc[0, frame.columns.get_loc(name)] = frame[name].iloc[-1]


def test_several_markets_make_two_levels(walk: Any):
    words = pa.array(["KRW-XRP", "KRW-BTC", "KRW-ETH"])
    parts = []
    for code, count in ((0, 3), (1, 0), (2, 4)):
        codes = pa.array(np.full(count, code, dtype=np.int32))
        parts.append(walk(count).add_column(0, "market", pa.DictionaryArray.from_arrays(codes, words)))
    table = pa.concat_tables(parts)
    frame = frames.to_output(table, "candles", "pandas", tz="Asia/Seoul", index=["market", "time"])
    assert frame.index.names == ["market", "time"]
    assert types(frame)["market"] == TEXT
    assert types(frame)["time"] == "datetime64[us, Asia/Seoul]"
    assert frame.index.get_level_values("market").tolist() == ["KRW-XRP"] * 3 + ["KRW-ETH"] * 4
    alone = frames.to_output(walk(4), "candles", "pandas", tz="Asia/Seoul")
    pd.testing.assert_frame_equal(frame.loc["KRW-ETH"], alone)
    assert len(frame.loc[("KRW-XRP", "2026-01-01 09:01")]) == 6
    assert frame["close"].unstack("market").shape == (4, 2)
    none = frames.to_output(table.slice(0, 0), "candles", "pandas", index=["market", "time"])
    assert types(none) == types(frame) | {"time": "datetime64[us, UTC]"}


def test_ids_never_go_through_float(trades: pa.Table):
    frame = frames.to_output(trades, "trades", "pandas")
    assert frame["sequential_id"].tolist() == [2**53 + 1, 2**53 + 2, 2**53 + 3, 2**53 + 5]
    assert frame["seq"].isna().all()
    lacking = trades.set_column(5, trades.schema.field(5), pa.array([2**53 + 1, None, 2**53 + 3, None]))
    mixed = frames.to_output(lacking, "trades", "pandas")["sequential_id"]
    assert str(mixed.dtype) == "Int64"
    assert mixed.dropna().tolist() == [2**53 + 1, 2**53 + 3]


def test_what_a_region_does_not_tell_is_missing():
    table = normalize.markets(b'[{"market":"BTC-ETH","english_name":"Ethereum"}]')
    frame = frames.to_output(table, "markets", "pandas")
    assert str(frame["warning"].dtype) == "boolean"
    assert frame["warning"].isna().all()
    assert str(frame["korean_name"].dtype) == TEXT
    assert frame["cautions"].tolist() == [None]


def test_an_unknown_output_is_refused(walk: Any):
    with pytest.raises(ConfigError, match="pandas"):
        frames.to_output(walk(1), "candles", "excel")


def test_polars_missing_is_told(walk: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(UsageError, match=r"upbit-frames\[polars\]"):
        frames.to_output(walk(1), "candles", "polars")


def test_the_modules_load_neither_pandas_nor_matplotlib():
    """Pandas comes with the first frame; the router works without (pure Arrow)."""
    code = (
        "import sys; from upbit_frames.core import gaps, resample; from upbit_frames.exchange import wire\n"
        "from upbit_frames.frames import output, plot\n"
        "assert not {'pandas', 'polars', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_memory_stays_near_the_frame(walk: Any):
    """Converting a year of minutes takes the frame itself and little more."""
    import tracemalloc

    table = walk(525_600, chunks=12)
    frames.to_output(walk(2), "candles", "pandas")  # everything is imported before it is measured
    tracemalloc.start()
    frame = frames.to_output(table, "candles", "pandas", tz="Asia/Seoul")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.3 * frame.memory_usage().sum()


@given(
    st.lists(st.lists(st.integers(0, 400), max_size=30, unique=True).map(sorted), min_size=1, max_size=5),
    st.sampled_from([1, 7, 60_000_000]),
    st.integers(0, 10**15),
    st.booleans(),
)
def test_codes_of_a_grid_are_those_of_sorting(slots: list[list[int]], step: int, low: int, odd: bool):
    """Chunks as of several markets, now and then with a row off the grid."""
    chunks = [np.array(part, dtype=np.int64) * step + low for part in slots]
    if odd and len(chunks[-1]) > 2:
        chunks[-1][1] += step // 2
    column = pa.chunked_array([pa.array(chunk).view(pa.timestamp("us", "UTC")) for chunk in chunks])
    values = np.concatenate(chunks)
    found = grid_codes(column)
    if found is None:
        assert odd or len(values) == 0 or (values.max() - values.min()) // step > 1000
        return
    moments, codes = np.unique(values, return_inverse=True)
    assert found[0].tolist() == moments.tolist()
    assert found[1].tolist() == codes.tolist()
    assert found[1].dtype == np.int32


def test_times_without_a_grid_are_sorted_instead():
    values = np.array([0, 1, 10**12], dtype=np.int64)
    column = pa.chunked_array([pa.array(values).view(pa.timestamp("us", "UTC"))])
    assert grid_codes(column) is None
    assert grid_codes(pa.chunked_array([pa.array([None], pa.timestamp("us", "UTC"))])) is None
