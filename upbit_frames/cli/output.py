"""Frames printed, or written to a file; what the commands' parsers share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from upbit_frames import errors
from upbit_frames.cli.tables import table_text
from upbit_frames.core.text import counted

__all__ = [
    "BASE_HELP", "COUNT_HELP", "FORMATS", "RANGE_HELP", "TZ_HELP", "Parser", "Rows", "add_output", "emit", "print_help",
]  # fmt: skip

FORMATS = ("table", "csv", "json", "jsonl")
COUNT_HELP = "number of rows: the newest before --end, or with --start the first (default 200)"
TZ_HELP = "zone in which naive times are read and printed, e.g. Asia/Seoul (default: the setting, UTC)"
RANGE_HELP = "ISO time, e.g. 2026-01-31 or '2026-01-31 09:00'; read in --tz"
BASE_HELP = "when days begin: Asia/Seoul, 09:00 (in --tz), '17:00 America/New_York'"


class Parser(argparse.ArgumentParser):
    """A parser whose help gives the default of every option that has one; its commands are such parsers too."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": _Help} | options)


class _Help(argparse.HelpFormatter):
    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help
        silent = action.default in (None, False, argparse.SUPPRESS, []) or not action.option_strings
        return text if silent or text is None or "default" in text else f"{text} (default: %(default)s)"


def print_help(parser: argparse.ArgumentParser, _: argparse.Namespace) -> int:
    """Print the help of a group of commands that was given none of them."""
    parser.print_help()
    return 0


def add_output(command: argparse.ArgumentParser) -> None:
    """Add the options that :func:`emit` and :class:`Rows` read."""
    command.add_argument(
        "-o", "--out", type=Path, help="write .parquet, .csv, .feather, .json (lines) or .xlsx instead of printing"
    )
    command.add_argument("--format", choices=FORMATS, default="table", help="how rows are printed")
    command.add_argument(
        "--json", dest="format", action="store_const", const="jsonl", default="table", help="the same as --format jsonl"
    )


def emit(frame: Any, options: argparse.Namespace) -> int:
    """Write or print a frame as the options say."""
    if options.out is not None:
        return _write(frame, options.out)
    if options.format == "json":
        _named(frame).to_json(sys.stdout, orient="records", date_format="iso", force_ascii=False)
        print()
        return 0
    Rows(options).write(frame)
    if options.format == "table":
        print(counted(len(frame), "row"))
    return 0


class Rows:
    """Prints frame after frame in one format, the header once.

    Parameters
    ----------
    options : argparse.Namespace
        With ``format``; an array of JSON has no place for more rows, so it is printed as lines.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self._format = options.format
        self._begun = False

    def write(self, frame: Any) -> None:
        """Print the rows of a frame at once."""
        if self._format == "csv":
            _named(frame).to_csv(sys.stdout, index=False, header=not self._begun, lineterminator="\n")
        elif self._format in ("json", "jsonl"):
            _named(frame).to_json(sys.stdout, orient="records", lines=True, date_format="iso", force_ascii=False)
        else:
            print(table_text(frame))
        self._begun = True
        if sys.stdout is not None:
            sys.stdout.flush()


def _named(frame: Any) -> Any:
    """Return the frame with its index as columns, if that has names."""
    return frame.reset_index() if any(name is not None for name in frame.index.names) else frame


def _write(frame: Any, out: Path) -> int:
    part = out.with_name(f".{out.stem}.part{out.suffix}")  # so that a broken run leaves no half file behind
    writers: dict[str, Callable[[], Any]] = {
        ".parquet": lambda: frame.to_parquet(part),
        ".csv": lambda: frame.to_csv(part),
        ".feather": lambda: frame.reset_index().to_feather(part),
        ".json": lambda: frame.reset_index().to_json(part, orient="records", lines=True, date_format="iso"),
        ".xlsx": lambda: _write_excel(frame, part),
    }
    if out.suffix not in writers:
        raise errors.QueryError(
            f"cannot write {out.suffix or 'a file without ending'}", suggestion=f"use {', '.join(writers)}"
        )
    try:
        writers[out.suffix]()
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    print(f"{counted(len(frame), 'row')} → {out}")
    return 0


def _write_excel(frame: Any, path: Path) -> None:
    from upbit_frames.frames.exports import write_excel

    write_excel(frame, path, None)
