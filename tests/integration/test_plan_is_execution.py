"""What ``plan`` and ``explain`` announce is what a call does, for every call and source.

Each case is decided first, then executed on the same store, and the two are held against each other:
the same error, or the same channels for the same ranges.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest

import upbit_frames as uf
from upbit_frames.errors import UpbitFramesError, UpbitFramesWarning
from upbit_frames.testing import Exchange

SOURCES = ("auto", "store", "rest", "live", "archive")
CANDLE_SOURCES = (*SOURCES, "derived")
DAY = {"start": "2026-02-20", "end": "2026-02-21"}
CANDLES: dict[str, dict[str, Any]] = {
    "stored": {"interval": "1m", "start": "2026-02-20 06:00", "end": "2026-02-20 12:00"},
    "missing": {"interval": "1m", "start": "2026-02-10", "end": "2026-02-10 08:00"},
    "partly stored": {"interval": "1m", "start": "2026-02-19 20:00", "end": "2026-02-21 04:00"},
    "until now": {"interval": "1m", "start": "2026-03-01 01:00"},
    "newest": {"interval": "1m", "count": 150},
    "before": {"interval": "1m", "end": "2026-02-20 12:00", "count": 100},
    "before, partly": {"interval": "1m", "end": "2026-02-20 01:00", "count": 200},
    "first": {"interval": "1m", "start": "2026-02-20 12:00", "count": 100},
    "first, missing": {"interval": "1m", "start": "2026-02-10", "count": 100},
    "forming": {"interval": "1m", "start": "2026-03-01 03:00", "forming": True},
    "newest and forming": {"interval": "1m", "count": 20, "forming": True},
    "filled": {"interval": "1m", "end": "2026-02-20 12:00", "count": 100, "gaps": "fill"},
    "nan": {"interval": "1m", "end": "2026-02-10 12:00", "count": 100, "gaps": "nan"},
    "expired seconds": {"interval": "1s", "start": "2025-06-01", "end": "2025-06-01 01:00"},
    "future": {"interval": "1m", "start": "2027-01-01"},
    "days": {"interval": "1d", "count": 30, "forming": True},
    "derived": {"interval": "2h", "start": "2026-02-10", "end": "2026-02-11"},
    "derived of stored minutes": {"interval": "45m", "start": "2026-02-20 03:00", "end": "2026-02-20 18:00"},
    "derived, newest and forming": {"interval": "2h", "count": 20, "forming": True},
    "derived, first": {"interval": "90m", "start": "2026-02-20 12:00", "count": 40},
    "derived, Korean days": {"interval": "1d", "base": "Asia/Seoul", "end": "2026-02-20", "count": 5},
    "derived, filled": {"interval": "12h", "end": "2026-02-20 12:00", "count": 10, "gaps": "fill"},
    "derived seconds": {"interval": "90s", "start": "2025-06-01", "end": "2025-06-01 01:00"},
    "derived, future": {"interval": "2h", "start": "2027-01-01"},
    "several markets": {"interval": "1m", "start": "2026-02-20", "end": "2026-02-20 06:00"},
}
TRADES: dict[str, dict[str, Any]] = {
    "stored": {"start": "2026-02-27 00:05", "end": "2026-02-27 00:15"},
    "missing": {"start": "2026-02-26", "end": "2026-02-26 00:10"},
    "partly stored": {"start": "2026-02-26 23:55", "end": "2026-02-27 00:10"},
    "old": {"start": "2020-01-01", "end": "2020-01-02"},
    "old and new": {"start": "2026-02-21 23:50", "end": "2026-02-22 00:10"},
    "newest": {"count": 20},
    "before": {"end": "2026-02-27 00:20", "count": 10},
    "before, missing": {"end": "2026-02-26 12:00", "count": 10},
    "first": {"start": "2026-02-27 00:01", "count": 10},
    "future": {"start": "2027-01-01"},
}


@pytest.fixture
def client(exchange: Exchange, make_client: Callable[..., uf.Client]) -> uf.Client:
    """A client with a day of minutes and twenty minutes of trades in its store."""
    client = make_client(exchange)
    for market in ("KRW-BTC", "KRW-ETH"):
        client.candles(market, "1m", **DAY)
    client.trades("KRW-BTC", start="2026-02-27", end="2026-02-27 00:20")
    return client


def outcome(work: Callable[[], Any]) -> Any:
    """Return what work gives, or the error that it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UpbitFramesWarning)
        try:
            return work()
        except UpbitFramesError as error:
            return error


def merged(steps: Any) -> list[tuple[str, str, str, str]]:
    """Return market, channel, start and end of each step, neighbours of one channel as one."""
    found: list[tuple[str, str, str, str]] = []
    for market, channel, start, end in steps:
        if start == end:
            continue
        if found and found[-1][:2] == (market, channel) and found[-1][3] == start:
            found[-1] = (market, channel, found[-1][2], end)
        else:
            found.append((market, channel, start, end))
    return found


def of_frame(frame: Any) -> list[tuple[str, str, str, str]]:
    """Return the steps of a plan's or an explanation's frame."""
    text = [frame[name].dt.strftime("%Y-%m-%dT%H:%M:%S") for name in ("start", "end")]
    return merged(zip(frame["market"], frame["channel"], *text, strict=True))


def of_route(frame: Any) -> list[tuple[str, str, str, str]]:
    route = frame.attrs["upbit_frames"]["route"]
    return merged((step["market"], step["channel"], step["start"][:19], step["end"][:19]) for step in route)


@pytest.mark.parametrize("source", CANDLE_SOURCES)
@pytest.mark.parametrize("case", CANDLES)
def test_candles(client: uf.Client, case: str, source: str) -> None:
    arguments = {**CANDLES[case], "source": source}
    market: Any = ["KRW-BTC", "KRW-ETH"] if case == "several markets" else "KRW-BTC"
    plan = outcome(lambda: client.plan(market, **arguments))
    explained = outcome(lambda: client.explain("candles", market, **arguments))
    frame = outcome(lambda: client.candles(market, **arguments))
    if isinstance(frame, uf.errors.NotCached):
        assert isinstance(plan.error, uf.errors.NotCached)
        assert plan.error.missing == frame.missing
        assert plan.requests == 0
        assert "NotCached" in repr(plan)
        assert "none" in explained.channel.split("+")
        return
    if isinstance(frame, UpbitFramesError):
        assert type(plan) is type(explained) is type(frame)
        return
    assert plan.error is None
    planned = of_frame(plan.to_frame())
    assert of_frame(explained.to_frame()) == planned
    if source == "derived" and case.startswith("first"):  # how far so many seconds with a trade reach is not known
        assert {step[1] for step in of_route(frame)} == {step[1] for step in planned}
        return
    if (case, source) == ("days", "archive"):  # only the listing tells that the newest file is there already
        assert {step[1] for step in of_route(frame)} == {step[1] for step in planned} - {"none"}
        return
    assert of_route(frame) == planned
    assert frame.attrs["upbit_frames"]["route"] == [] or plan.requests >= sum(
        step["requests"] for step in frame.attrs["upbit_frames"]["route"] if step["channel"] != "archive"
    )
    assert len(frame) <= plan.rows or source == "archive"


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("case", TRADES)
def test_trades(client: uf.Client, case: str, source: str) -> None:
    arguments = {**TRADES[case], "source": source}
    explained = outcome(lambda: client.explain("trades", "KRW-BTC", **arguments))
    frame = outcome(lambda: client.trades("KRW-BTC", **arguments))
    if isinstance(frame, uf.errors.NotCached):
        assert "forced" in explained.rule.split("+")
        return
    if isinstance(frame, UpbitFramesError):
        assert type(explained) is type(frame)
        return
    route = frame.attrs["upbit_frames"]["route"]
    if "count" in arguments:  # how far back so many trades reach is not known beforehand
        assert set(explained.channel.split("+")) == {step["channel"] for step in route}
        return
    assert of_frame(explained.to_frame()) == of_route(frame)


def test_explain_names_the_rule_of_the_decision(client: uf.Client) -> None:
    old = client.explain("trades", "KRW-BTC", start="2020-01-01", end="2020-01-02")
    assert (old.channel, old.rule) == ("none", "nowhere")
    assert "seven UTC days" in old.reason
    offline = client.explain("candles", "KRW-BTC", "1m", start="2026-02-10", end="2026-02-11", source="store")
    assert (offline.channel, offline.rule) == ("none", "forced")
    assert offline.alternatives["rest"] == "source='store' was given"


def test_plan_and_explain_print_times_in_the_zone_of_the_call(client: uf.Client) -> None:
    arguments: dict[str, Any] = {"start": "2026-02-20 09:00", "end": "2026-02-20 10:00", "tz": "Asia/Seoul"}
    for answer in (client.plan("KRW-BTC", **arguments), client.explain("candles", "KRW-BTC", **arguments)):
        assert "2026-02-20T09:00:00+09:00 → 2026-02-20T10:00:00+09:00" in repr(answer)
