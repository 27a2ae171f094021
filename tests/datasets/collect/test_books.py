"""Recorded books as frames: samples are those of a plain reader, and what was not recorded is never bridged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import upbit_frames as uf
from upbit_frames import errors
from upbit_frames.core.intervals import Span
from upbit_frames.core.schema import arrow_schema
from upbit_frames.datasets.collect.books import sampled
from upbit_frames.frames.book_events import BUY, CLEAR, DEPTH, SELL, SNAPSHOT, events
from upbit_frames.store import encoding
from upbit_frames.store.base import Series
from upbit_frames.store.memory import MemoryStore
from upbit_frames.store.parquet import ParquetStore

SERIES = Series("orderbook", "KRW-BTC")
START = 1_772_323_200_000_000
SECOND = 1_000_000


def table_of(times: list[int], best: list[float] | None = None) -> pa.Table:
    """Books of two asks and one bid; the best ask says which book it is."""
    asks = [float(100 + number) for number in range(len(times))] if best is None else best
    moments = pa.array(times, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    columns = {
        "time": moments, "received_at": moments,
        "ask_price": [[ask, ask + 1] for ask in asks], "ask_size": [[1.0, 2.0]] * len(times),
        "bid_price": [[ask - 1] for ask in asks], "bid_size": [[3.0]] * len(times),
        "total_ask_size": [3.0] * len(times), "total_bid_size": [3.0] * len(times),
    }  # fmt: skip
    return pa.Table.from_pydict(columns, schema=arrow_schema("books"))


@st.composite
def recordings(draw: Any) -> tuple[list[tuple[int, int]], list[int]]:
    """Covered ranges, and the times of books, of which each range begins with one."""
    edges = sorted(draw(st.sets(st.integers(0, 60), min_size=2, max_size=8)))
    spans = [(low, high) for low, high in zip(edges[::2], edges[1::2], strict=False)]
    inside = [time for low, high in spans for time in range(low, high)]
    others = draw(st.lists(st.sampled_from(inside), max_size=12)) if inside else []
    return spans, sorted([*(low for low, _ in spans), *others])


@given(recordings(), st.integers(0, 60), st.integers(1, 25), st.integers(1, 7))
def test_samples_are_those_of_a_plain_reader(
    recording: tuple[list[tuple[int, int]], list[int]], first: int, count: int, step: int
) -> None:
    spans, times = recording
    store = MemoryStore()
    whole = table_of([START + time * SECOND for time in times])
    for low, high in spans:
        span = Span(START + low * SECOND, START + high * SECOND)
        places = [at for at, time in enumerate(times) if low <= time < high]
        store.write(SERIES, whole.slice(places[0], len(places)), span, origin="live")
    moments = START + (first + np.arange(count) * step) * SECOND
    table, known = sampled(store, SERIES, moments, 2)
    for at, moment in enumerate((first + np.arange(count) * step).tolist()):
        span = next(((low, high) for low, high in spans if low <= moment < high), None)
        books = [number for number, time in enumerate(times) if span and span[0] <= time <= moment]
        assert known[at] == bool(books)
        expected = [100.0 + books[-1], 101.0 + books[-1]] if books else [np.nan, np.nan]
        np.testing.assert_equal([table[f"ask_price_{level}"][at].as_py() for level in range(2)], expected)


def test_samples_of_files_with_many_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "BOOK_GROUP_ROWS", 3)
    parquet, memory = ParquetStore(tmp_path), MemoryStore()
    chance = np.random.default_rng(5)
    for low in (0, 60, 120, 200, 300):  # the first three touch
        times = np.sort(chance.integers(low, low + 60, 25))
        times[0] = low if low != 60 else times[0]  # at 60 the book of before is still the last one
        span = Span(START + low * SECOND, START + (low + 60) * SECOND)
        for store in (parquet, memory):
            store.write(SERIES, table_of([START + time * SECOND for time in times.tolist()]), span, origin="live")
    cuts = parquet.cuts(SERIES, Span(START, START + 400 * SECOND))
    assert len(cuts) > 20
    for first, step, count in ((0, 1, 400), (59, 1, 3), (0, 37, 10), (150, 60, 4), (355, 1, 3), (-5, 100, 4)):
        moments = START + (first + np.arange(count) * step) * SECOND
        got, expected = sampled(parquet, SERIES, moments, 2), sampled(memory, SERIES, moments, 2)
        assert got[1].tolist() == expected[1].tolist()
        pd.testing.assert_frame_equal(got[0].to_pandas(), expected[0].to_pandas())


@pytest.fixture
def client(tmp_path: Path) -> uf.Client:
    """A store with books at 0, 1, 1.5 and 8 s, of which 2 to 7 s were not recorded."""
    store = ParquetStore(tmp_path)
    store.write(SERIES, table_of([START, START + SECOND, START + 1_500_000]), Span(START, START + 2 * SECOND))
    store.write(SERIES, table_of([START + 8 * SECOND], [200.0]), Span(START + 7 * SECOND, START + 10 * SECOND))
    return uf.Client(cache_dir=tmp_path)


def test_a_range(client: uf.Client) -> None:
    with pytest.warns(errors.UpbitFramesWarning, match=r"2026-03-01T00:00:02Z → 2026-03-01T00:00:07Z"):
        frame = client.books("KRW-BTC", levels=3)
    assert frame["ask_price_0"].tolist() == [100.0, 101.0, 102.0, 200.0]
    assert frame["bid_price_1"].isna().all()
    assert frame["ask_size_1"].tolist() == [2.0] * 4
    assert str(frame.index.tz) == "UTC"
    assert frame.attrs["upbit_frames"]["missing"] == [["2026-03-01T00:00:02Z", "2026-03-01T00:00:07Z"]]
    whole = client.books("KRW-BTC", "2026-03-01", "2026-03-01T00:00:02Z", levels=1, output="polars")
    assert whole["bid_price_0"].to_list() == [99.0, 100.0, 101.0]
    with pytest.raises(errors.NotCached):
        client.books("KRW-BTC", missing="raise")
    with pytest.raises(errors.NotCached, match="not recorded"):
        client.books("KRW-BTC", "2026-03-02")
    with pytest.raises(errors.NotCached):
        client.books("KRW-ETH")


def test_samples_and_a_moment(client: uf.Client) -> None:
    frame = client.books("KRW-BTC", every="1s", missing="ignore", tz="Asia/Seoul")
    assert frame["ask_price_0"].fillna(0).tolist() == [100.0, 101.0, 0, 0, 0, 0, 0, 0, 200.0, 200.0]
    assert frame["updated"].isna().sum() == 6
    assert str(frame.index.tz) == "Asia/Seoul"
    one = client.books("KRW-BTC", at="2026-03-01T00:00:01.6Z")
    assert one["ask_price_0"].tolist() == [102.0]
    for moment in ("2026-03-01T00:00:02Z", "2026-03-01T00:00:07.5Z"):
        with pytest.raises(errors.NotCached):
            client.books("KRW-BTC", at=moment)
    for bad in ({"levels": 31}, {"every": "1M"}, {"at": "2026-03-01", "start": "2026-03-01"}, {"missing": "fetch"}):
        with pytest.raises(errors.QueryError):
            client.books("KRW-BTC", **bad)
    assert client.sql("select count(*) as n, max(ask_price[1]) as best from orderbook")["best"].tolist() == [200.0]


def test_what_a_book_says(client: uf.Client) -> None:
    frame = client.books("KRW-BTC", every="1s", missing="ignore", levels=2)
    assert frame.uf.mid().iloc[0] == 99.5
    assert frame.uf.spread().iloc[0] == 1.0
    assert frame.uf.spread(bps=True).iloc[0] == pytest.approx(1 / 99.5 * 1e4)
    assert frame.uf.microprice().iloc[0] == (100 * 3 + 99 * 1) / 4
    assert frame.uf.imbalance(1).iloc[0] == 0.5
    assert frame.uf.imbalance().iloc[0] == 0.0
    depth = frame.uf.depth(60)
    assert depth.iloc[0].tolist() == [3.0, 1.0, True]
    assert frame.uf.depth(200).iloc[0].tolist() == [3.0, 3.0, False]  # there may be asks beyond the second level
    assert depth["bid"].isna().sum() == frame.uf.mid().isna().sum() == frame.uf.imbalance().isna().sum() == 6
    with pytest.raises(errors.QueryError):
        frame.uf.imbalance(3)
    for unfit in (frame.uf.gaps, frame.uf.flow, frame.uf.validate):
        with pytest.raises(errors.UpbitFramesError):
            unfit()
    with pytest.raises(errors.QueryError, match="order books"):
        pd.DataFrame({"KRW-BTC": [1.0]}, index=pd.DatetimeIndex(["2026-03-01"], tz="UTC")).uf.mid()


# --- events for hftbacktest ---------------------------------------------------------------------

sides = st.lists(st.dictionaries(st.integers(1, 6), st.integers(1, 3), max_size=4), min_size=1, max_size=8)


def arrays(books: list[dict[int, int]]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    price, size = np.full((4, len(books)), np.nan), np.full((4, len(books)), np.nan)
    for at, book in enumerate(books):
        for level, (one, amount) in enumerate(book.items()):
            price[level, at], size[level, at] = one, amount
    return price, size


@given(st.data())
def test_events_lead_from_book_to_book(data: Any) -> None:
    bids = data.draw(sides)
    count = len(bids)
    asks = data.draw(st.lists(sides.map(lambda one: one[0]), min_size=count, max_size=count))
    exchange = np.array(data.draw(st.lists(st.integers(0, 50), min_size=count, max_size=count)), dtype=np.int64)
    exchange.sort()
    local = exchange + np.array(data.draw(st.lists(st.integers(-9, 9), min_size=count, max_size=count)), dtype=np.int64)
    known = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    breaks = np.array(sorted(data.draw(st.lists(st.integers(0, 50), max_size=2))), dtype=np.int64)
    found = events(exchange, local, arrays(asks), arrays(bids), known, breaks)
    assert (np.diff(found["exch_ts"]) >= 0).all()
    assert (np.diff(found["local_ts"]) >= 0).all()
    assert (found["local_ts"] >= found["exch_ts"]).all()
    states: dict[int, dict[float, float]] = {BUY: {}, SELL: {}}
    reached = []
    for event in found:
        side = BUY if int(event["ev"]) & BUY else SELL
        kind, price = int(event["ev"]) & 0xFF, float(event["px"])
        assert kind in (DEPTH, CLEAR, SNAPSHOT)
        book = states[side]
        if kind == CLEAR:
            beyond = [p for p in book if (p >= price if side == BUY else p <= price)]
            for p in beyond:
                del book[p]
            assert not book
        elif event["qty"] == 0:
            del book[price]
        else:
            book[price] = float(event["qty"])
        reached.append((dict(states[BUY]), dict(states[SELL])))
    wanted = [(bids[at], asks[at]) for at in range(count) if known[at]]
    assert all(state in [({}, {}), *reached] for state in wanted)
    assert not wanted or (reached or [({}, {})])[-1] == wanted[-1]


def test_the_file_for_hftbacktest(client: uf.Client, tmp_path: Path) -> None:
    frame = client.books("KRW-BTC", missing="ignore")
    number = frame.uf.to_hftbacktest(tmp_path / "books.npz")
    data = np.load(tmp_path / "books.npz")["data"]
    assert len(data) == number
    assert data.dtype.names == ("ev", "exch_ts", "local_ts", "px", "qty", "order_id", "ival", "fval")
    assert data.dtype.itemsize == 64
    assert data["exch_ts"][0] == START * 1000
    kinds = (data["ev"] & 0xFF).tolist()
    assert kinds[:3] == [SNAPSHOT] * 3
    assert kinds[-5:] == [CLEAR, SNAPSHOT, CLEAR, SNAPSHOT, SNAPSHOT]  # after what was not recorded
