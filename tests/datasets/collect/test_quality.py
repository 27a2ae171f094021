"""``uf.quality`` finds each planted fault and its cause, and nothing in clean data."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import upbit_frames as uf
from upbit_frames.api.engine import open_store
from upbit_frames.core.intervals import INTERVALS, Span
from upbit_frames.core.resample import resample
from upbit_frames.core.schema import arrow_schema
from upbit_frames.datasets.collect.checks import Witness, columns_of, disagreements, jumps, outages
from upbit_frames.datasets.collect.market_lists import Listed, MarketList
from upbit_frames.datasets.collect.quality import Examination, examine, summary
from upbit_frames.datasets.collect.universe import Universe
from upbit_frames.store.base import Series
from upbit_frames.store.memory import MemoryStore
from upbit_frames.testing import Exchange, MarketModel

MINUTE, DAY = 60_000_000, 86_400_000_000
NOBODY = Universe([])


def micros(text: str) -> int:
    return int(pd.Timestamp(text, tz="UTC").value // 1000)


OUTAGE = Span(micros("2026-02-05T17:13"), micros("2026-02-05T19:40"))
START, END = micros("2026-02-01"), micros("2026-02-09")
WHOLE = Span(START, END)
MARKETS = ("KRW-BTC", "KRW-ETH", "KRW-XRP", "KRW-DOGE", "KRW-ELF")


@pytest.fixture(scope="module")
def tables() -> dict[Series, pa.Table]:
    model = MarketModel(7, maintenance=[OUTAGE])
    found = {}
    for market in MARKETS:
        for interval in ("1m", "1h", "1d"):
            table = model.candles(market, INTERVALS[interval], *WHOLE).table()
            found[Series("candles", market, interval)] = table
    return found


@pytest.fixture
def store(tables: dict[Series, pa.Table]) -> MemoryStore:
    store = MemoryStore()
    for series, table in tables.items():
        store.write(series, table, WHOLE)
    return store


def look(store: MemoryStore, market: str, interval: str, **given: Any) -> Examination:
    series = Series("candles", market, interval)
    start, end = given.get("start", START), given.get("end", END)
    return examine(store, [series], start, end, given.get("now", END + 3_600_000_000), given.get("universe", NOBODY))[0]


def causes(one: Examination) -> list[tuple[str, str]]:
    return [(found.check, found.cause) for found in one.problems]


def change(store: MemoryStore, series: Series, row: int, **values: float) -> int:
    """Write other numbers into one stored candle; return its time."""
    table = store.read(series, WHOLE).combine_chunks()
    time = table["time"][row].value
    for name, value in values.items():
        column = table[name].to_numpy().copy()
        column[row] = value
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), pa.array(column))
    store.write(series, table, WHOLE, replace=True)
    return time


# --- clean data ---------------------------------------------------------------------------------------


def test_nothing_is_wrong_with_clean_data(store: MemoryStore, tables: dict[Series, pa.Table]) -> None:
    results = examine(store, list(tables), START, END, END + MINUTE * 60, NOBODY)
    assert [causes(one) for one in results] == [[]] * len(tables)
    assert summary(results)[0] == "15 series: nothing looks wrong"
    assert sum(one.compared for one in results) > 800
    for one in results:
        slots = INTERVALS[one.series.interval or ""].slots(*WHOLE)
        assert sum(one.periods.values()) == slots
        assert one.periods["traded"] == len(tables[one.series])
        assert one.periods["unknown"] == one.periods["before listing"] == 0
    # One row a gap: ranges of findings and periods agree.
    for one in results:
        listed = sum(found.periods for found in one.findings if found.check == "gap")
        assert listed == sum(number for cause, number in one.periods.items() if cause != "traded")


@pytest.mark.parametrize("market", ["KRW-BTC", "KRW-DOGE", "KRW-ELF"])
def test_an_outage_of_all_markets_is_told_from_a_silence(store: MemoryStore, market: str) -> None:
    one = look(store, market, "1m")
    found = [gap.span for gap in one.findings if gap.cause == "outage"]
    assert len(found) == 1
    # Minutes that were broken off at its edges may have traded in some market.
    assert abs(found[0].start - OUTAGE.start) <= 2 * MINUTE
    assert abs(found[0].end - OUTAGE.end) <= 2 * MINUTE
    assert all(gap.severity in ("ok", "info") for gap in one.findings)


def test_a_market_alone_shows_no_outage(store: MemoryStore) -> None:
    alone = MemoryStore()
    series = Series("candles", "KRW-BTC", "1m")
    alone.write(series, store.read(series, WHOLE), WHOLE)
    one = look(alone, "KRW-BTC", "1m")
    assert one.periods["outage"] == 0
    longest = next(gap for gap in one.findings if gap.cause == "no trade")
    assert longest.span.start <= OUTAGE.start + MINUTE
    assert "no other market is stored" in longest.detail


def test_a_silence_of_one_market_is_no_outage(store: MemoryStore) -> None:
    series, quiet = Series("candles", "KRW-DOGE", "1m"), Span(micros("2026-02-03"), micros("2026-02-03T05:00"))
    table = store.read(series, WHOLE)
    times = table["time"].cast("int64").to_numpy()
    store.write(series, table.filter(pa.array((times < quiet.start) | (times >= quiet.end))), WHOLE, replace=True)
    one = look(store, "KRW-DOGE", "1m")
    assert next(gap.span for gap in one.findings if gap.cause == "outage").start > quiet.end
    assert any(gap.cause == "no trade" and gap.periods >= 300 for gap in one.findings)
    # Its hours say otherwise.
    assert ("identity", "1m and 1h disagree") in causes(one)


# --- planted faults -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "cause"),
    [
        ({"high": 1.0}, "open: open outside of low and high"),
        ({"volume": -5.0}, "volume: volume or value below zero"),
        ({"value": -5.0}, "value: volume or value below zero"),
        ({"close": float("nan")}, "close: not a finite number"),
        ({"low": 0.0}, "low: price not above zero"),
        ({"value": 1e15}, "value: outside of volume times low and high"),
    ],
)
def test_impossible_numbers(store: MemoryStore, values: dict[str, float], cause: str) -> None:
    time = change(store, Series("candles", "KRW-ETH", "1m"), 5000, **values)
    found = [one for one in look(store, "KRW-ETH", "1m").problems if one.check == "impossible"]
    assert cause in [one.cause for one in found]
    assert all((one.severity, one.span, one.periods) == ("error", Span(time, time + MINUTE), 1) for one in found)


def test_ranges_that_are_not_stored_are_unknown(store: MemoryStore) -> None:
    series = Series("candles", "KRW-BTC", "1m")
    hole = Span(micros("2026-02-04T10:00"), micros("2026-02-04T12:30"))
    store.forget(series, hole)
    one = look(store, "KRW-BTC", "1m")
    assert causes(one) == [("gap", "unknown")]
    assert one.problems[0].span == hole
    assert one.periods["unknown"] == one.problems[0].periods == 150
    assert "100.00%" not in "\n".join(summary([one]))


def test_before_the_listing_is_known(store: MemoryStore) -> None:
    series = Series("candles", "KRW-NEW", "1h")
    model = MarketModel(7)
    listed = Span(0, micros("2026-01-20"))
    store.write(series, model.candles("KRW-NEW", INTERVALS["1h"], micros("2026-01-01"), listed.end).table(), listed)
    one = look(store, "KRW-NEW", "1h", start=micros("2026-01-10"), end=listed.end)
    first = store.read(series, listed)["time"][0].value
    before = [found for found in one.findings if found.cause == "before listing"]
    assert [found.span for found in before] == [Span(micros("2026-01-10"), first)]
    assert one.problems == []


@pytest.mark.parametrize("factor", [0.1, 10.0, 1000.0])
def test_a_redenomination(store: MemoryStore, factor: float) -> None:
    series = Series("candles", "KRW-XRP", "1m")
    table = store.read(series, WHOLE).combine_chunks()
    for name in ("open", "high", "low", "close", "volume"):
        values = table[name].to_numpy().copy()
        values[:4000] *= 1 / factor if name == "volume" else factor
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), pa.array(values))
    store.write(series, table, WHOLE, replace=True)
    found = [one for one in look(store, "KRW-XRP", "1m").problems if one.check == "jump"]
    assert [(one.cause, one.span.start) for one in found] == [("like a redenomination", table["time"][4000].value)]
    assert f"prices times {1 / factor:.3g}"[:15] in found[0].detail


def test_a_price_that_jumps_alone(store: MemoryStore) -> None:
    table = store.read(Series("candles", "KRW-XRP", "1m"), WHOLE).combine_chunks().slice(0, 2000)
    values = table["open"].to_numpy().copy()
    values[1000] *= 8
    found = jumps(columns_of(table.set_column(1, table.schema.field(1), pa.array(values))), INTERVALS["1m"])
    assert [one.cause for one in found] == ["price"]


# --- identities ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "factor", "severity"),
    [("volume", 1.0004, "info"), ("volume", 1.01, "error"), ("open", 1.002, "info"), ("open", 1.5, "error"),
     ("close", 1.0001, "error"), ("high", 1.0001, "error")],
)  # fmt: skip
def test_days_that_are_not_their_hours(store: MemoryStore, column: str, factor: float, severity: str) -> None:
    series = Series("candles", "KRW-BTC", "1d")
    value = store.read(series, WHOLE)[column][3].as_py() * factor
    time = change(store, series, 3, **{column: value})
    for interval in ("1h", "1d"):  # from either side
        found = [one for one in look(store, "KRW-BTC", interval).findings if one.check == "identity"]
        assert [(one.severity, one.span) for one in found] == [(severity, Span(time, time + DAY))]
        assert column in found[0].detail


def test_a_candle_that_one_interval_lacks(store: MemoryStore) -> None:
    series = Series("candles", "KRW-ETH", "1h")
    table = store.read(series, WHOLE)
    store.write(series, pa.concat_tables([table.slice(0, 30), table.slice(31)]), WHOLE, replace=True)
    details = [one.detail for one in look(store, "KRW-ETH", "1h").problems]
    assert "there is a candle of 1m and none of 1h" in details
    assert any("1h gives" in detail for detail in details)  # the day has more volume than its hours


def test_many_exceptions_are_no_exception() -> None:
    model = MarketModel(7, maintenance=())
    hours = model.candles("KRW-BTC", INTERVALS["1h"], *WHOLE).table()
    days = resample(hours, INTERVALS["1h"], INTERVALS["1d"], span=WHOLE)
    volume = pa.array(days["volume"].to_numpy() * 1.0003)
    days = days.set_column(5, days.schema.field(5), volume)
    found, compared = disagreements(hours, INTERVALS["1h"], days, INTERVALS["1d"], [WHOLE])
    assert compared == len(found) == 8
    assert {one.severity for one in found} == {"warning"}


# --- the present --------------------------------------------------------------------------------------


def test_what_is_stale(store: MemoryStore) -> None:
    late = END + 3 * DAY
    one = look(store, "KRW-BTC", "1m", end=None, now=late)
    assert causes(one) == [("stale", "not updated")]
    assert one.problems[0].span == Span(END, late - MINUTE)
    assert look(store, "KRW-BTC", "1m", end=None, now=END + DAY // 2).problems == []
    gone = Universe([MarketList(END, {"KRW-ETH": Listed()})])
    assert look(store, "KRW-BTC", "1m", end=None, now=late, universe=gone).problems == []


def test_a_market_that_fell_silent(store: MemoryStore) -> None:
    series, silent = Series("candles", "KRW-BTC", "1m"), micros("2026-02-08T20:00")
    table = store.read(series, WHOLE)
    times = table["time"].cast("int64").to_numpy()
    store.write(series, table.filter(pa.array(times < silent)), WHOLE, replace=True)
    one = look(store, "KRW-BTC", "1m", end=None)
    assert ("stale", "no trade at the end") in causes(one)
    gone = Universe([MarketList(END, {"KRW-ETH": Listed()})])
    found = look(store, "KRW-BTC", "1m", end=None, universe=gone).findings
    assert ("info", "not listed any more") in [(one.severity, one.cause) for one in found]


def test_seconds_that_will_expire() -> None:
    store, series = MemoryStore(), Series("candles", "KRW-BTC", "1s")
    model = MarketModel(7, maintenance=())
    now = micros("2026-02-08T10:00:30")
    for low, high in (("2025-11-20", "2025-11-20T01:00"), ("2026-02-08T08:00", "2026-02-08T10:00")):
        span = Span(micros(low), micros(high))
        store.write(series, model.candles("KRW-BTC", INTERVALS["1s"], *span).table(), span)
    one = examine(store, [series], None, None, now, NOBODY)[0]
    expiring = [found for found in one.findings if found.check == "expiry"]
    assert [(found.severity, found.span.start) for found in expiring] == [
        ("warning", micros("2025-11-20T01:00")), ("info", micros("2026-02-08T10:00")),
    ]  # fmt: skip
    assert "served until about 2026-02-17T01:00:00Z" in expiring[0].detail


def test_outages_need_witnesses_that_know() -> None:
    minute = INTERVALS["1m"]
    every = np.arange(0, 1000) * MINUTE
    hole = (every < 500 * MINUTE) | (every >= 530 * MINUTE)
    whole, gap = [Span(0, 1000 * MINUTE)], [Span(500 * MINUTE, 530 * MINUTE)]
    own = Witness(every[hole], whole)
    assert outages(gap, own, [Witness(every[hole], whole)], minute) == gap
    assert outages(gap, own, [Witness(every[hole], whole), Witness(every, whole)], minute) == []
    assert outages(gap, own, [Witness(every[hole], [Span(0, 510 * MINUTE)])], minute) == []
    assert outages(gap, own, [Witness(every[::100], whole)], minute) == []
    assert outages([], own, [], minute) == []


# --- real history -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def history(real_data: Path) -> Callable[[str], pa.Table]:
    def read(name: str) -> pa.Table:
        with gzip.open(real_data / "history" / name) as file:
            frame = pd.read_csv(file)
        frame = frame[frame["volume"] > 0]
        time = pd.to_datetime(frame["timestamp"], utc=True).astype("datetime64[us, UTC]")
        value = frame[["open", "high", "low", "close"]].mean(axis=1) * frame["volume"]
        columns = [pa.array(time), *(pa.array(frame[name]) for name in ("open", "high", "low", "close", "volume"))]
        return pa.Table.from_arrays([*columns, pa.array(value)], schema=arrow_schema("candles"))

    return read


def test_the_known_holes_of_real_history(history: Callable[[str], pa.Table]) -> None:
    store = MemoryStore()
    span = Span(micros("2025-09-01"), micros("2025-10-04T01:20"))
    for market in ("KRW-BTC", "KRW-DOGE"):
        store.write(Series("candles", market, "1m"), history(f"{market}_1m_2025-09.csv.gz"), span)
    btc, doge = examine(
        store, [Series("candles", one, "1m") for one in ("KRW-BTC", "KRW-DOGE")], *span, span.end + DAY, NOBODY
    )
    assert [(one.span.start, one.periods, one.cause) for one in sorted(btc.findings, key=lambda one: one.span)] == [
        (micros("2025-09-03T19:25"), 1, "no trade"), (micros("2025-09-07T18:20"), 1, "no trade"),
    ]  # fmt: skip
    assert doge.problems == []
    assert sum(one.periods for one in doge.findings) == doge.periods["no trade"] == 47_600 - doge.periods["traded"]
    assert max(one.periods for one in doge.findings) == 5


def test_the_outages_of_real_hours(history: Callable[[str], pa.Table]) -> None:
    store, series = MemoryStore(), Series("candles", "KRW-BTC", "1h")
    span = Span(micros("2022-01-01"), micros("2025-09-30"))
    store.write(series, history("KRW-BTC_1h_2022-2025.csv.gz"), span)
    one = examine(store, [series], *span, span.end + DAY, NOBODY)[0]
    assert len(one.findings) == 18
    assert {found.cause for found in one.findings} == {"no trade"}
    assert one.problems == []


# --- the call -----------------------------------------------------------------------------------------


@pytest.fixture
def filled(exchange: Exchange, client: uf.Client) -> uf.Client:
    client.download(["KRW-BTC", "KRW-ELF"], "1h", start="2026-02-01", end="2026-02-10")
    client.candles("KRW-BTC", "1d", start="2026-02-01", end="2026-02-10")
    exchange.requests.clear()
    return client


def test_the_call_reads_only_the_store(exchange: Exchange, filled: uf.Client) -> None:
    report = filled.quality("KRW-BTC", "1h", "2026-02-01", "2026-02-10")
    assert exchange.requests == []
    assert report.attrs["upbit_frames"]["problems"] == 0
    assert "nothing looks wrong" in repr(report)
    assert "candles agree with another interval" in repr(report)
    everything = filled.quality()
    assert {one["market"] for one in everything.attrs["upbit_frames"]["series"]} == {"KRW-BTC", "KRW-ELF"}
    assert set(everything.query("severity == 'warning'")["cause"]) == {"not updated"}
    assert exchange.requests == []


def test_a_page_for_notebooks(filled: uf.Client) -> None:
    page = filled.quality(end="2026-02-20", start="2026-01-30")._repr_html_()
    assert page.startswith("<p>3 series: ")
    assert page.count("position:relative") == 3
    assert "http" not in page


def test_fetching_first(exchange: Exchange, filled: uf.Client) -> None:
    gap = filled.quality("KRW-ELF", "1h", "2026-02-08", "2026-02-12")
    assert "unknown" in set(gap["cause"])
    whole = filled.quality("KRW-ELF", "1h", "2026-02-08", "2026-02-12", fetch=True)
    assert "unknown" not in set(whole["cause"])
    assert exchange.requests
    with pytest.raises(uf.errors.QueryError, match="needs market"):
        filled.quality(fetch=True)


def test_files_that_were_set_aside(filled: uf.Client) -> None:
    store = open_store(filled.config)
    series = Series("candles", "KRW-ELF", "1h")
    path = max(store.files(series), key=lambda one: one.rows).path
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.warns(uf.errors.UpbitFramesWarning, match="set aside"):
        report = filled.quality("KRW-ELF", "1h", "2026-02-02", "2026-02-05")
    assert {"damage", "gap"} <= set(report.query("severity in ('error', 'warning')")["check"])


@pytest.mark.parametrize(
    ("given", "text"),
    [({"interval": "trades"}, "examines candles"), ({"market": "KRW-XRP"}, "no candles of KRW-XRP are stored")],
)
def test_refusals(filled: uf.Client, given: dict[str, Any], text: str) -> None:
    with pytest.raises(uf.errors.QueryError, match=text):
        filled.quality(**given)
