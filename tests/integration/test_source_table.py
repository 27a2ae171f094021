"""README's table of which source serves which call, held against ``plan``, ``explain`` and the real routes.

Each cell is measured: the call is planned and explained, then made, and the three must name the same channels, or
the same error. A cell that differs from README says what belongs there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import upbit_frames as uf
from upbit_frames.errors import NotCached, UpbitFramesError
from upbit_frames.live import channel as live_channel
from upbit_frames.testing import Exchange

README = Path(__file__).resolve().parents[2] / "README.md"
SOURCES = ("auto", "store", "rest", "live", "archive")
MINUTES = {"interval": "1m", "start": "2026-02-20 06:00", "end": "2026-02-20 12:00"}
TRADES = {"start": "2026-02-27 00:05", "end": "2026-02-27 00:15"}
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "`candles`, stored range": ("candles", MINUTES),
    "`candles`, missing range": ("candles", MINUTES | {"start": "2026-02-10 06:00", "end": "2026-02-10 12:00"}),
    "`candles`, `count=20, forming=True`": ("candles", {"interval": "1m", "count": 20, "forming": True}),
    "`trades`, stored range": ("trades", TRADES),
    "`trades`, missing range": ("trades", {"start": "2026-02-26 06:00", "end": "2026-02-26 06:10"}),
    "`trades`, `count=20`": ("trades", {"count": 20}),
    "`bars`, stored range": ("bars", {"ticks": 20, **TRADES}),
    "`ticker`": ("ticker", {}),
    "`orderbook`": ("orderbook", {}),
}


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    with Exchange(seed=7, now="2026-03-01T03:30:20Z", limits=False) as running:
        yield running


@pytest.fixture
def client(exchange: Exchange, make_client: Callable[..., uf.Client], monkeypatch: pytest.MonkeyPatch) -> uf.Client:
    """A client with the stored ranges in its store; a busy machine may take long for the first frame."""
    monkeypatch.setattr(live_channel, "FIRST_FRAME_TIMEOUT", 60.0)
    client = make_client(exchange)
    client.candles("KRW-BTC", **MINUTES)
    client.trades("KRW-BTC", **TRADES)
    return client


def table() -> dict[str, dict[str, str]]:
    """Return README's table: by call, the cell of each source."""
    text = README.read_text(encoding="utf-8")
    rows = re.search(r"<!-- sources -->\n(.*?)\n\n", text, re.S)
    assert rows is not None, "README has no table behind <!-- sources -->"
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in rows[1].splitlines()]
    assert [name.strip("`") for name in cells[0][1:]] == list(SOURCES)
    return {row[0]: dict(zip(SOURCES, row[1:], strict=True)) for row in cells[2:]}


def channels(names: Any) -> str:
    order = ("store", "archive", "rest", "live", "none")
    return ", ".join(f"`{name}`" for name in sorted(set(names), key=order.index))


def announced(work: Callable[[], Any], read: Callable[[Any], Any]) -> str:
    """Return the channels or the error that a plan or an explanation announces."""
    try:
        answer = work()
    except UpbitFramesError as error:
        return type(error).__name__
    return read(answer)


def planned(plan: Any) -> str:
    return type(plan.error).__name__ if plan.error is not None else channels(step.channel for step in plan.steps)


def test_the_table_has_every_call() -> None:
    assert list(table()) == list(CALLS)


@pytest.mark.filterwarnings("ignore::upbit_frames.errors.UpbitFramesWarning")  # ranges that no source has
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("call", CALLS)
def test_cell(client: uf.Client, exchange: Exchange, call: str, source: str) -> None:
    name, arguments = CALLS[call]
    arguments = {**arguments, "source": source}
    if source == "live":
        exchange.clock.run()  # a stream needs a clock that runs
    seen: dict[str, str] = {}
    if name == "candles":
        seen["plan"] = announced(lambda: client.plan("KRW-BTC", **arguments), planned)
    if name != "bars":
        seen["explain"] = announced(
            lambda: client.explain(name, "KRW-BTC", **arguments), lambda answer: channels(answer.channel.split("+"))
        )
    try:
        frame = getattr(client, name)("KRW-BTC", **arguments)
    except UpbitFramesError as error:
        real = type(error).__name__
        if isinstance(error, NotCached):  # explain shows the ranges that are missing; it does not raise
            assert seen.pop("explain", "`none`").endswith("`none`")
    else:
        real = channels(step["channel"] for step in frame.attrs["upbit_frames"]["route"])
    assert set(seen.values()) <= {real}, f"{call}, source={source!r}: the call gave {real}, announced was {seen}"
    assert table()[call][source] == real, f"README: the cell of {call} and source={source!r} must be {real}"
