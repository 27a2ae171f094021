"""Commands for prices and trades: ``markets``, ``ticker``, ``orderbook``, ``trades``."""

from __future__ import annotations

import argparse
from typing import Any

import upbit_frames as uf
from upbit_frames.cli.output import COUNT_HELP, RANGE_HELP, TZ_HELP, add_output, emit

__all__ = ["add_quote_parsers"]


def add_quote_parsers(commands: Any) -> None:
    """Add the commands to the command line's parser."""
    command = commands.add_parser("markets", help="every market listed today")
    command.add_argument("quote", nargs="?", help="only those of a quote currency")
    add_output(command)
    command.set_defaults(run=lambda options: emit(uf.markets(options.quote, output="pandas"), options))
    command = commands.add_parser("ticker", help="prices, changes and sums")
    command.add_argument("market", nargs="*", help="codes; none means all")
    command.add_argument("--quote", help="only markets of this quote currency")
    add_output(command)
    command.set_defaults(run=_ticker)
    command = commands.add_parser("orderbook", help="order books")
    command.add_argument("market", nargs="+", help="codes")
    command.add_argument("--depth", type=int, default=15, help="levels, at most 30")
    command.add_argument("--level", help="price grouping")
    add_output(command)
    command.set_defaults(run=_orderbook)
    command = commands.add_parser("trades", help="single trades")
    command.add_argument("market", help="KRW-BTC")
    command.add_argument("--start", help=RANGE_HELP)
    command.add_argument("--end", help=f"exclusive; {RANGE_HELP}")
    command.add_argument("--count", type=int, help=COUNT_HELP)
    command.add_argument("--tz", help=TZ_HELP)
    command.add_argument(
        "--source",
        default="auto",
        choices=("auto", "store", "cache", "rest", "archive", "live"),
        help="what may serve them",
    )
    add_output(command)
    command.set_defaults(run=_trades)


def _ticker(options: argparse.Namespace) -> int:
    return emit(uf.ticker(options.market or None, quote=options.quote, output="pandas"), options)


def _orderbook(options: argparse.Namespace) -> int:
    return emit(uf.orderbook(options.market, depth=options.depth, level=options.level, output="pandas"), options)


def _trades(options: argparse.Namespace) -> int:
    frame = uf.trades(
        options.market, start=options.start, end=options.end, count=options.count,
        tz=options.tz, source=options.source, output="pandas",
    )  # fmt: skip
    return emit(frame, options)
