"""Damaged files are set aside, never deleted and never read again."""

from __future__ import annotations

import json
import uuid
import warnings
from pathlib import Path

from upbit_frames.core.intervals import Span, from_micros, subtract
from upbit_frames.errors import UpbitFramesWarning
from upbit_frames.store import atomic_files as files
from upbit_frames.store.base import Finding, Series
from upbit_frames.store.layout import SET_ASIDE, SUFFIX, File, parse_name

__all__ = ["announce", "findings", "set_aside"]

DAMAGED = ".damaged"  # not ".parquet", so that no other tool picks it up


def set_aside(folder: Path, series: Series, file: File, reason: str, now: int) -> Path:
    """Move a damaged file out of the way, with a note that says why. Needs the series' lock."""
    aside = folder / SET_ASIDE
    files.make_folder(aside)
    target = aside / f"{file.name}.{now}-{uuid.uuid4().hex[:6]}{DAMAGED}"
    (folder / file.name).replace(target)
    told = {"reason": reason, "found_at": from_micros(now).isoformat()}
    files.commit(aside, [(target.name + ".json", json.dumps(told).encode())])
    files.sync_folder(folder)
    announce(series, file, reason, target)
    return target


def announce(series: Series, file: File, reason: str, moved_to: Path | None) -> None:
    """Tell the user."""
    where = f"it was set aside as {moved_to}" if moved_to else "it could not be moved and is left out from now on"
    warnings.warn(
        f"a stored file of {series} is damaged ({reason}); {where}. What it covered, {file.span}, is fetched again "
        "when it is asked for",
        UpbitFramesWarning,
        stacklevel=2,
    )


def findings(folder: Path, series: Series, covered: list[Span]) -> list[Finding]:
    """What lies set aside; ``repaired`` where everything it covered is known again."""
    found = []
    aside = folder / SET_ASIDE
    for name in sorted(files.listing(aside)):
        if not name.endswith(DAMAGED):
            continue
        span = parse_name(name.partition(SUFFIX)[0] + SUFFIX)
        try:
            told = json.loads((aside / f"{name}.json").read_bytes())
            detail = f"set aside on {told['found_at']}: {told['reason']}"
        except (OSError, ValueError, KeyError, TypeError):
            detail = "set aside; what was wrong could not be noted"  # killed just then
        repaired = span is not None and not subtract([span], covered)
        found.append(Finding(series, "repaired" if repaired else "corrupt", detail, aside / name, span))
    return found
