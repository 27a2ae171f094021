"""``upbit-frames cache …``: the local store."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import upbit_frames as uf
from upbit_frames.cli.output import print_help

__all__ = ["add_cache_parser"]


def add_cache_parser(commands: Any) -> None:
    """Add the command to the command line's parser."""
    group = commands.add_parser("cache", help="look at and tidy the local store")
    group.set_defaults(run=partial(print_help, group))
    actions = group.add_subparsers(metavar="action")
    actions.add_parser("ls", help="what is stored").set_defaults(run=_cache_ls)
    command = actions.add_parser("coverage", help="which ranges are stored")
    command.add_argument("market", help="KRW-BTC")
    command.add_argument("interval", help="1m, 1h, …, or trades")
    command.set_defaults(run=_cache_coverage)
    command = actions.add_parser("verify", help="read every file again and report what is wrong")
    command.add_argument("market", nargs="?", help="default: every market")
    command.add_argument("interval", nargs="?", help="default: every interval, and trades")
    command.set_defaults(run=_cache_verify)
    command = actions.add_parser("prune", help="give back disk space, oldest first")
    command.add_argument("--max-mb", type=float, required=True, help="size to shrink the store to")
    command.set_defaults(run=_cache_prune)
    command = actions.add_parser("clear", help="delete the stored rows of a market")
    command.add_argument("market", help="KRW-BTC")
    command.add_argument("interval", nargs="?", help="default: every interval, and trades")
    command.set_defaults(run=_cache_clear)


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
