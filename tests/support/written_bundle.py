"""Writes the small lock and bundle that later versions must be able to read.

Run ``python tests/support/written_bundle.py`` when the version of the package, of locks or of bundles has changed: it
writes a folder of its own below ``tests/datasets/written`` and leaves those of earlier versions as they are.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd

import upbit_frames as uf
from upbit_frames._version import __version__
from upbit_frames.testing import Exchange

__all__ = ["WRITTEN", "calls", "write"]

WRITTEN = Path(__file__).resolve().parent.parent / "datasets" / "written"


def calls(client: uf.Client) -> list[pd.DataFrame]:
    """The calls of the study: several markets, a resampled interval, filled gaps, trades."""
    return [
        client.candles(["KRW-BTC", "KRW-ETH"], "1d", start="2026-01-25T00:00Z", end="2026-02-05T00:00Z"),
        client.candles("KRW-BTC", "2h", start="2026-02-01T00:00Z", end="2026-02-02T00:00Z"),
        client.candles("KRW-ETH", "1m", end="2026-02-27T00:00Z", count=30, gaps="fill"),
        client.trades("KRW-BTC", start="2026-02-28T12:00Z", end="2026-02-28T12:02Z"),
    ]


def write(folder: Path) -> None:
    """Write ``study.lock`` and ``study.zip`` into a folder."""
    folder.mkdir(parents=True)
    with (
        tempfile.TemporaryDirectory() as cache,
        Exchange(seed=7, now="2026-03-01T12:34:56Z", limits=False) as exchange,
        uf.Client(exchange.config(cache_dir=Path(cache))) as client,
    ):
        with uf.pinned(folder / "study.lock"):
            calls(client)
        client.bundle(folder / "study.zip", lock=folder / "study.lock")
        with uf.pinned(folder / "names.lock"):  # with the markets that a name meant: version 2
            client.candles(["비트코인"], "1d", end="2026-02-05T00:00Z", count=2)


if __name__ == "__main__":
    target = WRITTEN / __version__
    write(target)
    print(target, sum(path.stat().st_size for path in target.iterdir()), "bytes")
