"""The quarantine: damaged files are moved aside, never deleted and never read again."""

from __future__ import annotations

import contextlib
import json
import uuid
from pathlib import Path

from upbit_frames.core.intervals import Span, from_micros, subtract
from upbit_frames.runtime.caller import warn
from upbit_frames.store import atomic_files as files
from upbit_frames.store import replaced
from upbit_frames.store.base import Series
from upbit_frames.store.directories import Directory
from upbit_frames.store.layout import SET_ASIDE, SUFFIX, File, parse_name
from upbit_frames.store.results import Finding

__all__ = ["announce", "findings", "set_aside"]

DAMAGED = ".damaged"  # not ".parquet", so that no other tool picks it up


def set_aside(folder: Directory, series: Series, file: File, reason: str, now: int) -> Path:
    """Move a damaged file to the quarantine, with a note of the reason. Needs the series' lock."""
    target = f"{file.name}.{now}-{uuid.uuid4().hex[:6]}{DAMAGED}"
    with folder.child(SET_ASIDE, create=True) as aside:
        files.sweep(aside, aside.names())
        replaced.drop(folder, file)
        files.settle(folder)
        folder.replace(file.name, target, aside)
        # From here on the file is quarantined, even if a later step fails: the user must be warned.
        announce(series, file, reason, aside.path / target)
        noted = {"reason": reason, "found_at": from_micros(now).isoformat()}
        with contextlib.suppress(OSError):  # findings() says that the reason is missing
            files.commit(aside, [(target + ".json", json.dumps(noted).encode())])
            folder.sync()
        return aside.path / target


def announce(series: Series, file: File, reason: str, moved_to: Path | None) -> None:
    """Warn the user."""
    where = f"it was set aside as {moved_to}" if moved_to else "it could not be moved and is left out from now on"
    warn(
        f"a stored file of {series} is damaged ({reason}); {where}. What it covered, {file.span}, is fetched again "
        "when it is requested"
    )


def findings(folder: Path, series: Series, covered: list[Span]) -> list[Finding]:
    """Return the quarantined files as problems; ``repaired`` where the range is stored again."""
    problems = []
    aside = folder / SET_ASIDE
    with files.explained("listing what was set aside", aside):
        names = sorted(files.listing(aside))
    for name in names:
        if not name.endswith(DAMAGED):
            continue
        span = parse_name(name.partition(SUFFIX)[0] + SUFFIX)
        try:
            note = json.loads(files.read_small(aside / f"{name}.json"))
            detail = f"set aside on {note['found_at']}: {note['reason']}"
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            detail = "set aside; what was wrong could not be noted"  # killed just then
        repaired = span is not None and not subtract([span], covered)
        problems.append(Finding(series, "repaired" if repaired else "corrupt", detail, aside / name, span))
    return problems
