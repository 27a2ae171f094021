"""What a collected frame holds, and what it says about what it lacks, over real sockets."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.streams import until

import upbit_frames as uf
from upbit_frames.errors import SchemaError, UpbitFramesWarning
from upbit_frames.exchange.transport.retry import RetryPolicy
from upbit_frames.live import collection
from upbit_frames.live.hub.hub import Hub
from upbit_frames.live.hub.subscriber import Subscriber
from upbit_frames.runtime import event_loop
from upbit_frames.testing import Exchange
from upbit_frames.testing.market.listings import default_listings

NOW = "2026-03-01T03:00:20Z"


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    busy = ("KRW-BTC", "KRW-ETH")
    lively = [replace(one, trades_per_day=900_000.0) if one.market in busy else one for one in default_listings()]
    with Exchange(seed=7, now=NOW, markets=lively) as exchange:
        exchange.clock.run()
        yield exchange


def meanwhile(exchange: Exchange, do: Callable[[], None]) -> threading.Thread:
    """Do something once the stream is open and has sent a little."""

    def work() -> None:
        ends = time.monotonic() + 60.0
        while not (exchange.streams.connections and exchange.streams.connections[-1].sent > 5):
            assert time.monotonic() < ends
            time.sleep(0.01)
        do()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def spoilt(market: str) -> Callable[[bytes], bytes]:
    def edit(frame: bytes) -> bytes:
        if b'"%b"' % market.encode() in frame and b"REALTIME" in frame:
            return b'{"type":"trade","code":"%b","trade_price":"a lot"}' % market.encode()
        return frame

    return edit


def away(exchange: Exchange) -> None:
    """The stream breaks and does not come back."""
    exchange.streams.faults.refuse = [503] * 1_000_000
    exchange.streams.drop()


def down_at_the_end(exchange: Exchange, monkeypatch: pytest.MonkeyPatch, missed: int) -> None:
    """Have the stream break after the first rows, at the end of the collection, and miss so many trades."""
    complete = Hub.complete

    async def broken(hub: Hub, subscriber: Subscriber, timeout: float) -> None:
        await until(lambda: subscriber.rows or subscriber.received)
        await asyncio.to_thread(away, exchange)
        await until(lambda: hub.state != "open")
        began = exchange.clock.now()
        await until(lambda: len(exchange.market.trades("KRW-BTC", began, exchange.clock.now())) >= missed)
        await asyncio.sleep(1.5)  # REST serves a trade later, and its Date has whole seconds
        await complete(hub, subscriber, timeout)

    monkeypatch.setattr(Hub, "complete", broken)
    monkeypatch.setattr(collection._Quota, "end_at", lambda *_: None)  # on a busy machine the first rows come later


def test_a_stream_that_is_down_at_the_end_is_completed_over_rest(
    exchange: Exchange, client: uf.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection, "REPAIR_TIMEOUT", 60.0)
    down_at_the_end(exchange, monkeypatch, missed=3)
    frame = client.stream("KRW-BTC", "trade", seconds=2)  # a warning would fail the test
    facts = frame.attrs["upbit_frames"]
    assert [gap["outcome"] for gap in facts["gaps"]] == ["repaired"]
    ids = frame["sequential_id"].tolist()
    truth = exchange.market.trades("KRW-BTC", ids[0] // 10, ids[-1] // 10 + 1).sequential_id.tolist()
    assert ids == truth[truth.index(ids[0]) : truth.index(ids[-1]) + 1]
    assert (frame["stream_type"] == "REST").any()
    assert (facts["interrupted"], facts["ended"]) == (False, None)


def test_a_gap_that_was_not_repaired_is_reported_once(
    exchange: Exchange, client: uf.Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    exchange.faults.add("503", times=None, match="/v1/trades")
    monkeypatch.setattr(RetryPolicy, "pause", lambda self, attempt: 0.01)
    monkeypatch.setattr(collection, "REPAIR_TIMEOUT", 60.0)
    down_at_the_end(exchange, monkeypatch, missed=0)
    with pytest.warns(UpbitFramesWarning, match="may lack rows of KRW-BTC") as caught:
        client.stream("KRW-BTC", "trade", seconds=2)
    assert len(caught) == 1
    assert not [record for record in caplog.records if "was not repaired" in record.message]


def test_rows_that_could_not_be_completed_are_reported(
    exchange: Exchange, client: uf.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection, "REPAIR_TIMEOUT", 0.5)
    monkeypatch.setattr("upbit_frames.live.hub.backfill.RestBackfill.fetch", never)
    down_at_the_end(exchange, monkeypatch, missed=0)
    with pytest.warns(UpbitFramesWarning, match=r"may lack rows of KRW-BTC \(trade\) .*uf\.trades"):
        frame = client.stream("KRW-BTC", "trade", seconds=2)
    assert len(frame)
    assert frame.attrs["upbit_frames"]["gaps"][0]["outcome"] == "open"


async def never(*_: Any) -> Any:
    await asyncio.sleep(3600)


@pytest.mark.parametrize("markets", ["KRW-BTC", ["KRW-BTC", "KRW-ETH"]], ids=["alone", "beside another"])
def test_odd_frames_cost_no_collected_row(exchange: Exchange, client: uf.Client, markets: Any) -> None:
    def spoil() -> None:
        exchange.streams.faults.edit = spoilt("KRW-BTC")

    thread = meanwhile(exchange, spoil)
    with pytest.warns(UpbitFramesWarning) as caught:
        frame = client.stream(markets, "trade", seconds=20 if isinstance(markets, list) else 600)
    thread.join()
    assert {Path(one.filename).name for one in caught} == {Path(__file__).name}
    assert any("ended early: the answer is not what the API promises" in str(one.message) for one in caught)
    facts = frame.attrs["upbit_frames"]
    assert facts["odd_frames"] == 3
    assert len(frame)
    assert not frame.duplicated(["market", "sequential_id"]).any()
    if isinstance(markets, list):
        assert facts["ended"] is None
        last = frame[frame["market"] == "KRW-ETH"].index[-1]
        assert last > frame[frame["market"] == "KRW-BTC"].index[-1]
    else:
        assert "not what the API promises" in facts["ended"]


def test_odd_frames_end_a_loop_and_a_feed_alike(exchange: Exchange, client: uf.Client) -> None:
    feed = client.stream("KRW-BTC", "trade", background=True)
    other = client.stream("KRW-ETH", "trade", background=True)
    seen = []

    def loop() -> None:
        for batch in client.stream("KRW-BTC", "trade"):
            seen.append(len(batch))
            exchange.streams.faults.edit = spoilt("KRW-BTC")

    with pytest.raises(SchemaError, match="expected `float`"):
        loop()
    assert seen
    ends = time.monotonic() + 60.0
    while not feed.closed:
        assert time.monotonic() < ends
        time.sleep(0.01)
    assert isinstance(feed.error, SchemaError)
    held = len(feed)
    exchange.streams.faults.edit = None
    before = other.stats["received"]
    while other.stats["received"] < before + 5:
        assert time.monotonic() < ends
        time.sleep(0.01)
    assert not other.closed
    assert len(feed) == held > 0
    assert len(feed.to_frame()) == held
    with pytest.raises(SchemaError):
        assert sum(map(len, feed)) == held
    other.close()


def test_a_plain_loop_opens_and_leaves(exchange: Exchange, client: uf.Client) -> None:
    seen: list[int] = []
    for batch in client.stream("KRW-BTC", "trade"):
        seen += batch["sequential_id"].tolist()
        if len(seen) >= 10:
            break
    assert seen == sorted(set(seen))
    del batch
    ends = time.monotonic() + 60.0
    while exchange.streams.open:
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_a_feed_can_be_looped_over_again_and_again(client: uf.Client) -> None:
    with client.stream("KRW-BTC", "trade", background=True) as feed:
        first, second = [], []
        for batch in feed:
            first += batch["sequential_id"].tolist()
            if len(first) >= 20:
                break
        for batch in feed:
            second += batch["sequential_id"].tolist()
            if len(second) >= 40:
                break
        assert second[: len(first)] == first
        assert second == sorted(set(second))
        closing = threading.Timer(0.3, feed.close)
        closing.start()
        whole = [one for batch in feed for one in batch["sequential_id"]]
        closing.join()
    assert whole == feed.to_frame()["sequential_id"].tolist()
    assert [one for batch in feed for one in batch["sequential_id"]] == whole


def test_a_loop_over_a_feed_waits_for_the_first_row(exchange: Exchange, client: uf.Client) -> None:
    exchange.streams.faults.silent = True
    with client.stream("KRW-BTC", "trade", background=True) as feed:

        def speak() -> None:
            exchange.streams.faults.silent = False

        speaking = threading.Timer(0.5, speak)
        speaking.start()
        assert len(next(iter(feed)))
        speaking.join()


def test_a_slow_loop_over_a_small_feed_is_warned_of_missed_rows(client: uf.Client) -> None:
    with client.stream("KRW-BTC", "trade", background=True, buffer=5) as feed:
        loop = iter(feed)
        next(loop)
        before = feed.stats["received"]
        ends = time.monotonic() + 60.0
        while feed.stats["received"] < before + 20:
            assert time.monotonic() < ends
            time.sleep(0.01)
        with pytest.warns(UpbitFramesWarning, match="rows of trade were dropped before"):
            assert len(next(loop)) == 5


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Ctrl-C interrupts; a shell has programs in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_an_interrupted_collection_is_returned(exchange: Exchange, client: uf.Client) -> None:
    thread = meanwhile(exchange, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.warns(UpbitFramesWarning, match="interrupted") as caught:
        frame = client.stream("KRW-BTC", "trade", seconds=600)
    thread.join()
    assert Path(caught[0].filename).name == Path(__file__).name
    assert len(frame)
    assert frame.attrs["upbit_frames"]["interrupted"] is True
    ends = time.monotonic() + 60.0
    while exchange.streams.open:
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_nothing_is_logged_once_the_stream_is_over(
    exchange: Exchange, client: uf.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        client.stream("KRW-BTC", "trade", count=5)
        caplog.clear()
        away(exchange)
        time.sleep(2.5)  # longer than an idle connection is kept
        ours = [one for one in caplog.records if one.name.startswith("upbit_frames")]
        assert [one.message for one in ours if one.levelno >= logging.WARNING] == []


def test_a_collection_shows_how_far_it_has_come(
    exchange: Exchange, client: uf.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    client.stream("KRW-BTC", "trade", count=5)
    assert capsys.readouterr().err == ""
    drawing = uf.Client(client.config.replace(progress=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        drawing.stream("KRW-BTC", "trade", count=5)
    assert "trade KRW-BTC: 100%" in (err := capsys.readouterr().err)
    assert "5 rows" in err


def test_the_final_state_is_drawn_though_the_thread_of_the_caller_never_ran_meanwhile(
    client: uf.Client, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_loop, "SLICE", 3600.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        uf.Client(client.config.replace(progress=True)).stream("KRW-BTC", "trade", count=5)
    assert "trade KRW-BTC: 100%" in (err := capsys.readouterr().err)
    assert "5 rows" in err
