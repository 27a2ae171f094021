"""Plays a scenario against an exchange behind a line, and writes down what each call cost.

A run ends with its last call, but a subscription does not: it is watched for ``TAIL`` seconds more, and
what it will take after those, until the router ends it, follows from the router's own rule
(``idle_timeout``) and from the frames and bytes a second that this run saw.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import pandas as pd
from benchmarks.router_cost import Call, Run
from benchmarks.router_scenarios import Scenario
from benchmarks.router_served import Served
from benchmarks.router_world import MARKETS, Truth

import upbit_frames as uf
from upbit_frames.core.intervals import INTERVALS
from upbit_frames.errors import UpbitFramesError
from upbit_frames.live.hub.hub import LINGER
from upbit_frames.live.hub.registry import close_all
from upbit_frames.router.live_rules import idle_timeout
from upbit_frames.runtime import event_loop

__all__ = ["TAIL", "Player", "remaining_subscription", "score"]

TAIL = 2.0
LEAD = 0.3  # seconds before the first call; more where somebody else has to be at it already
USERS_APART = 0.03


class Player:
    """Plays scenarios one after the other; a context manager."""

    def __enter__(self) -> Self:
        self._served = Served().__enter__()
        return self

    def __exit__(self, *failed: Any) -> None:
        self._served.__exit__(*failed)

    def warm_up(self) -> None:
        """Import everything that a first call imports, which nobody wants to measure."""
        for kind, how in (("ticker", {}), ("orderbook", {}), ("trades", {"count": 5}), ("candles", {"forming": True})):
            for source in ("rest", "live"):
                self.play(Scenario("warm-up", kind, how=how, round_trip=0.0), source, tail=0.0)

    def play(self, scenario: Scenario, source: str, *, tail: float = TAIL) -> Run:
        """One run."""
        codes = [*(scenario.markets or MARKETS), *(["KRW-LOAD"] if scenario.load else [])]
        told = self._served.ask("start", codes=codes, round_trip=scenario.round_trip)
        try:
            with tempfile.TemporaryDirectory() as folder:
                config = uf.Config(
                    rest_url=told["rest_url"], ws_url=told["ws_url"], cache_dir=Path(folder), progress=False
                )
                try:
                    return self._played(scenario, source, uf.Client(config), told, tail)
                finally:
                    event_loop.run(close_all)
        finally:
            self._served.ask("stop")

    def _played(self, scenario: Scenario, source: str, client: uf.Client, told: Any, tail: float) -> Run:
        for at, what in scenario.events:
            if at == 0:
                self._served.ask("happen", what=what)
        over = threading.Event()
        zero = time.monotonic() + (1.5 if scenario.load else LEAD)
        others = [threading.Thread(target=self._events, args=(scenario, zero, over))]
        if scenario.load:
            others.append(threading.Thread(target=_load, args=(scenario, client, over)))
        heard: list[tuple[Call, Any, float]] = []
        users = [
            threading.Thread(target=_use, args=(scenario, user, source, client, zero, heard))
            for user in range(scenario.users)
        ]
        for thread in [*others, *users]:
            thread.start()
        for thread in users:
            thread.join()
        over.set()
        for thread in others:
            thread.join()
        run = Run(scenario.name, source, [call for call, _, _ in sorted(heard, key=lambda one: one[0].began)])
        self._watch(run, tail)
        truth = Truth(tuple(scenario.markets or MARKETS))
        for call, frame, ended in heard:
            if not call.error:
                score(scenario, call, frame, told["now"] + int((ended - told["monotonic"]) * 1e6), truth)
        return run

    def _events(self, scenario: Scenario, zero: float, over: threading.Event) -> None:
        for at, what in scenario.events:
            if at == 0:
                continue
            if over.wait(max(0.0, zero + at - time.monotonic())):
                return
            self._served.ask("happen", what=what)

    def _watch(self, run: Run, tail: float) -> None:
        """Wait for the subscription to end; of what is too long to wait for, say what it will be."""
        last, ends = time.monotonic(), time.monotonic() + tail
        run.used = self._served.ask("tally")
        while run.used["open"] and time.monotonic() < ends:
            time.sleep(0.25)
            run.used = self._served.ask("tally")
        if not run.used["open"]:
            return
        run.tail = remaining_subscription(run, time.monotonic() - last)


def remaining_subscription(run: Run, waited: float) -> dict[str, float]:
    """Return what an open subscription still takes until the router ends it, ``waited`` seconds after the last call."""
    began = sorted(one.began for one in run.calls)[-8 * max(1, len({one.user for one in run.calls})) :]
    pace = (began[-1] - began[0]) / (len(began) - 1) if len(began) > 1 else float("inf")
    seconds = max(0.0, idle_timeout(pace) + LINGER - waited)
    share = seconds / max(0.1, run.used["seconds_open"])
    return {
        "frames": run.used["frames"] * share,
        "bytes": run.used["stream_bytes"] * share,
        "seconds_open": seconds,
    }


def _load(scenario: Scenario, client: uf.Client, over: threading.Event) -> None:
    """Somebody else in the same program, who uses the same limit."""
    ask = client.ticker if scenario.kind == "ticker" else client.orderbook
    due = time.monotonic()
    while not over.wait(max(0.0, due - time.monotonic())):
        due += 1 / scenario.load
        ask("KRW-LOAD", source="rest")


def _use(
    scenario: Scenario, user: int, source: str, client: uf.Client, zero: float, heard: list[tuple[Call, Any, float]]
) -> None:
    ask = _asker(scenario, user, source, client)
    for at in scenario.at:
        time.sleep(max(0.0, zero + at + user * USERS_APART - time.monotonic()))
        began = time.monotonic()
        call, frame = Call(user, began, 0.0), None
        try:
            frame = ask()
        except UpbitFramesError as error:
            call.error = f"{type(error).__name__}: {error.message}"
        ended = time.monotonic()
        call.latency = (ended - began) * 1000
        call.note_route(frame)
        heard.append((call, frame, ended))
        if call.error:
            return  # it costs infinitely much already


def _asker(scenario: Scenario, user: int, source: str, client: uf.Client) -> Callable[[], Any]:
    how, markets = {**scenario.how, "source": source}, list(scenario.markets)
    if scenario.apart:
        markets = [markets[user]]
    if scenario.kind == "ticker":
        return lambda: client.ticker(markets or None, **how)
    if scenario.kind == "orderbook":
        return lambda: client.orderbook(markets, **how)
    single: Callable[..., Any] = client.trades if scenario.kind == "trades" else client.candles
    return lambda: single(markets[0], **how)


def score(scenario: Scenario, call: Call, frame: pd.DataFrame, now: int, truth: Truth) -> None:
    """For how long what was told had been out of date."""
    count = scenario.how.get("count")
    if count is not None and not scenario.how.get("forming") and len(frame) != count:
        call.error = f"{len(frame)} rows instead of {count}"
        return
    try:
        until = _outdated(scenario, call, frame, now, truth)
    except AssertionError as wrong:
        call.error = f"wrong: {wrong}"
        return
    call.stale = sum(max(0, now - one) for one in until) / max(1, len(until)) / 1000


def _outdated(scenario: Scenario, call: Call, frame: pd.DataFrame, now: int, truth: Truth) -> list[int]:
    """For each market when what was told became out of date, in microseconds."""
    if "start" in scenario.how:
        return []  # a range that is over stays as it is
    if scenario.kind == "ticker":
        shown = frame["time"]
        assert len(shown) == len(scenario.markets or MARKETS) or scenario.apart, f"{len(shown)} markets"
        return [truth.after_trade(code, _micros(one)) for code, one in shown.items()]
    if scenario.kind == "orderbook":
        shown = frame["time"].groupby(level="market").first()
        return [truth.after_book(code, _micros(one), now) for code, one in shown.items()]
    market = scenario.markets[0]
    if scenario.kind == "trades":
        return [truth.after_trade(market, _micros(frame.index[-1]))]
    if not scenario.how.get("forming"):
        return []
    start = _micros(frame.index[-1])
    end = INTERVALS[scenario.how.get("interval", "1m")].shift(start, 1)
    with suppress(ValueError):  # a candle without a trade is none
        return [truth.after_candle(market, start, end, float(frame["volume"].iloc[-1]))]
    return []


def _micros(moment: pd.Timestamp) -> int:
    return int(moment.value) // 1000
