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

import upbit_frames as uf
from upbit_frames import errors
from upbit_frames.cli.about import add_about_parsers
from upbit_frames.cli.candles import add_candle_parsers
from upbit_frames.cli.cassettes import add_cassette_parser
from upbit_frames.cli.collect import add_collect_parsers
from upbit_frames.cli.live import add_live_parsers
from upbit_frames.cli.output import Parser
from upbit_frames.cli.quotes import add_quote_parsers
from upbit_frames.cli.store import add_cache_parser
from upbit_frames.compat.check.command import add_parser as add_check_parser

__all__ = ["main"]

READER_GONE = 141  # as a process that SIGPIPE ended


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
        print("interrupted; candles and trades fetched so far are stored, the next run continues", file=sys.stderr)
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
    parser = Parser(prog="upbit-frames", description="Upbit market data as clean frames.")
    parser.add_argument("--version", action="version", version=f"upbit-frames {uf.__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    add_candle_parsers(commands)
    add_quote_parsers(commands)
    add_live_parsers(commands)
    add_collect_parsers(commands)
    add_cache_parser(commands)
    add_cassette_parser(commands)
    add_check_parser(commands)
    add_about_parsers(commands, parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
