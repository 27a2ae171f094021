"""Commands about the installation and the data: ``config``, ``doctor``, ``schema``, ``explain`` and their like."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import upbit_frames as uf
from upbit_frames.cli.completion import SHELLS, script
from upbit_frames.cli.output import BASE_HELP, COUNT_HELP, RANGE_HELP, TZ_HELP, add_output, emit
from upbit_frames.core.schema import KINDS
from upbit_frames.errors import QueryError

__all__ = ["add_about_parsers"]

_EXPLAINED = ("candles", "trades", "ticker", "orderbook", "markets", "instruments")


def add_about_parsers(commands: Any, parser: argparse.ArgumentParser) -> None:
    """Add the commands to the command line's parser."""
    command = commands.add_parser("explain", help="which source would serve a call, and why; sends no request")
    command.add_argument("call", choices=_EXPLAINED, help="the call")
    command.add_argument("market", nargs="*", help="codes; of markets, a quote currency")
    command.add_argument("--interval", help="of candles, such as 1m")
    for name, text in (
        ("start", RANGE_HELP),
        ("end", f"exclusive; {RANGE_HELP}"),
        ("tz", TZ_HELP),
        ("base", BASE_HELP),
    ):
        command.add_argument(f"--{name}", help=text)
    command.add_argument("--count", type=int, help=COUNT_HELP)
    command.add_argument("--forming", action="store_true", default=None, help="also the candle that can still change")
    command.add_argument("--source", help="what may serve it; default auto")
    command.set_defaults(run=_explain)
    command = commands.add_parser("schema", help="type, unit, meaning and source of every column")
    command.add_argument("kind", choices=tuple(KINDS), help="kind of table")
    add_output(command)
    command.set_defaults(run=lambda options: emit(uf.schema(options.kind), options))
    command = commands.add_parser("metrics", help="what another process wrote with uf.metrics.to_json(path)")
    command.add_argument("file", type=Path, help="JSON")
    command.add_argument(
        "--by", choices=("summary", "calls"), default="summary", help="a row a call and channel, or a call"
    )
    add_output(command)
    command.set_defaults(run=_metrics)
    command = commands.add_parser("completion", help="a script that completes commands and options in a shell")
    command.add_argument("shell", choices=SHELLS, help='bash: eval "$(upbit-frames completion bash)"')
    command.set_defaults(run=lambda options: print(script(parser, options.shell)) or 0)
    command = commands.add_parser("config", help="every setting, its value and where it came from")
    command.set_defaults(run=_config)
    command = commands.add_parser("doctor", help="versions, store, clock and reachability")
    command.add_argument("--offline", action="store_true", help="do not touch the network")
    command.set_defaults(run=_doctor)
    command = commands.add_parser("demo", help="a tour offline, from a cassette, with a chart")
    command.add_argument("-o", "--out", type=Path, default=Path("upbit_frames_demo.png"), help="where the chart goes")
    command.set_defaults(run=_demo)


def _explain(options: argparse.Namespace) -> int:
    names = ("interval", "start", "end", "tz", "base", "count", "forming", "source")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    markets = [options.market[0] if len(options.market) == 1 else options.market] if options.market else []
    print(uf.explain(options.call, *markets, **given))
    return 0


def _metrics(options: argparse.Namespace) -> int:
    import pandas as pd

    try:
        rows = json.loads(options.file.read_text(encoding="utf-8"))[options.by]
        frame = pd.DataFrame.from_records(rows)
    except (ValueError, KeyError, TypeError) as error:
        raise QueryError(
            f"{options.file} is not what uf.metrics.to_json writes", suggestion="uf.metrics.to_json('metrics.json')"
        ) from error
    return emit(frame, options)


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
