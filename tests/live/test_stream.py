"""``uf.stream`` in its forms, over real sockets against the stand-in exchange."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import upbit_frames as uf
from upbit_frames.errors import (
    ConnectionFailed,
    InvalidInterval,
    InvalidMarket,
    MarketNotFound,
    QueryError,
    UsageError,
)
from upbit_frames.exchange.wire.message_tables import stream_schema
from upbit_frames.live.feed import Feed
from upbit_frames.live.stream import Stream
from upbit_frames.testing import Exchange
from upbit_frames.testing.market.listings import default_listings

NOW = "2026-03-01T03:00:20Z"
MARKETS = ["KRW-BTC", "KRW-ETH"]
KINDS = ["trade", "ticker", "orderbook", "candle.1s", "candle.1m"]


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    lively = [replace(one, trades_per_day=900_000.0) if one.market in MARKETS else one for one in default_listings()]
    with Exchange(seed=7, now=NOW, markets=lively) as exchange:
        exchange.clock.run()
        yield exchange


def eventually(true: Any, seconds: float = 60.0) -> None:
    """Wait until something is so."""
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it never came to that"
        time.sleep(0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_collected_into_a_frame(client: uf.Client, kind: str) -> None:
    frame = client.stream(MARKETS, kind, count=4, seconds=5, tz="Asia/Seoul")
    assert isinstance(frame, pd.DataFrame)
    assert frame.index.name == "time"
    assert str(frame.index.dtype) == "datetime64[us, Asia/Seoul]"
    assert set(frame["stream_type"]) <= {"SNAPSHOT", "REALTIME"}
    assert set(frame["market"]) <= set(MARKETS)
    assert frame["received_at"].dt.tz is not None
    expected = [name for name in stream_schema(kind).names if name != "time"]
    assert list(frame.columns) == expected
    attrs = frame.attrs["upbit_frames"]
    assert json.loads(json.dumps(attrs)) == attrs
    assert (attrs["kind"], attrs["channel"], attrs["dropped"]) == (kind, "live", 0)


def test_trades_come_once_and_in_order(client: uf.Client, exchange: Exchange) -> None:
    frame = client.stream("KRW-BTC", "trade", count=20)
    time.sleep(1.0)  # REST learns of a trade later than the stream
    assert len(frame) == 20
    assert frame["sequential_id"].is_unique
    assert frame.index.is_monotonic_increasing
    rest = client.trades("KRW-BTC", count=200, source="rest")
    both = frame.reset_index().merge(rest.reset_index(), on="sequential_id", suffixes=("", "_rest"))
    assert len(both) == 20
    for name in ("time", "price", "volume", "value", "side"):
        assert (both[name] == both[f"{name}_rest"]).all()


def test_backfilled_rows_are_counted_separately_as_far_as_they_were_taken(
    client: uf.Client, exchange: Exchange
) -> None:
    def broken() -> None:
        eventually(lambda: any(log.sent > 3 for log in exchange.streams.connections[opened:]))
        exchange.streams.faults.refuse = [503] * 1_000_000
        exchange.streams.drop()
        exchange.clock.advance(300.0)  # hundreds of trades, more than are wanted
        exchange.streams.faults.refuse = []

    eventually(lambda: exchange.streams.open == 0)
    opened = len(exchange.streams.connections)
    breaking = threading.Thread(target=broken)
    breaking.start()
    try:
        frame = client.stream("KRW-BTC", "trade", count=60)
    finally:
        breaking.join()
    record = uf.metrics("calls").iloc[-1]
    assert (record["call"], record["channel"], record["rows"]) == ("stream", "live+rest", 60)
    assert 0 < (frame["stream_type"] == "REST").sum() < 60 == len(frame)
    assert frame["sequential_id"].is_unique


def test_arrow_and_polars(client: uf.Client) -> None:
    table = client.stream("KRW-BTC", "trade", count=2, output="arrow")
    assert isinstance(table, pa.Table)
    assert table.schema.equals(stream_schema("trade"), check_metadata=False)
    polars = pytest.importorskip("polars")
    assert isinstance(client.stream("KRW-BTC", "trade", count=2, output="polars"), polars.DataFrame)


def test_seconds_end_also_where_nothing_comes(client: uf.Client) -> None:
    began = time.monotonic()
    frame = client.stream("KRW-BTC", "candle.4h", seconds=0.3)
    assert len(frame) <= 1
    assert time.monotonic() - began >= 0.3


def test_batch_by_batch(client: uf.Client) -> None:
    seen: list[int] = []
    with client.stream("KRW-BTC", "trade") as stream:
        assert isinstance(stream, Stream)
        for batch in stream:
            seen += batch["sequential_id"].tolist()
            if len(seen) >= 10:
                break
    assert len(seen) == len(set(seen))
    assert stream.stats["state"] == "closed"
    assert "trade of KRW-BTC: closed" in repr(stream)


def test_on_a_loop_of_ones_own(client: uf.Client) -> None:
    async def main() -> tuple[int, pd.DataFrame]:
        own = uf.AsyncClient(client.config)
        got = 0
        async with own.stream(MARKETS, "ticker") as stream:
            async for batch in stream:
                got += len(batch)
                if got >= 4:
                    break
            return got, await stream.collect(count=2)

    got, frame = asyncio.run(main())
    assert got >= 4
    assert len(frame) == 2


def test_names_and_quote_currencies_in_every_form(client: uf.Client, exchange: Exchange) -> None:
    listed = client.markets("BTC").index.tolist()
    frame = client.stream("비트코인", "trade", count=3)
    assert set(frame["market"]) == {"KRW-BTC"}
    assert frame.attrs["upbit_frames"]["market"] == ["KRW-BTC"]
    books = client.stream(quote="btc", kind="orderbook", depth=1, count=len(listed))
    assert set(books["market"]) == set(listed)  # the first frame of each is its snapshot
    assert books.attrs["upbit_frames"]["market"] == listed
    with client.stream(["이더리움", "KRW-BTC"], "ticker") as stream:
        assert set(next(stream)["market"]) <= set(MARKETS)
        assert stream.query.markets == ("KRW-ETH", "KRW-BTC")
    with client.stream(quote="BTC", kind="ticker", background=True) as feed:
        eventually(lambda: set(feed.latest()["market"]) == set(listed))

    async def main() -> pd.DataFrame:
        async with uf.AsyncClient(client.config).stream("비트코인", "ticker") as stream:
            return await stream.collect(count=1)

    assert asyncio.run(main())["market"].tolist() == ["KRW-BTC"]
    for background in (False, True):
        with (
            pytest.raises(MarketNotFound, match="names that begin so: '비트코인'"),
            client.stream("비트코", background=background),
        ):
            pass
    with pytest.raises(QueryError, match=r"'XYZ'.*there are BTC, KRW, USDT"):
        client.stream(quote="XYZ", count=1)
    with pytest.raises(QueryError, match="both given"):
        client.stream("KRW-BTC", quote="KRW")
    with pytest.raises(InvalidMarket, match="neither markets nor quote"):
        client.stream()


def test_a_coroutine_that_is_cancelled_lets_go(client: uf.Client, exchange: Exchange) -> None:
    async def main() -> None:
        async with uf.AsyncClient(client.config).stream("KRW-BTC", "candle.4h") as stream:
            await stream.collect(count=50)

    async def cancelled() -> None:
        task = asyncio.create_task(main())
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    eventually(lambda: exchange.streams.open == 0)


def test_in_the_background(client: uf.Client) -> None:
    with client.stream(MARKETS, "trade", background=True, buffer=50) as feed:
        assert isinstance(feed, Feed)
        eventually(lambda: len(feed) >= 10)
        frame = feed.to_frame()
        assert frame["sequential_id"].is_unique
        assert len(feed.to_frame(last=3)) == 3
        assert set(feed.latest()["market"]) <= set(MARKETS)
        assert "open" in repr(feed)
        eventually(lambda: feed.stats["dropped"] > 0)
        assert len(feed) <= 50
    assert feed.closed
    held = len(feed.to_frame())
    time.sleep(0.5)
    assert len(feed.to_frame()) == held
    feed.close()


def test_an_abandoned_feed_ends(client: uf.Client, exchange: Exchange) -> None:
    eventually(lambda: exchange.streams.open == 0)
    feed = client.stream("KRW-BTC", "trade", background=True)
    eventually(lambda: exchange.streams.open == 1)
    del feed
    gc.collect()
    eventually(lambda: exchange.streams.open == 0)


def test_several_readers_share_one_connection(client: uf.Client, exchange: Exchange) -> None:
    eventually(lambda: exchange.streams.open == 0)
    with (
        client.stream("KRW-BTC", "trade", background=True) as one,
        client.stream("KRW-ETH", "ticker", background=True) as two,
        client.stream("KRW-BTC", "trade", background=True) as three,
    ):
        eventually(lambda: len(one) > 3 and len(two) > 1 and len(three) > 3)
        assert exchange.streams.open == 1
        one.close()
        before = len(three)
        eventually(lambda: len(three) > before)


def test_closed_from_another_thread_a_reader_ends(client: uf.Client) -> None:
    with client.stream("KRW-BTC", "candle.4h") as stream:
        threading.Timer(0.5, stream.close).start()
        list(stream)
    assert stream.stats["state"] == "closed"


@pytest.mark.parametrize("broken", ["drop", "close"])
def test_gaps_are_repaired_and_reported(client: uf.Client, exchange: Exchange, broken: str) -> None:
    with client.stream("KRW-BTC", "trade", background=True) as feed:
        eventually(lambda: len(feed) >= 5)
        getattr(exchange.streams, broken)()
        eventually(lambda: len(feed.gaps) == 1 and feed.gaps["outcome"].iloc[0] in ("repaired", "nothing missing"))
        after = len(feed)
        eventually(lambda: len(feed) > after)
        frame = feed.to_frame()
        gap = feed.gaps.iloc[0]
    assert frame["sequential_id"].is_unique
    assert (gap["market"], gap["kind"]) == ("KRW-BTC", "trade")
    # The snapshot is the last trade of its millisecond; what came before it was never streamed.
    low, high = frame.index[0] + pd.Timedelta("1ms"), frame.index[-1]
    truth = client.trades("KRW-BTC", start=low, end=high, source="rest")
    high = min(high, pd.Timestamp(truth.attrs["upbit_frames"]["end"]))  # now, by what is known of the server's clock
    inside = frame[(frame.index >= low) & (frame.index < high)]
    assert inside["sequential_id"].tolist() == truth["sequential_id"].tolist()
    assert (frame["stream_type"] == "REST").sum() == gap["rows"]


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"markets": "BTC"}, InvalidMarket),
        ({"markets": []}, InvalidMarket),
        ({"markets": "KRW-NOPE", "seconds": 1}, MarketNotFound),
        ({"markets": "krw-btc", "kind": "candle.1d"}, InvalidInterval),
        ({"markets": "krw-btc", "kind": "nope"}, QueryError),
        ({"markets": "krw-btc", "kind": "trade", "depth": 5}, QueryError),
        ({"markets": "krw-btc", "kind": "orderbook", "depth": 31}, QueryError),
        ({"markets": "krw-btc", "kind": "orderbook", "level": "x"}, QueryError),
        ({"markets": "BTC-ETH", "kind": "orderbook", "level": 1000, "seconds": 1}, QueryError),
        ({"markets": "krw-btc", "seconds": 0}, QueryError),
        ({"markets": "krw-btc", "seconds": float("nan")}, QueryError),
        ({"markets": "krw-btc", "count": -1}, QueryError),
        ({"markets": "krw-btc", "count": 1.5}, QueryError),
        ({"markets": "krw-btc", "buffer": 0}, QueryError),
        ({"markets": "krw-btc", "seconds": 1, "background": True}, QueryError),
    ],
)
def test_what_is_wrong_is_said_at_once(client: uf.Client, asked: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        client.stream(**asked)
    assert str(caught.value)


def test_an_unreachable_exchange_is_an_error(client: uf.Client) -> None:
    unreachable = uf.Client(client.config.replace(ws_url="ws://127.0.0.1:9"))
    with pytest.raises(ConnectionFailed):
        unreachable.stream("KRW-BTC", seconds=1)


def test_used_wrongly(client: uf.Client) -> None:
    stream = client.stream("KRW-BTC")
    with pytest.raises(UsageError, match="not open"):
        asyncio.run(stream.collect(count=1))
    with stream:
        pass
    list(stream)  # what arrived before it was closed
    assert list(stream) == []
    with pytest.raises(UsageError, match="opened before"), stream:
        pass
