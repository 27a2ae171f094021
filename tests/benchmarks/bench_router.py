"""How often the router chooses the cheaper channel: measured, scenario by scenario.

``python tests/benchmarks/bench_router.py [--only PART] [--list] [--drawn N] [--workers N] [--save FILE]``

Every scenario of ``router_scenarios.py`` is played three times against the stand-in exchange in a process
of its own behind a slow line: with ``source="rest"`` throughout, with ``source="live"`` throughout, and
with ``source="auto"``. What a run costs and when the router is right stands in ``router_cost.py``; nobody's
opinion enters. ``--drawn`` plays patterns of chance instead, by which no threshold was chosen. ``--virtual``
plays them on virtual time (``router_virtual.py``), where the machine's load does not count and every run of a
seed is the same. ``--save`` keeps every call that was made, ``--load`` judges what was kept once more.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import queue
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.router_cost import CALIBRATED, TIE, Cost, Prices, Run, Verdict, judge
from benchmarks.router_scenarios import SCENARIOS, Scenario, drawn

SOURCES = ("rest", "live", "auto")
WORKERS = 10
OTHER_PRICES = {
    "quota at a quarter": replace(CALIBRATED, quota=0.25),
    "quota at half": replace(CALIBRATED, quota=0.5),
    "quota doubled": replace(CALIBRATED, quota=2.0),
    "staleness at half": replace(CALIBRATED, staleness=0.5),
    "staleness doubled": replace(CALIBRATED, staleness=2.0),
    "streams at half": replace(CALIBRATED, frame=0.175, second_open=1.0, kilobyte=0.08),
    "streams doubled": replace(CALIBRATED, frame=0.7, second_open=4.0, kilobyte=0.32),
}

# --- one worker: a client's process, which has an exchange's process of its own ---------------------------


def work() -> None:
    """Play what standard input names until it ends."""
    from benchmarks.router_play import Player

    logging.getLogger("upbit_frames").setLevel(logging.CRITICAL)
    with Player() as player:
        player.warm_up()
        for line in sys.stdin:
            asked, source = json.loads(line)
            print(json.dumps(player.play(Scenario.from_json(asked), source).to_json()), flush=True)


class Worker:
    """The same from outside."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def play(self, scenario: Scenario, source: str) -> Run:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([asdict(scenario), source]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process that played {scenario.name} by {source} has ended")
        return Run.from_json(json.loads(line))

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


def _play_virtually(job: tuple[Scenario, str]) -> Run:
    from benchmarks.router_virtual import play

    logging.getLogger("upbit_frames").setLevel(logging.CRITICAL)
    return play(*job)


def play_virtually(chosen: list[Scenario], workers: int) -> list[Run]:
    """Every scenario by every source, on virtual time."""
    jobs = [(scenario, source) for scenario in chosen for source in SOURCES]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return list(pool.map(_play_virtually, jobs, chunksize=len(SOURCES)))


def play_all(chosen: list[Scenario], workers: int) -> list[Run]:
    """Every scenario by every source: the long ones first, of the heavy ones one at a time."""
    light: queue.SimpleQueue[tuple[Scenario, str]] = queue.SimpleQueue()
    heavy: queue.SimpleQueue[tuple[Scenario, str]] = queue.SimpleQueue()
    for scenario in sorted(chosen, key=lambda one: -one.seconds):
        for source in SOURCES:
            (heavy if scenario.heavy else light).put((scenario, source))
    runs: list[Run] = []
    failures: list[BaseException] = []

    def drain(*queues: queue.SimpleQueue[tuple[Scenario, str]]) -> None:
        worker = Worker()
        try:
            for jobs in queues:
                while not failures:
                    try:
                        scenario, source = jobs.get_nowait()
                    except queue.Empty:
                        break
                    runs.append(worker.play(scenario, source))
        except BaseException as failed:  # noqa: BLE001 - told below, by the thread that can
            failures.append(failed)
        finally:
            worker.close()

    # Whoever has the heavy ones helps with the others afterwards.
    plans = [(heavy, light), *([(light,)] * (min(workers, 3 * len(chosen)) - 1))]
    threads = [threading.Thread(target=drain, args=plan) for plan in plans]
    for thread in threads:
        thread.start()
        time.sleep(0.2)
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return runs


# --- report --------------------------------------------------------------------------------------------------


def verdicts(runs: list[Run], prices: Prices = CALIBRATED) -> list[Verdict]:
    """In the order of the scenarios."""
    found: dict[str, dict[str, Run]] = defaultdict(dict)
    for run in runs:
        found[run.scenario][run.source] = run
    places = {one.name: place for place, one in enumerate(SCENARIOS)}
    names = sorted(found, key=lambda name: (places.get(name, len(places)), name))
    return [judge(*(found[name][source] for source in SOURCES), prices) for name in names]


def _number(value: float) -> str:
    return "     –" if value == math.inf else f"{value:6.0f}"


def _parts(cost: Cost) -> str:
    if cost.total == math.inf:
        return "cannot"
    return (
        f"{cost.total:.0f} = latency {cost.latency:.1f} + staleness {cost.staleness:.1f} + quota {cost.quota:.1f}"
        f" + stream {cost.stream:.1f} + traffic {cost.traffic:.1f}"
    )


def accuracy(judged: list[Verdict]) -> float:
    """Share of the scenarios about which the router was right."""
    return sum(one.correct for one in judged) / len(judged)


def report(runs: list[Run]) -> None:
    """Every scenario, then what it comes to."""
    judged = verdicts(runs)
    print(f"{'scenario':32} {'rest':>6} {'live':>6} {'auto':>6}  right      used        times the best")
    for one in judged:
        mark = " " if one.correct else "✗"
        regret = "–" if one.regret == math.inf else f"{one.regret:.2f}"
        print(
            f"{one.scenario:32} {_number(one.rest.total)} {_number(one.live.total)} {_number(one.auto.total)}"
            f"  {'|'.join(one.right):10} {one.used} {one.share:4.0%}  {regret:>6} {mark}"
        )
    number, ties = len(judged), sum(len(one.right) == 2 for one in judged)
    print(f"\nms a call; {number} scenarios, {ties} ties (within {TIE:.0%})")
    print(f"right: {sum(one.correct for one in judged)} of {number} = {accuracy(judged):.1%}", end="; ")
    decided = [one for one in judged if len(one.right) == 1]
    print(f"without the ties {sum(one.correct for one in decided)} of {len(decided)} = {accuracy(decided):.1%}")
    print(
        f"by the channel of most calls alone {sum(one.by_channel for one in judged)},"
        f" by cost alone {sum(one.by_cost for one in judged)}"
    )
    known = [one.regret for one in judged if one.regret < math.inf]
    mean = math.exp(sum(math.log(one) for one in known) / len(known))
    always = {name: sum(name in one.right for one in judged) / number for name in ("rest", "live")}
    print(f"the router's runs cost {mean:.2f} times the cheaper forced run (geometric mean)")
    _regret(judged, runs)
    print(f"always REST would be right in {always['rest']:.0%}, always live in {always['live']:.0%}")
    groups = defaultdict(list)
    for one in judged:
        groups[one.scenario.partition("/")[0]].append(one.correct)
    print("by group:", ", ".join(f"{name} {sum(found)}/{len(found)}" for name, found in groups.items()))
    for name, prices in OTHER_PRICES.items():
        print(f"  {name}: {accuracy(verdicts(runs, prices)):.1%}")
    _explain(judged, runs)


def _regret(judged: list[Verdict], runs: list[Run]) -> None:
    """Print what the router's runs cost a call beyond the cheaper forced ones."""
    found = {(run.scenario, run.source): run for run in runs}
    mine, best, asked, needed = [], [], [], []
    for one in judged:
        cheaper = "rest" if one.rest.total <= one.live.total else "live"
        costs = {"rest": one.rest.total, "live": one.live.total}
        if max(one.auto.total, costs[cheaper]) < math.inf:
            mine.append(one.auto.total)
            best.append(costs[cheaper])
            asked.append(found[one.scenario, "auto"].requests)
            needed.append(found[one.scenario, cheaper].requests)
    number = len(mine)
    print(
        f"a call costs {sum(mine) / number:.1f} ms and {sum(asked) / number:.2f} requests; by the cheaper channel"
        f" {sum(best) / number:.1f} ms and {sum(needed) / number:.2f}: regret {sum(mine) / sum(best) - 1:.1%}"
        f" = {(sum(mine) - sum(best)) / number:.1f} ms a call"
    )


def _explain(judged: list[Verdict], runs: list[Run]) -> None:
    for one in judged:
        if one.correct:
            continue
        auto = next(run for run in runs if run.scenario == one.scenario and run.source == "auto")
        rules = Counter(call.error or f"{call.channel} ({call.reason.partition(':')[0]})" for call in auto.calls)
        print(f"\n✗ {one.scenario}: right is {'|'.join(one.right)}")
        print(f"  rest {_parts(one.rest)}\n  live {_parts(one.live)}\n  auto {_parts(one.auto)}")
        print("  " + ", ".join(f"{count}× {rule}" for rule, count in rules.items()))


def main() -> None:
    """Play and report."""
    parser = argparse.ArgumentParser(description="how often the router chooses the cheaper channel")
    parser.add_argument("--only", default="", help="scenarios whose name holds one of these, separated by commas")
    parser.add_argument("--list", action="store_true", help="name the scenarios")
    parser.add_argument("--workers", type=int, default=WORKERS, help="how many are played side by side")
    parser.add_argument("--save", type=Path, help="keep every call here")
    parser.add_argument("--load", type=Path, help="judge what was kept")
    parser.add_argument("--drawn", type=int, default=0, metavar="N", help="so many scenarios of chance instead")
    parser.add_argument("--seed", type=int, default=1, help="of that chance")
    parser.add_argument("--virtual", action="store_true", help="on virtual time; needs --drawn")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        work()
        return
    parts = [part for part in asked.only.split(",") if part]
    every = drawn(asked.seed, asked.drawn) if asked.drawn else SCENARIOS
    chosen = [one for one in every if not parts or any(part in one.name for part in parts)]
    if asked.list or not chosen:
        for one in chosen or every:
            print(f"{one.name:32} {one.kind:10} {len(one.markets) or 'all'} markets, {len(one.at)} calls in "
                  f"{one.seconds:g} s, round trip {one.round_trip * 1000:g} ms {one.how or ''}")  # fmt: skip
        return
    began = time.monotonic()
    if asked.load:
        runs = [Run.from_json(one) for one in json.loads(asked.load.read_text())]
    elif asked.virtual:
        runs = play_virtually(chosen, asked.workers)
    else:
        runs = play_all(chosen, asked.workers)
    if asked.save:
        asked.save.write_text(json.dumps([one.to_json() for one in runs]))
    report(runs)
    print(f"\n{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
