"""Which channel is cheaper, on virtual time: the same scenario costs the same in every run.

The benchmark ``tests/benchmarks/bench_router.py --virtual`` judges the router by hundreds of such scenarios.
"""

from __future__ import annotations

from benchmarks.router_cost import judge
from benchmarks.router_scenarios import Scenario, drawn, every
from benchmarks.router_virtual import play
from benchmarks.router_world import MARKETS


def test_the_same_scenario_costs_the_same_in_every_run() -> None:
    for scenario in drawn(3, 4):
        for source in ("rest", "live", "auto"):
            first, second = play(scenario, source), play(scenario, source)
            assert first.answered, first.calls
            assert first == second


def test_a_quick_rhythm_is_cheaper_live_and_the_router_finds_it() -> None:
    scenario = Scenario("ticker", "ticker", tuple(MARKETS[:3]), every(0.5, 40))
    verdict = judge(*(play(scenario, source) for source in ("rest", "live", "auto")))
    assert verdict.right == ("live",)
    assert verdict.used == "live"
    assert verdict.auto.total < verdict.rest.total


def test_a_single_call_is_cheaper_over_rest() -> None:
    scenario = Scenario("book", "orderbook", tuple(MARKETS[:2]), every(1.0, 1))
    verdict = judge(*(play(scenario, source) for source in ("rest", "live", "auto")))
    assert verdict.right == ("rest",)
    assert verdict.auto == verdict.rest
