"""``python -m upbit_frames.testing``: the stand-in exchange as a process of its own."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence

from upbit_frames.core.endpoints import REGIONS
from upbit_frames.runtime.clock import SystemClock
from upbit_frames.testing.server.exchange import Exchange
from upbit_frames.testing.server.faults import KINDS
from upbit_frames.testing.server.limits import Limits

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m upbit_frames.testing",
        description="A stand-in for Upbit on this machine. Prints the settings that lead a client to it; "
        "ends on Ctrl-C or SIGTERM, with --until-eof also when its standard input closes.",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--now", help="where its clock begins, ISO 8601 in UTC; default: this moment")
    parser.add_argument("--speed", type=float, default=1.0, help="virtual seconds per real second; 0 stands still")
    parser.add_argument("--region", choices=sorted(REGIONS), default="kr")
    parser.add_argument("--extra", type=int, default=0, help="that many further markets")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds added to every round trip")
    parser.add_argument("--no-limits", action="store_true", help="apply no request limits")
    parser.add_argument("--window", choices=["fixed", "sliding"], default="fixed")
    parser.add_argument(
        "--file", action="append", default=[], metavar="MARKET=PATH", help="serve real candles from a CSV (.gz)"
    )
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="KIND[:PROBABILITY]",
        help=f"let answers go wrong: {', '.join(KINDS)}",
    )
    parser.add_argument("--json", action="store_true", help="print the settings as one line of JSON")
    parser.add_argument("--until-eof", action="store_true", help="end also when standard input closes")
    return parser


def _exchange(given: argparse.Namespace) -> Exchange:
    files = dict(entry.split("=", 1) for entry in given.file)
    exchange = Exchange(
        given.seed,
        given.now or SystemClock().now(),
        files or None,
        extra=given.extra,
        region=given.region,
        delay=given.delay,
        limits=Limits(enabled=not given.no_limits, window=given.window),
        host=given.host,
        port=given.port,
    )
    for spec in given.fault:
        kind, _, chance = spec.partition(":")
        exchange.faults.add(kind, times=None, probability=float(chance or 1), seed=given.seed)
    if given.speed:
        exchange.clock.run(given.speed)
    return exchange


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the exchange until it is interrupted; return the exit status."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        exchange = _exchange(given)
    except (ValueError, OSError) as wrong:
        parser.error(str(wrong))
    ended = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: ended.set())
    with exchange:
        if given.json:
            print(json.dumps(exchange.settings()), flush=True)
        else:
            print("\n".join(f"{name}={value}" for name, value in exchange.env().items()), flush=True)
        if given.until_eof:
            threading.Thread(target=_until_eof, args=(ended,), daemon=True).start()
        while not ended.wait(3600):
            pass
    return 0


def _until_eof(ended: threading.Event) -> None:
    """Set the event when standard input closes."""
    # Not sys.stdin: its lock, held by a thread that still reads, makes the interpreter abort at exit.
    with contextlib.suppress(OSError):  # already closed
        while os.read(0, 65_536):
            pass
    ended.set()


if __name__ == "__main__":
    sys.exit(main())
