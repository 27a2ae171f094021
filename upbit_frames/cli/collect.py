"""Commands that keep what the exchange does not, and look at it: ``update``, ``universe``, ``quality``, ``catalog``."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

import upbit_frames as uf
from upbit_frames import errors
from upbit_frames.cli.output import add_output, emit
from upbit_frames.core.text import counted

__all__ = ["add_collect_parsers"]


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


def _universe(options: argparse.Namespace) -> int:
    report = uf.universe(options.at, quote=options.quote)
    if options.out is None and not options.json:
        print(*report.summary_lines, sep="\n")
    return emit(report, options)


def _quality(options: argparse.Namespace) -> int:
    report = uf.quality(
        options.market, options.interval, options.start, options.end, quote=options.quote, tz=options.tz
    )  # fmt: skip
    severe = ["error"] if options.errors_only else ["error", "warning"]
    wrong = report["severity"].isin(severe)
    if options.out is not None or options.json:
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
    if options.out is None and not options.json:
        print(*report.summary_lines, sep="\n")
    return emit(report, options)


def _arguments(options: argparse.Namespace) -> list[str]:
    given = [*options.market, *(["--all"] if options.all else [])]
    for name in ("quote", "interval"):
        given += [f"--{name}", getattr(options, name)] if getattr(options, name) else []
    return given


def _cron_line(given: list[str]) -> str:
    """Return a line for crontab; an hour leaves time to notice failures before trades expire after seven days."""
    words = [sys.executable, "-m", "upbit_frames.cli.main", "update", *given]
    folder = f"UPBIT_FRAMES_CACHE_DIR={shlex.quote(str(uf.config.cache_dir))}"
    return f"17 * * * * {folder} {shlex.join(words)}".replace("%", r"\%")
