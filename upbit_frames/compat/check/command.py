"""``upbit-frames check FILE… [--fix] [--diff] [--format text|json]``."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from upbit_frames.compat.check.analysis import analyse, imports, safe
from upbit_frames.compat.check.model import Finding
from upbit_frames.compat.check.sources import Notebook, Script, Unreadable, read

__all__ = ["add_parser", "run"]

ROUNDS = 20  # edits inside of edits need one more round each


@dataclass
class _Checked:
    """Findings of one file, and those left after fixing."""

    name: str
    file: Script | Notebook
    text: str
    findings: list[Finding] = field(default_factory=list)


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    command = commands.add_parser(
        "check",
        help="find traps of scripts and notebooks that use pyupbit",
        description="Exit codes: 0 no findings, 1 findings, 2 a file is missing or not Python.",
    )
    command.add_argument("file", nargs="+", help="scripts (.py) and notebooks (.ipynb)")
    command.add_argument("--fix", action="store_true", help="rewrite what is safe (needs the extra 'migrate')")
    command.add_argument("--diff", action="store_true", help="show what --fix would change, and change nothing")
    command.add_argument("--format", choices=("text", "json"), default="text", help="how findings are printed")
    command.set_defaults(run=lambda options: run(options))


def run(options: argparse.Namespace) -> int:
    """Check the files and return the exit code."""
    if (options.fix or options.diff) and not _has_libcst():
        print(
            "upbit-frames check: rewriting needs libcst; install the extra: pip install 'upbit-frames[migrate]'",
            file=sys.stderr,
        )
        return 2
    failed = False
    reports: list[dict[str, Any]] = []
    any_found = False
    for name in options.file:
        try:
            checked = _check(name)
            if options.fix or options.diff:
                checked = _fixed(checked, write=options.fix and not options.diff)
        except Unreadable as error:
            failed = True
            print(f"upbit-frames check: {name}: {error}", file=sys.stderr)
            continue
        any_found = any_found or bool(checked.findings)
        if options.format == "json":
            reports += [item.to_json(name) for item in checked.findings]
        else:
            for item in checked.findings:
                print(f"{item.place(name)}: {item.rule} {item.message}")
    if options.format == "json":
        print(json.dumps(reports, ensure_ascii=False, indent=2))
    return 2 if failed else int(any_found)


def _has_libcst() -> bool:
    try:
        import libcst  # noqa: F401
    except ImportError:
        return False
    return True


def _check(name: str) -> _Checked:
    file = read(Path(name))
    return _Checked(name, file, file.text, _placed(file, _analysed(file.text)))


def _analysed(text: str) -> list[Finding]:
    try:
        return analyse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        where = f" (line {error.lineno})" if isinstance(error, SyntaxError) else ""
        raise Unreadable(f"it does not parse: {getattr(error, 'msg', None) or error}{where}") from None


def _placed(file: Script | Notebook, findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings at the lines of the file, or of the notebook's cells."""
    placed = []
    for item in findings:
        cell, line = file.place(item.line)
        placed.append(replace(item, cell=cell, line=line))
    return placed


def _fixed(checked: _Checked, *, write: bool) -> _Checked:
    """Rewrite until nothing changes; show the difference, or write it."""
    from upbit_frames.compat.check.rewrite import rewrite

    text = checked.text
    leads = imports(text)
    wants = any(edit.drop_in for item in checked.findings for edit in item.edits)
    # Without an import to lead, the drop-in is there already; with orders pyupbit has to stay.
    drop_in = bool(leads) or "upbit_frames.compat" in text
    for _ in range(ROUNDS):
        edits = safe(analyse(text), drop_in=drop_in)
        if wants and drop_in:
            edits += imports(text)
        if not edits:
            break
        text = rewrite(text, edits)
    if text == checked.text:
        return checked
    if not write:
        old, new = checked.text.splitlines(keepends=True), text.splitlines(keepends=True)
        sys.stdout.writelines(difflib.unified_diff(old, new, checked.name, checked.name))
        return checked
    checked.file.write(text)
    return _check(checked.name)
