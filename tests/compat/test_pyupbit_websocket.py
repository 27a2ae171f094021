"""WebSocketManager and WebSocketClient of the drop-in, at the stand-in exchange's stream."""

from __future__ import annotations

import inspect
import queue
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from support.streams import lively

import upbit_frames as uf
from upbit_frames.testing import Exchange

BUSY = "2026-03-01T03:07:00Z"
WAIT = 60.0  # for what always comes


@pytest.fixture
def busy() -> Iterator[Exchange]:
    with Exchange(seed=13, now=BUSY, markets=lively(60_000.0), limits=False) as exchange:
        exchange.clock.run(20)
        with uf.using(**exchange.settings()):
            yield exchange


@pytest.mark.parametrize("type_", ["ticker", "trade", "orderbook", "candle.1s"])
def test_messages_are_upbits_own(busy: Exchange, type_: str) -> None:
    from upbit_frames.compat import pyupbit
    from upbit_frames.exchange.wire.messages import SIMPLE_KEYS

    wm = pyupbit.WebSocketManager(type_, ["KRW-BTC", "KRW-ETH"])
    assert (wm.alive, wm.type, wm.codes) == (False, type_, ["KRW-BTC", "KRW-ETH"])
    messages = [wm.get(timeout=WAIT) for _ in range(5)]
    assert wm.alive
    inner = {"ask_price", "bid_price", "ask_size", "bid_size"} if type_ == "orderbook" else set()
    for message in messages:
        assert type(message) is dict
        assert message["type"] == type_
        assert message["code"] in wm.codes
        assert message["stream_type"] == "REALTIME"
        assert set(message) == set(SIMPLE_KEYS[type_.partition(".")[0]]) - inner
    wm.terminate()
    assert not wm.alive


def test_a_drop_is_a_text_and_messages_go_on(busy: Exchange) -> None:
    from upbit_frames.compat.pyupbit import WebSocketManager

    wm = WebSocketManager("trade", ["KRW-BTC"])
    assert wm.get(timeout=WAIT)["type"] == "trade"
    busy.streams.drop()
    messages = []
    while "ConnectionClosedError" not in messages:
        messages.append(wm.get(timeout=WAIT))
    assert messages.count("ConnectionClosedError") == 1
    assert wm.get(timeout=WAIT)["type"] == "trade"
    wm.terminate()


def test_get_ends(busy: Exchange) -> None:
    from upbit_frames.compat.pyupbit import WebSocketManager

    wm = WebSocketManager("trade", ["KRW-NOPE"])
    with pytest.raises(queue.Empty):
        wm.get(timeout=0.01)
    outcome: list[BaseException] = []

    def wait() -> None:
        try:
            wm.get()
        except uf.errors.UpbitFramesError as error:
            outcome.append(error)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    wm.terminate()
    thread.join(WAIT)
    assert isinstance(outcome[0], uf.errors.UsageError)
    for _ in range(2):
        with pytest.raises(uf.errors.UsageError):
            wm.get()
    wm.terminate()


def test_unread_messages_are_dropped(busy: Exchange) -> None:
    from upbit_frames.compat.pyupbit import WebSocketManager

    wm = WebSocketManager("trade", ["KRW-BTC"], 3)
    first = wm.get(timeout=WAIT)
    for _ in range(30):
        last = wm.get(timeout=WAIT)
    assert last["sequential_id"] > first["sequential_id"]
    assert wm._inbox.waiting.maxsize == 3
    wm.terminate()


def test_no_connection_raises_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from upbit_frames.compat import pyupbit
    from upbit_frames.exchange.transport.retry import RetryPolicy

    monkeypatch.setattr(RetryPolicy, "pause", lambda self, attempt: 0.0)
    with Exchange(seed=13, now=BUSY) as exchange:
        gone = exchange.settings()
    with uf.using(**gone):
        wm = pyupbit.WebSocketManager("ticker", ["KRW-BTC"])
        for _ in range(2):
            with pytest.raises(pyupbit.errors.UpbitError):
                wm.get(timeout=WAIT)


def test_the_client_fills_a_queue(busy: Exchange) -> None:
    from upbit_frames.compat.pyupbit import WebSocketClient

    class Enough(Exception):
        pass

    class Three(list[Any]):
        def put(self, message: Any) -> None:
            self.append(message)
            if len(self) == 3:
                raise Enough

    messages = Three()
    with pytest.raises(Enough):
        WebSocketClient("ticker", ["KRW-BTC"], messages)
    assert [one["code"] for one in messages] == ["KRW-BTC"] * 3


def test_signatures(theirs: Any, ours: Any) -> None:
    expected = inspect.signature(theirs.WebSocketManager.__init__).parameters
    actual = inspect.signature(ours.WebSocketManager.__init__).parameters
    assert list(actual) == list(expected)
    assert actual["qsize"].default == expected["qsize"].default
    with pytest.raises(uf.errors.QueryError, match="list"):
        ours.WebSocketManager("ticker", "KRW-BTC")
