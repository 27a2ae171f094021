"""Commands that go on: ``stream`` and ``follow``."""

from __future__ import annotations

import argparse
from typing import Any

import upbit_frames as uf
from upbit_frames.cli.output import BASE_HELP, TZ_HELP, Rows, add_output, emit
from upbit_frames.errors import QueryError

__all__ = ["add_live_parsers"]


def add_live_parsers(commands: Any) -> None:
    """Add the commands to the command line's parser."""
    command = commands.add_parser("stream", help="live rows as they come, until --seconds, --count or Ctrl-C")
    command.add_argument("market", nargs="+", help="codes")
    command.add_argument("--kind", default="trade", help="trade, ticker, orderbook or candle.1s to candle.4h")
    command.add_argument("--seconds", type=float, help="collect for so long, then print or write all")
    command.add_argument("--count", type=int, help="collect so many rows, then print or write all")
    command.add_argument("--depth", type=int, default=30, help="levels of an order book")
    command.add_argument("--tz", help=TZ_HELP)
    add_output(command)
    command.set_defaults(run=_stream)
    command = commands.add_parser("follow", help="candles that continue: history, then each sealed candle once")
    command.add_argument("market", nargs="+", help="codes; the interval comes last")
    command.add_argument("interval", help="1s to 4h, or what is derived of these, such as 45m")
    command.add_argument("--history", type=int, default=20, help="candles to begin with")
    command.add_argument("--count", type=int, help="end after so many candles, the history among them")
    command.add_argument("--forming", action="store_true", help="also every change of the running candle")
    command.add_argument("--base", help=BASE_HELP)
    command.add_argument("--tz", help=TZ_HELP)
    add_output(command)
    command.set_defaults(run=_follow)


def _markets(markets: list[str]) -> str | list[str]:
    return markets[0] if len(markets) == 1 else markets


def _stream(options: argparse.Namespace) -> int:
    given = {"depth": options.depth, "tz": options.tz, "output": "pandas"}
    markets, ends = _markets(options.market), options.seconds is not None or options.count is not None
    if ends:
        return emit(uf.stream(markets, options.kind, seconds=options.seconds, count=options.count, **given), options)
    if options.out is not None:
        raise QueryError("a stream without an end cannot be written to a file", suggestion="add --seconds or --count")
    rows = Rows(options)
    with uf.stream(markets, options.kind, **given) as stream:
        for batch in stream:
            rows.write(batch)
    return 0


def _follow(options: argparse.Namespace) -> int:
    if options.out is not None and options.count is None:
        raise QueryError("candles without an end cannot be written to a file", suggestion="add --count")
    import pandas as pd

    rows, left = Rows(options), options.count
    parts: list[pd.DataFrame] = []
    if left is not None and left < 1:
        raise QueryError(f"--count must be at least 1, got {left}")
    follow = uf.follow(
        _markets(options.market), options.interval, options.history, forming=options.forming, base=options.base,
        tz=options.tz, output="pandas",
    )  # fmt: skip
    with follow:
        for batch in follow:
            part = batch if left is None else batch.head(left)
            left = None if left is None else left - len(part)
            parts = [*parts, part] if options.out is not None else []
            if options.out is None:
                rows.write(part)
            if left == 0:
                break
    return emit(pd.concat(parts), options) if parts else 0
