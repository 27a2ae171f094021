"""The command line: ``upbit-frames …``.

Exit codes: 0 success, 1 the exchange or the store failed (``update``: a series did; ``quality``: something looks
wrong), 2 a bad argument, including a market the exchange does not list, 3 something is missing offline, 130
interrupted, 141 the reader of a pipe has gone.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import upbit_frames as uf
from upbit_frames import errors
from upbit_frames.cli.collect import add_collect_parsers
from upbit_frames.cli.output import add_output, emit
from upbit_frames.compat.check.command import add_parser as add_check_parser
from upbit_frames.core.intervals import INTERVALS
from upbit_frames.core.text import counted
from upbit_frames.core.urls import redacted

__all__ = ["main"]

READER_GONE = 141  # as a process that SIGPIPE ended
COUNT_HELP = "number of rows: the newest before --end, or with --start the first (default 200)"
TZ_HELP = "zone in which naive times are read and printed, e.g. Asia/Seoul (default: the setting, UTC)"
RANGE_HELP = "ISO time, e.g. 2026-01-31 or '2026-01-31 09:00'; read in --tz"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code."""
    _write_any_letter()
    parser = build_parser()
    options = parser.parse_args(argv)
    try:
        code = int(options.run(options))
        if sys.stdout is not None:  # as where a program without a console, or a caller, took it away
            sys.stdout.flush()  # here, where a reader that has gone is no error
        return code
    except BrokenPipeError:
        # As `head` does: it has what it wanted. What is buffered must not fail again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    except (errors.QueryError, errors.ConfigError, errors.MarketNotFound) as error:
        return _complain(error, 2)
    except errors.OfflineError as error:
        return _complain(error, 3)
    except (errors.UpbitFramesError, OSError) as error:
        return _complain(error, 1)
    except KeyboardInterrupt:
        print("interrupted; everything fetched so far is stored, the next run continues", file=sys.stderr)
        return 130


def _write_any_letter() -> None:
    """Let a terminal or file whose encoding lacks a letter show a question mark instead of ending in an error."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.encoding.lower().replace("-", "") != "utf8":
        sys.stdout.reconfigure(errors="replace")


def _complain(error: Exception, code: int) -> int:
    print(f"upbit-frames: {type(error).__name__}: {error}", file=sys.stderr)
    return code


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with all commands."""
    parser = argparse.ArgumentParser(prog="upbit-frames", description="Upbit market data as clean frames.")
    parser.add_argument("--version", action="version", version=f"upbit-frames {uf.__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_candles(commands)
    _add_download(commands)
    add_collect_parsers(commands)
    _add_quotes(commands)
    _add_cache(commands)
    _add_cassette(commands)
    add_check_parser(commands)
    command = commands.add_parser("config", help="every setting, its value and where it came from")
    command.set_defaults(run=_config)
    command = commands.add_parser("doctor", help="versions, store, clock and reachability")
    command.add_argument("--offline", action="store_true", help="do not touch the network")
    command.set_defaults(run=_doctor)
    command = commands.add_parser("demo", help="a tour offline, from a cassette, with a chart")
    command.add_argument("-o", "--out", type=Path, default=Path("upbit_frames_demo.png"), help="where the chart goes")
    command.set_defaults(run=_demo)
    return parser


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
        command.add_argument("--gaps", default="raw", help="raw, fill or nan")
        command.add_argument("--tz", help=TZ_HELP)
        command.add_argument("--base", help="when days begin: Asia/Seoul, 09:00 (in --tz), '17:00 America/New_York'")
        command.add_argument("--source", default="auto", help="auto, store, rest, archive or derived")
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
    command.add_argument("--source", default="auto", help="auto, rest or archive")
    command.set_defaults(run=_download)


def _add_quotes(commands: Any) -> None:
    command = commands.add_parser("markets", help="every market listed today")
    command.add_argument("quote", nargs="?", help="only those of a quote currency")
    add_output(command)
    command.set_defaults(run=lambda options: emit(uf.markets(options.quote, output="pandas"), options))
    command = commands.add_parser("ticker", help="prices, changes and sums")
    command.add_argument("market", nargs="*", help="codes; none means all")
    command.add_argument("--quote")
    add_output(command)
    command.set_defaults(run=_ticker)
    command = commands.add_parser("orderbook", help="order books")
    command.add_argument("market", nargs="+")
    command.add_argument("--depth", type=int, default=15)
    command.add_argument("--level", help="price grouping")
    add_output(command)
    command.set_defaults(run=_orderbook)
    command = commands.add_parser("trades", help="single trades")
    command.add_argument("market")
    command.add_argument("--start", help=RANGE_HELP)
    command.add_argument("--end", help=f"exclusive; {RANGE_HELP}")
    command.add_argument("--count", type=int, help=COUNT_HELP)
    command.add_argument("--tz", help=TZ_HELP)
    command.add_argument("--source", default="auto", help="auto, store, rest or archive")
    add_output(command)
    command.set_defaults(run=_trades)


def _add_cache(commands: Any) -> None:
    group = commands.add_parser("cache", help="look at and tidy the local store")
    group.set_defaults(run=partial(_print_help, group))
    actions = group.add_subparsers(metavar="action")
    actions.add_parser("ls", help="what is stored").set_defaults(run=_cache_ls)
    command = actions.add_parser("coverage", help="which ranges are stored")
    command.add_argument("market")
    command.add_argument("interval", nargs="?", default="1m")
    command.set_defaults(run=_cache_coverage)
    command = actions.add_parser("verify", help="read every file again and report what is wrong")
    command.add_argument("market", nargs="?")
    command.add_argument("interval", nargs="?")
    command.set_defaults(run=_cache_verify)
    command = actions.add_parser("prune", help="give back disk space, oldest first")
    command.add_argument("--max-mb", type=float, required=True, help="size to shrink the store to")
    command.set_defaults(run=_cache_prune)
    command = actions.add_parser("clear", help="delete the stored rows of a market")
    command.add_argument("market", help="KRW-BTC")
    command.add_argument("interval", nargs="?", help="default: every interval, and trades")
    command.set_defaults(run=_cache_clear)


def _add_cassette(commands: Any) -> None:
    group = commands.add_parser("cassette", help="look at, check and record cassettes")
    group.add_argument("--dir", type=Path, help="folder; default the setting cassette_dir")
    group.set_defaults(run=partial(_print_help, group))
    actions = group.add_subparsers(metavar="action")
    actions.add_parser("ls", help="what there is").set_defaults(run=_cassette_ls)
    command = actions.add_parser("check", help="look for damage, bodies that are not JSON, and secrets")
    command.add_argument("name", nargs="*")
    command.set_defaults(run=_cassette_check)
    command = actions.add_parser("record", help="send every request of a cassette again")
    command.add_argument("name", nargs="*", help="default: all of the folder")
    command.add_argument("--live", action="store_true", help="confirm that requests go to the exchange of the settings")
    command.set_defaults(run=_cassette_record)
    command = actions.add_parser("rm", help="delete cassettes")
    command.add_argument("name", nargs="+")
    command.set_defaults(run=_cassette_rm)


def _print_help(parser: argparse.ArgumentParser, _: argparse.Namespace) -> int:
    parser.print_help()
    return 0


# --- commands -----------------------------------------------------------------------------------


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


def _cache_ls(options: argparse.Namespace) -> int:
    print(uf.cache)
    return 0


def _cache_coverage(options: argparse.Namespace) -> int:
    print(uf.cache.coverage(options.market, options.interval).to_string(index=False))
    return 0


def _cache_verify(options: argparse.Namespace) -> int:
    findings = uf.cache.verify(options.market, options.interval)
    for finding in findings:
        print(finding)
    print(f"{len(findings)} problem(s) found" if findings else "every file is sound")
    return 1 if findings else 0


def _cache_prune(options: argparse.Namespace) -> int:
    print(f"{uf.cache.prune(max_bytes=int(options.max_mb * 1e6)) / 1e6:,.1f} MB freed")
    return 0


def _cache_clear(options: argparse.Namespace) -> int:
    print(f"{uf.cache.clear(options.market, options.interval) / 1e6:,.1f} MB freed")
    return 0


def _recordings(options: argparse.Namespace) -> list[Path]:
    from upbit_frames.replay import library
    from upbit_frames.replay.cassette_file import cassette_path
    from upbit_frames.replay.tape_file import tape_beside

    folder: Path = options.dir or uf.config.cassette_dir
    names = getattr(options, "name", []) or list(library.cassettes(folder).index)
    paths = [cassette_path(folder, name) for name in names]
    for path in paths:
        if not path.exists() and not tape_beside(path).exists():
            raise errors.QueryError(f"there is no cassette {path}", suggestion="upbit-frames cassette ls lists them")
    return paths


def _cassette_ls(options: argparse.Namespace) -> int:
    from upbit_frames.replay import library

    listing = library.cassettes(options.dir)
    folder = options.dir or uf.config.cassette_dir
    print(listing.to_string() if len(listing) else f"no cassettes in {folder}")
    return 0


def _cassette_check(options: argparse.Namespace) -> int:
    from upbit_frames.replay import library

    problems = [(path, problem) for path in _recordings(options) for problem in library.problems(path)]
    for path, problem in problems:
        print(f"{path}: {problem}")
    print(f"{len(problems)} problem(s) found" if problems else "every cassette is sound")
    return 1 if problems else 0


def _cassette_record(options: argparse.Namespace) -> int:
    from upbit_frames.replay import library
    from upbit_frames.replay.tape_file import tape_beside

    if not options.live:
        raise errors.QueryError(
            f"recording sends every request to {redacted(uf.config.rest_url)} again", suggestion="add --live to do that"
        )
    for path in _recordings(options):
        if path.exists():
            print(f"{path}: {counted(library.record_again(path), 'request')} recorded")
        else:
            print(f"{tape_beside(path)}: record a tape again by running the code that streams")
    return 0


def _cassette_rm(options: argparse.Namespace) -> int:
    from upbit_frames.replay.tape_file import tape_beside

    for path in _recordings(options):
        for file in (path, tape_beside(path)):
            if file.exists():
                file.unlink()
                print(f"{file} deleted")
    return 0


def _config(options: argparse.Namespace) -> int:
    print(uf.config)
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from upbit_frames.cli import doctor

    findings = doctor.examine(online=not options.offline)
    for finding in findings:
        print(finding)
    return 0 if all(finding.good for finding in findings) else 1


def _demo(options: argparse.Namespace) -> int:
    from upbit_frames.cli import demo

    print(demo.run(options.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
