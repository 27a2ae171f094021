"""Pinned blocks: what a study read stays what it read, or the difference is named."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

import upbit_frames as uf
from upbit_frames import errors
from upbit_frames.core.intervals import Span, to_micros
from upbit_frames.datasets.pins import active_pin, load_lock
from upbit_frames.store.base import Series
from upbit_frames.store.parquet import ParquetStore
from upbit_frames.testing import Exchange

NOW = "2026-03-01T12:34:56Z"
RANGE = {"start": "2026-01-20T00:00Z", "end": "2026-02-10T00:00Z"}
BITCOIN = Series("candles", "KRW-BTC", "1h")


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    with Exchange(seed=7, now=NOW, limits=False) as running:
        yield running


@pytest.fixture
def client(exchange: Exchange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[uf.Client]:
    with uf.Client(exchange.config(cache_dir=tmp_path / "store")) as opened:
        yield opened


def store_of(client: uf.Client) -> ParquetStore:
    return ParquetStore(client.config.cache_dir / client.config.origin)


def rescale(client: uf.Client, factor: float, start: str, end: str) -> None:
    """Rewrite the stored prices of a range, as a redenomination does."""
    span = Span(*(to_micros(datetime.fromisoformat(text).replace(tzinfo=UTC)) for text in (start, end)))
    store = store_of(client)
    rows = store.read(BITCOIN, span)
    for name in ("open", "high", "low", "close"):
        place = rows.column_names.index(name)
        rows = rows.set_column(place, rows.schema.field(name), pa.array(rows[name].to_numpy() * factor))
    store.write(BITCOIN, rows, span, replace=True)


def test_the_second_run_is_held_against_the_first(client: uf.Client, tmp_path: Path) -> None:
    path = tmp_path / "study.lock"
    with uf.pinned(path) as first:
        client.candles("KRW-BTC", "1h", **RANGE)
        client.candles(["KRW-BTC", "KRW-ETH"], "1d", count=20, columns=["close"])
        client.trades("KRW-BTC", start="2026-03-01T12:00", end="2026-03-01T12:05")
    assert len(first.calls) == 3
    assert not first.replays
    text = path.read_text(encoding="utf-8")
    assert "KRW-BTC 2026-01 " in text
    assert len(text) < 3_000
    with uf.pinned(path, mode="none") as again:
        client.candles("krw-btc", "60m", **RANGE, output="arrow", tz="Asia/Seoul", source="rest")
        client.candles(["KRW-BTC", "KRW-ETH"], "day", count=20, columns=["close"])
    assert again.replays
    assert path.read_text(encoding="utf-8") == text


def test_a_rewritten_history_is_named_by_call_and_month(client: uf.Client, tmp_path: Path) -> None:
    path = tmp_path / "study.lock"
    with uf.pinned(path):
        client.candles("KRW-BTC", "1h", **RANGE)
    rescale(client, 10.0, "2026-02-01", "2026-02-10")
    with uf.pinned(path), pytest.raises(errors.DataChanged) as changed:
        client.candles("KRW-BTC", "1h", **RANGE)
    assert changed.value.months == ["KRW-BTC 2026-02 has other values in its 216 rows"]
    assert "candles(" in changed.value.call
    assert "mode='all'" in str(changed.value)
    before = path.read_bytes()
    with pytest.raises(errors.DataChanged), uf.pinned(path):
        client.candles("KRW-BTC", "1h", **RANGE)
    assert path.read_bytes() == before
    with uf.pinned(path, mode="all"):
        client.candles("KRW-BTC", "1h", **RANGE)
    assert path.read_bytes() != before


def test_rows_are_named_where_the_store_still_has_the_old_ones(client: uf.Client, tmp_path: Path) -> None:
    path = tmp_path / "study.lock"
    client.candles("KRW-BTC", "1h", **RANGE)
    rescale(client, 10.0, "2026-02-03T05:00", "2026-02-03T07:00")
    with uf.pinned(path):
        client.candles("KRW-BTC", "1h", **RANGE, source="store")
    with uf.pinned(path), pytest.raises(errors.DataChanged) as changed:
        client.candles("KRW-BTC", "1h", **RANGE, source="rest")
    assert [text.split(": ")[0] for text in changed.value.rows] == ["2026-02-03T05:00:00Z", "2026-02-03T06:00:00Z"]
    assert "→" in changed.value.rows[0]


def test_an_open_end_is_where_the_first_run_ended(exchange: Exchange, client: uf.Client, tmp_path: Path) -> None:
    path = tmp_path / "study.lock"
    with uf.pinned(path):
        first = client.candles("KRW-BTC", "1m", count=30)
    with Exchange(seed=7, now="2026-03-01T15:00:00Z", limits=False) as later:
        there = uf.Client(later.config(cache_dir=tmp_path / "other"))
        with uf.pinned(path, mode="none"):
            again = there.candles("KRW-BTC", "1m", count=30)
        assert again.equals(first)
        assert not there.candles("KRW-BTC", "1m", count=30).equals(first)


def test_calls_that_are_not_in_the_lock(client: uf.Client, tmp_path: Path) -> None:
    path = tmp_path / "study.lock"
    with pytest.raises(errors.NotRecorded, match="there is no lock"), uf.pinned(path, mode="none"):
        pass
    with uf.pinned(path):
        client.candles("KRW-BTC", "1d", **RANGE)
    with uf.pinned(path), pytest.raises(errors.NotRecorded, match="new_episodes"):
        client.candles("KRW-ETH", "1d", **RANGE)
    with uf.pinned(path, mode="new_episodes"):
        client.candles("KRW-ETH", "1d", **RANGE)
    assert [call.request["market"] for call in load_lock(path).calls.values()] == [["KRW-BTC"], ["KRW-ETH"]]


def test_nothing_is_written_where_an_exception_passes_through(client: uf.Client, tmp_path: Path) -> None:
    path = tmp_path / "study.lock"

    def study() -> None:
        with uf.pinned(path):
            client.candles("KRW-BTC", "1d", **RANGE)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        study()
    assert not path.exists()
    assert active_pin() is None


def test_what_cannot_be_pinned(client: uf.Client, tmp_path: Path) -> None:
    with uf.pinned(tmp_path / "a.lock"):
        with pytest.raises(errors.UsageError, match="forming"):
            client.candles("KRW-BTC", "1m", count=3, forming=True)
        with pytest.warns(errors.UpbitFramesWarning, match=r"uf\.ticker is about the present"):
            client.ticker("KRW-BTC")
        with pytest.raises(errors.UsageError, match="nested"), uf.pinned(tmp_path / "b.lock"):
            pass
    for wrong in ("", None, 5):
        with pytest.raises(errors.QueryError, match="that of a lock"):
            uf.pinned(wrong)  # type: ignore[arg-type]
    with pytest.raises(errors.ConfigError, match="mode"):
        uf.pinned("x.lock", mode="sometimes")


def test_derived_candles_are_pinned_by_their_interval_and_base(client: uf.Client, tmp_path: Path) -> None:
    path = tmp_path / "study.lock"
    with uf.pinned(path):
        client.candles("KRW-BTC", "2h", **RANGE)
        client.candles("KRW-BTC", "1d", base="Asia/Seoul", **RANGE)
        client.candles("KRW-BTC", "1d", **RANGE)
    requests = [call.request for call in load_lock(path).calls.values()]
    assert [(request["interval"], request.get("base")) for request in requests] == [
        ("2h", None), ("1d", "Asia/Seoul"), ("1d", None),
    ]  # fmt: skip
    with uf.pinned(path, mode="none"):
        client.candles("KRW-BTC", "1d", base="Asia/Seoul", **RANGE)


def test_panels_are_pinned_with_what_stands_where_there_is_no_candle(client: uf.Client, tmp_path: Path) -> None:
    path = tmp_path / "study.lock"
    markets = ["KRW-BTC", "KRW-XRP"]
    client.markets()  # keeps today's list
    with uf.pinned(path) as first:
        for more in ({}, {"missing": "ffill"}, {"universe": "listed"}):
            client.panel(markets, "1d", **RANGE, **more)
        client.cross_section("2026-02-01", markets=markets)
    assert len(first.calls) == 4
    requests = [call.request for call in load_lock(path).calls.values() if call.name == "panel"]
    assert [(one.get("missing"), one.get("universe")) for one in requests] == [
        (None, None), ("ffill", None), (None, "listed"),
    ]  # fmt: skip
    parts = [call.parts for call in load_lock(path).calls.values() if call.name == "panel"]
    assert parts[0] != parts[2]  # no list is kept of those days, so nothing stands there
    with uf.pinned(path, mode="none"):
        client.panel(markets, "1d", **RANGE, missing="nan", universe="listed")
        with pytest.raises(errors.NotRecorded):
            client.panel(markets, "1d", **RANGE, missing="drop")
    with pytest.raises(errors.UsageError, match=r"panel.*cannot be packed.*without universe"):
        client.bundle(tmp_path / "study.zip", lock=path)
    assert not (tmp_path / "study.zip").exists()


def test_the_open_end_of_a_panel_is_where_the_first_run_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Exchange(seed=7, now=NOW, limits=False) as exchange:
        client = uf.Client(exchange.config(cache_dir=tmp_path / "own"))
        with uf.pinned(tmp_path / "study.lock"):
            before = client.panel(["KRW-BTC", "KRW-XRP"], "1h", count=5, missing="ffill")
        exchange.clock.advance(7200)
        with uf.pinned(tmp_path / "study.lock", mode="none"):
            pd.testing.assert_frame_equal(client.panel(["KRW-BTC", "KRW-XRP"], "1h", count=5, missing="ffill"), before)


def test_threads_and_coroutines_count(client: uf.Client, tmp_path: Path) -> None:
    path = tmp_path / "study.lock"

    async def from_a_loop() -> None:
        async with uf.AsyncClient(client.config) as other:
            await other.candles("KRW-ETH", "1d", **RANGE)

    with uf.pinned(path) as block:
        worker = threading.Thread(target=client.candles, args=("KRW-BTC", "1d"), kwargs=RANGE)
        worker.start()
        worker.join()
        asyncio.run(from_a_loop())
    assert len(block.calls) == 2


def test_the_layout_of_the_files_changes_nothing(client: uf.Client, tmp_path: Path) -> None:
    path = tmp_path / "study.lock"
    with uf.pinned(path):
        client.candles("KRW-BTC", "1h", **RANGE)
    store = store_of(client)
    lower, upper = (to_micros(datetime.fromisoformat(RANGE[name])) for name in ("start", "end"))
    rows = store.read(BITCOIN, Span(lower, upper))
    other = uf.Client(client.config.replace(cache_dir=tmp_path / "pieces"))
    pieces = ParquetStore(other.config.cache_dir / other.config.origin)
    hour = 3_600_000_000
    for start in range(lower, upper, 50 * hour):
        span = Span(start, min(upper, start + 50 * hour))
        pieces.write(BITCOIN, rows.filter([span.start <= time.value < span.end for time in rows["time"]]), span)
    with uf.pinned(path, mode="none"):
        other.candles("KRW-BTC", "1h", **RANGE, source="store")


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone of the process cannot be set here")
def test_a_study_replays_in_another_zone_and_after_a_merge(
    client: uf.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "study.lock"

    def study() -> None:
        client.candles("KRW-BTC", "1h", **RANGE)
        client.candles("KRW-BTC", "1d", base="Asia/Seoul", **RANGE)
        client.panel(["KRW-BTC", "KRW-ETH"], "1d", start="2026-01-20", end="2026-02-10")
        client.bars("KRW-BTC", ticks=20, start="2026-03-01T11:00Z", end="2026-03-01T12:00Z")

    with uf.pinned(path):
        study()
    store = store_of(client)
    before = {file.path.name for series in store.series() for file in store.files(series)}
    for day in range(20, 31):  # other files than those of the first run
        client.candles("KRW-BTC", "1h", start=f"2025-12-{day}T00:00Z", end=f"2025-12-{day + 1}T00:00Z")
    for series in store.series():
        store.compact(series)
    assert {file.path.name for series in store.series() for file in store.files(series)} != before
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        with uf.pinned(path, mode="none") as again:
            study()
        assert len(again.calls) == 4
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("damage", "error", "text"),
    [
        (lambda data: data.replace(b"KRW-BTC 2026-01 288", b"KRW-BTC 2026-01 289"), errors.CorruptFile, "not those"),
        (lambda data: data.replace(b"version = 1", b"version = 3"), errors.StoreError, "newer version"),
        (lambda data: data[: len(data) // 2], errors.CorruptFile, "cannot be read"),
        (lambda data: b"\xff\xfe" + data, errors.CorruptFile, "cannot be read"),
        (lambda data: b"<<<<<<< ours\n" + data, errors.CorruptFile, "cannot be read"),
        (lambda data: b"", errors.CorruptFile, "cannot be read"),
        (lambda data: data + b"extra = 1\n", errors.CorruptFile, "cannot be read|unknown"),
        (lambda data: b"[" * 100_000, errors.CorruptFile, "cannot be read"),
    ],
)
def test_damaged_locks(client: uf.Client, tmp_path: Path, damage, error: type[Exception], text: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "study.lock"
    with uf.pinned(path):
        client.candles("KRW-BTC", "1h", **RANGE)
    path.write_bytes(damage(path.read_bytes()))
    data = path.read_bytes()
    with pytest.raises(error, match=text), uf.pinned(path):
        pass
    assert path.read_bytes() == data
    assert active_pin() is None


def test_a_folder_is_no_lock(client: uf.Client, tmp_path: Path) -> None:
    with pytest.raises(errors.StoreError, match="no regular file"), uf.pinned(tmp_path):
        pass
