"""Which channel the router takes for patterns of calls, and what it says; and the yardstick of the benchmark.

The whole of it, with what each choice costs, is ``tests/benchmarks/bench_router.py``. Here are patterns
about which there is nothing to weigh, played through the same player, which also knows every trade and
so notices an answer that was never true.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from math import inf

import pytest
from benchmarks.router_cost import CALIBRATED, Call, Run, cost, judge
from benchmarks.router_play import Player
from benchmarks.router_scenarios import SCENARIOS, Scenario, bursts, every
from benchmarks.router_world import MARKETS, Truth, source_of

BTC = MARKETS[0]


@pytest.fixture(scope="module")
def player() -> Iterator[Player]:
    with Player() as player:
        yield player


def routes(run: Run) -> list[tuple[str, str]]:
    """Channel and rule of each call, in the order in which they began."""
    assert run.answered, [one.error for one in run.calls if one.error]
    # The route of trades and candles begins with what the store lacks.
    rules = [re.search(r"(?:^|; )(\w+): ", one.reason) for one in run.calls]
    return [(one.channel, found[1] if found else "") for one, found in zip(run.calls, rules, strict=True)]


def play(player: Player, scenario: Scenario) -> list[tuple[str, str]]:
    return routes(player.play(scenario, "auto", tail=0.0))


@pytest.mark.slow
@pytest.mark.parametrize(
    "scenario",
    [
        Scenario("ticker", "ticker"),
        Scenario("books", "orderbook", MARKETS[:5], every(0.3, 2)),
        Scenario("newest trades", "trades", how={"count": 10}),
        Scenario("far away", "ticker", round_trip=0.3),
    ],
    ids=lambda one: one.name,
)
def test_infrequent_requests_are_served_by_rest(player: Player, scenario: Scenario) -> None:
    run = player.play(scenario, "auto", tail=0.0)
    assert set(routes(run)) == {("rest", "infrequent")}
    assert run.used["connections"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "scenario",
    [
        Scenario("ticker", "ticker", at=every(0.2, 15)),
        Scenario("fifteen tickers", "ticker", MARKETS[:15], every(0.3, 12)),
        Scenario("book", "orderbook", at=every(0.2, 15), how={"depth": 5}),
        Scenario("far away", "ticker", at=every(0.4, 15), round_trip=0.3),
        Scenario("burst", "ticker", at=bursts(8, 1.5, 3)),
    ],
    ids=lambda one: one.name,
)
def test_frequent_requests_open_a_stream(player: Player, scenario: Scenario) -> None:
    run = player.play(scenario, "auto", tail=0.0)
    rules = routes(run)
    assert rules[0] == ("rest", "infrequent")
    assert rules[-1] == ("live", "hot")
    begun = [channel for channel, _ in rules].index("live")
    # disconnected: not open yet
    assert {rule for _, rule in rules[:begun]} <= {"infrequent", "frequent", "warming_up", "disconnected"}
    assert {channel for channel, _ in rules[begun:]} == {"live"}
    assert (run.used["connections"], run.used["messages"]) == (1, 1)


@pytest.mark.slow
def test_requests_that_a_stream_cannot_serve_go_to_rest(player: Player) -> None:
    span = {"start": "2026-03-01T03:20:00Z", "end": "2026-03-01T03:22:00Z"}
    ranged = player.play(Scenario("range", "trades", at=every(0.1, 5), how=span), "auto", tail=0.0)
    assert ranged.answered
    assert {one.channel for one in ranged.calls} == {"rest"}
    assert ranged.used["connections"] == 0
    many = play(player, Scenario("whole", "ticker", (), every(0.3, 5)))
    assert {channel for channel, _ in many} == {"rest"}


@pytest.mark.slow
def test_a_stream_that_is_refused_costs_no_answer(player: Player) -> None:
    rules = play(player, Scenario("refused", "ticker", at=every(0.3, 8), events=((0, "down"),)))
    assert {channel for channel, _ in rules} == {"rest"}
    assert ("rest", "disconnected") in rules


@pytest.mark.slow
def test_a_break_is_bridged_by_rest_and_over_again(player: Player) -> None:
    events = ((2.0, "down"), (3.5, "up"))
    rules = play(player, Scenario("break", "ticker", at=every(0.2, 45), events=events))
    channels = [channel for channel, _ in rules]
    broken = channels.index("rest", channels.index("live"))
    assert rules[broken][1] == "disconnected"
    assert rules[-1] == ("live", "hot")


@pytest.mark.slow
def test_a_connection_that_is_dead_is_not_believed(player: Player) -> None:
    rules = play(player, Scenario("half open", "ticker", at=every(0.2, 30), events=((2.0, "hold"),)))
    channels = [channel for channel, _ in rules]
    doubted = channels.index("rest", channels.index("live"))
    assert rules[doubted][1] in ("stale", "disconnected")


# --- the yardstick ------------------------------------------------------------------------------------------


def run(
    source: str, latency: float, *, stale: float = 0.0, requests: int = 0, calls: int = 4, channel: str = ""
) -> Run:
    made = [Call(0, float(one), latency, stale, channel or source) for one in range(calls)]
    return Run(
        "one", source, made, {"requests": {"ticker": requests}} if requests else {"connections": 1, "messages": 1}
    )


def test_every_part_of_a_cost_by_hand() -> None:
    one = replace(
        run("live", 5.0, stale=7.0),
        used={
            "requests": {"market": 2, "websocket": 1}, "connections": 1, "messages": 2, "frames": 100,
            "seconds_open": 8.0, "bytes": 30_000,
        },
        tail={"frames": 20.0, "seconds_open": 2.0, "bytes": 10_000.0},
    )  # fmt: skip
    found = cost(one)
    assert (found.latency, found.staleness) == (5.0, 7.0)
    assert found.quota == (2 * 100 + 200 + 200 + 2 * 200) / 4
    assert found.stream == pytest.approx((120 * CALIBRATED.frame + 10 * CALIBRATED.second_open) / 4)
    assert found.traffic == pytest.approx(40 * CALIBRATED.kilobyte / 4)
    assert found.total == pytest.approx(sum((5.0, 7.0, found.quota, found.stream, found.traffic)))
    assert cost(one, replace(CALIBRATED, staleness=2.0, quota=0.0)).total == pytest.approx(
        found.total + 7.0 - found.quota
    )


def test_what_is_not_answered_costs_infinitely_much() -> None:
    failed = run("live", 5.0)
    failed.calls[2].error = "Timeout: late"
    assert cost(failed).total == inf
    assert cost(Run("one", "rest")).total == inf


def test_the_cheaper_is_right_and_a_tenth_is_a_tie() -> None:
    rest, live = run("rest", 40.0, requests=4), run("live", 5.0)
    verdict = judge(rest, live, run("auto", 40.0, requests=4, channel="rest"))
    assert (verdict.rest.total, verdict.live.total) == (140.0, 105.0)
    assert (verdict.right, verdict.used, verdict.correct) == (("live",), "rest", False)
    assert judge(rest, live, run("auto", 500.0, channel="live")).correct  # by the channel
    cheap = judge(rest, live, run("auto", 10.0, requests=4, channel="rest"))
    assert (cheap.by_channel, cheap.by_cost) == (False, True)
    tie = judge(rest, run("live", 30.0), run("auto", 999.0, channel="rest"))
    assert tie.right == ("rest", "live")
    assert tie.correct


def test_a_router_that_gives_no_answer_is_wrong() -> None:
    auto = run("auto", 1.0, channel="live")
    auto.calls[0].error = "Timeout: late"
    assert not judge(run("rest", 40.0, requests=4), run("live", 5.0), auto).correct


def test_the_truth_knows_what_an_answer_lacks() -> None:
    truth, trades = Truth((BTC,)), source_of(BTC)._trades
    place = len(trades) // 2
    last_ms = int(trades.ms[place])
    later = next(int(one) for one in trades.ms[place:] if one > last_ms)
    assert truth.after_trade(BTC, last_ms * 1000) == later * 1000 + 1
    with pytest.raises(AssertionError, match="invented"):
        truth.after_trade(BTC, last_ms * 1000 + 5_000_000_000_000)
    book = truth.model.book(BTC, later * 1000)
    changed = truth.after_book(BTC, book.ms * 1000, later * 1000 + 60_000_000)
    assert truth.model.book(BTC, changed).ms > book.ms
    assert truth.model.book(BTC, changed - 1000).ms == book.ms
    assert truth.after_book(BTC, book.ms * 1000, book.ms * 1000) > later * 1000 + 60_000_000


def test_the_scenarios_are_many_and_different() -> None:
    assert len(SCENARIOS) >= 60
    assert len({one.name for one in SCENARIOS}) == len(SCENARIOS)
    assert all(set(one.markets) <= set(MARKETS) for one in SCENARIOS)
