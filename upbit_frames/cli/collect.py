"""Commands that keep what the exchange does not, and look at it: ``update``, ``record``, ``quality`` and more."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import upbit_frames as uf
from upbit_frames import errors
from upbit_frames.cli.output import add_output, emit
from upbit_frames.core.text import counted
from upbit_frames.datasets.collect.record.recorder import Recorder
from upbit_frames.datasets.collect.record.unit import unit_text

__all__ = ["add_collect_parsers"]

RECORDED = ("trade", "orderbook", "candle.1s")


def add_collect_parsers(commands: Any) -> None:
    """Add the commands to the command line's parser."""
    command = commands.add_parser(
        "update", help="bring stored series up to now; exit code 1 if one failed or its history was rewritten"
    )
    command.add_argument(
        "market", nargs="*", help="only these; a quote currency such as KRW stands for all its markets"
    )
    command.add_argument("--all", action="store_true", help="everything that is stored")
    command.add_argument("--quote", help="only markets of this quote currency")
    command.add_argument("--interval", help="only this one, or trades")
    command.add_argument("--cron", action="store_true", help="print a line for crontab that does this every hour")
    command.set_defaults(run=_update)
    command = commands.add_parser(
        "record", help="record trades, order books and second candles until Ctrl-C or SIGTERM"
    )
    command.add_argument("market", nargs="+", help="codes")
    command.add_argument("--kinds", default=",".join(RECORDED), help=f"default: {','.join(RECORDED)}")
    command.add_argument("--every", help="keep the last order book of each such period, such as 1s")
    command.add_argument("--seconds", type=float, help="end after so many seconds")
    command.add_argument("--systemd", action="store_true", help="print a unit file that keeps this running")
    command.set_defaults(run=_record)
    command = commands.add_parser(
        "universe", help="markets as they were listed, by the lists kept in the store's folder"
    )
    command.add_argument("--at", help="ISO date (default: of the newest list)")
    command.add_argument("--quote", help="only markets of this quote currency")
    add_output(command)
    command.set_defaults(run=_universe)
    command = commands.add_parser(
        "quality", help="examine stored candles; exit code 1 if something looks wrong, for cron; sends no request"
    )
    command.add_argument("market", nargs="?", help="default: every stored one")
    command.add_argument("interval", nargs="?", help="default: every stored one")
    command.add_argument("--quote", help="only markets of this quote currency")
    command.add_argument("--start", help="ISO time (default: the first stored candle)")
    command.add_argument("--end", help="exclusive (default: the end of what is stored; then also what is stale)")
    command.add_argument("--tz", help="zone in which naive times are read")
    command.add_argument("--errors-only", action="store_true", help="exit code 1 for errors only, not for warnings")
    add_output(command)
    command.set_defaults(run=_quality)
    command = commands.add_parser("catalog", help="everything that is stored; with --html as a page to search and sort")
    command.add_argument("--quote", help="only markets of this quote currency")
    command.add_argument("--html", type=Path, help="write a page that loads nothing")
    add_output(command)
    command.set_defaults(run=_catalog)


def _update(options: argparse.Namespace) -> int:
    if sum(map(bool, (options.market, options.all, options.quote))) != 1:
        raise errors.QueryError(
            "update needs either markets, --all or --quote",
            suggestion="upbit-frames update --all updates what is stored",
        )
    if options.cron:
        print(_cron_line(_arguments(options)))
        return 0
    report = uf.update(options.market or None, options.interval, quote=options.quote)
    print(repr(report))
    return 1 if report["status"].isin(["failed", "changed"]).any() else 0


def _record(options: argparse.Namespace) -> int:
    if options.systemd:
        print(unit_text(_command("record", _record_arguments(options)), str(uf.config.cache_dir)), end="")
        return 0
    end = None if options.seconds is None else time.monotonic() + options.seconds
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with uf.record(options.market, options.kinds.split(","), every=options.every, background=True) as recorder:
            _show_until(recorder, stop, end)
        print(repr(recorder.report()))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0 if recorder.error is None and not recorder.stats["pending"] else 1


def _show_until(recorder: Recorder, stop: threading.Event, end: float | None) -> None:
    """Show the status line until the recording ends: in a terminal each second in place, else each minute."""
    terminal = sys.stderr.isatty()
    printed_at = 0.0
    while not stop.wait(0.2) and not recorder.closed and (end is None or time.monotonic() < end):
        if time.monotonic() - printed_at >= (1 if terminal else 60):
            printed_at = time.monotonic()
            print(
                f"\r\x1b[K{recorder}" if terminal else str(recorder),
                end="" if terminal else "\n",
                file=sys.stderr,
                flush=True,
            )
    if terminal:
        print(file=sys.stderr)


def _record_arguments(options: argparse.Namespace) -> list[str]:
    every = ["--every", options.every] if options.every else []
    return [*options.market, "--kinds", options.kinds, *every]


def _universe(options: argparse.Namespace) -> int:
    report = uf.universe(options.at, quote=options.quote)
    if options.out is None and options.format == "table":
        print(*report.summary_lines, sep="\n")
    return emit(report, options)


def _quality(options: argparse.Namespace) -> int:
    report = uf.quality(
        options.market, options.interval, options.start, options.end, quote=options.quote, tz=options.tz
    )  # fmt: skip
    severe = ["error"] if options.errors_only else ["error", "warning"]
    wrong = report["severity"].isin(severe)
    if options.out is not None or options.format != "table":
        emit(report, options)
    else:
        print(*report.summary_lines, sep="\n")
        if wrong.any():
            emit(report[wrong], options)
    return 1 if wrong.any() else 0


def _catalog(options: argparse.Namespace) -> int:
    report = uf.catalog(quote=options.quote)
    if options.html is not None:
        report.save(options.html)
        print(f"{counted(len(report), 'row')} → {options.html}")
        return 0
    if options.out is None and options.format == "table":
        print(*report.summary_lines, sep="\n")
    return emit(report, options)


def _arguments(options: argparse.Namespace) -> list[str]:
    given = [*options.market, *(["--all"] if options.all else [])]
    for name in ("quote", "interval"):
        given += [f"--{name}", getattr(options, name)] if getattr(options, name) else []
    return given


def _command(name: str, given: list[str]) -> list[str]:
    return [sys.executable, "-m", "upbit_frames.cli.main", name, *given]


def _cron_line(given: list[str]) -> str:
    """Return a line for crontab; an hour leaves time to notice failures before trades expire after seven days."""
    words = _command("update", given)
    folder = f"UPBIT_FRAMES_CACHE_DIR={shlex.quote(str(uf.config.cache_dir))}"
    return f"17 * * * * {folder} {shlex.join(words)}".replace("%", r"\%")
