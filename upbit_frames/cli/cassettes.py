"""``upbit-frames cassette …``: recordings."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import upbit_frames as uf
from upbit_frames import errors
from upbit_frames.cli.output import print_help
from upbit_frames.core.text import counted
from upbit_frames.core.urls import redacted

__all__ = ["add_cassette_parser"]


def add_cassette_parser(commands: Any) -> None:
    """Add the command to the command line's parser."""
    group = commands.add_parser("cassette", help="look at, check and record cassettes")
    group.add_argument("--dir", type=Path, help="folder; default the setting cassette_dir")
    group.set_defaults(run=partial(print_help, group))
    actions = group.add_subparsers(metavar="action")
    actions.add_parser("ls", help="what there is").set_defaults(run=_cassette_ls)
    command = actions.add_parser("check", help="look for damage, bodies that are not JSON, and secrets")
    command.add_argument("name", nargs="*", help="default: all of the folder")
    command.set_defaults(run=_cassette_check)
    command = actions.add_parser("record", help="send every request of a cassette again")
    command.add_argument("name", nargs="*", help="default: all of the folder")
    command.add_argument("--live", action="store_true", help="confirm that requests go to the exchange of the settings")
    command.set_defaults(run=_cassette_record)
    command = actions.add_parser("rm", help="delete cassettes")
    command.add_argument("name", nargs="+", help="without .yaml")
    command.set_defaults(run=_cassette_rm)


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
