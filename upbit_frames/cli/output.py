"""Frames printed, or written to a file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from upbit_frames import errors
from upbit_frames.cli.tables import table_text
from upbit_frames.core.text import counted

__all__ = ["add_output", "emit"]


def add_output(command: argparse.ArgumentParser) -> None:
    """Add the options that :func:`emit` reads."""
    command.add_argument("-o", "--out", type=Path, help="write .parquet, .csv, .feather or .json instead of printing")
    command.add_argument("--json", action="store_true", help="print JSON lines")


def emit(frame: Any, options: argparse.Namespace) -> int:
    """Write or print a frame as the options say."""
    out: Path | None = options.out
    if out is None:
        if options.json:
            frame.reset_index().to_json(sys.stdout, orient="records", lines=True, date_format="iso")
        else:
            print(table_text(frame))
            print(counted(len(frame), "row"))
        return 0
    writers: dict[str, Callable[[], Any]] = {
        ".parquet": lambda: frame.to_parquet(part),
        ".csv": lambda: frame.to_csv(part),
        ".feather": lambda: frame.reset_index().to_feather(part),
        ".json": lambda: frame.reset_index().to_json(part, orient="records", lines=True, date_format="iso"),
    }
    if out.suffix not in writers:
        raise errors.QueryError(
            f"cannot write {out.suffix or 'a file without ending'}", suggestion=f"use {', '.join(writers)}"
        )
    part = out.with_name(f".{out.name}.part")  # so that a broken run leaves no half file behind
    try:
        writers[out.suffix]()
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    print(f"{counted(len(frame), 'row')} → {out}")
    return 0
