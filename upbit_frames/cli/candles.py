"""Commands for ranges of candles: ``candles``, ``plan``, ``download``."""

from __future__ import annotations

import argparse
from typing import Any

import upbit_frames as uf
from upbit_frames.cli.output import BASE_HELP, COUNT_HELP, RANGE_HELP, TZ_HELP, add_output, emit
from upbit_frames.core.intervals import INTERVALS
from upbit_frames.core.query import GAPS

__all__ = ["add_candle_parsers"]

SOURCES = ("auto", "store", "cache", "rest", "archive", "derived", "live")


def add_candle_parsers(commands: Any) -> None:
    """Add the commands to the command line's parser."""
    _add_candles(commands)
    _add_download(commands)


def _add_candles(commands: Any) -> None:
    for name, text, run in (
        ("candles", "candles as a frame or file", _candles),
        ("plan", "what candles would do, without asking anything", _plan),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("market", nargs="+", help="KRW-BTC, or several; the interval comes last")
        command.add_argument("interval", help="a count of s, m, h, d, w or M (months), such as 1m, 45m, 2h, 3d, 1M")
        command.add_argument("--start", help=RANGE_HELP)
        command.add_argument("--end", help=f"exclusive; {RANGE_HELP}")
        command.add_argument("--count", type=int, help=COUNT_HELP)
        command.add_argument("--forming", action="store_true", help="also the candle that can still change")
        command.add_argument("--gaps", default="raw", choices=GAPS, help="what stands for a period without a trade")
        command.add_argument("--tz", help=TZ_HELP)
        command.add_argument("--base", help=BASE_HELP)
        command.add_argument("--source", default="auto", choices=SOURCES, help="what may serve them")
        if name == "candles":
            add_output(command)
        command.set_defaults(run=run)


def _add_download(commands: Any) -> None:
    command = commands.add_parser("download", help="have a range of many markets in the store")
    command.add_argument("market", nargs="+", help="codes, or a quote currency such as KRW for all of its markets")
    command.add_argument("interval", help=f"trades, or one of {' '.join(INTERVALS)}")
    command.add_argument("--start", required=True, help=RANGE_HELP)
    command.add_argument("--end", help=f"exclusive; {RANGE_HELP}")
    command.add_argument("--tz", help=TZ_HELP)
    command.add_argument("--source", default="auto", choices=("auto", "rest", "archive"), help="what may serve them")
    command.set_defaults(run=_download)


def _question(options: argparse.Namespace) -> dict[str, Any]:
    markets = options.market
    return {
        "market": markets[0] if len(markets) == 1 else markets,
        "interval": options.interval,
        "start": options.start,
        "end": options.end,
        "count": options.count,
        "forming": options.forming,
        "gaps": options.gaps,
        "tz": options.tz,
        "source": options.source,
        "base": options.base,
    }


def _candles(options: argparse.Namespace) -> int:
    frame = uf.candles(**_question(options), output="pandas")
    return emit(frame, options)


def _plan(options: argparse.Namespace) -> int:
    print(uf.plan(**_question(options)))
    return 0


def _download(options: argparse.Namespace) -> int:
    summary = uf.download(
        options.market, options.interval, options.start, options.end, tz=options.tz, source=options.source
    )
    print(summary.to_string())
    return 1 if (summary["error"] != "").any() else 0
