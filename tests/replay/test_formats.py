"""Recordings that version 1 of the formats wrote: read, replayed and continued by every later version.

The files in ``formats/`` are never written again. A new version of a format gets files of its own beside them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import upbit_frames as uf
from upbit_frames import errors
from upbit_frames.replay.cassette_file import load
from upbit_frames.replay.library import problems
from upbit_frames.replay.loaded_tape import LoadedTape
from upbit_frames.testing import Exchange

FORMATS = Path(__file__).parent / "formats"
FILES = ["version_1.yaml", "version_1.jsonl.gz"]


@pytest.fixture
def old(folder: Path) -> Path:
    """A copy in the folder of cassettes."""
    folder.mkdir(parents=True)
    for name in FILES:
        shutil.copy(FORMATS / name, folder)
    return folder


def check_replay() -> None:
    """What the recording exchange said when the files were written."""
    days = uf.candles("KRW-BTC", "1d", count=3)
    assert days["close"].tolist() == [128567000.0, 130954000.0, 129082000.0]
    assert days["volume"].iloc[-1] == 26.89935857
    assert uf.ticker(["KRW-BTC"])["price"].tolist() == [130590000.0]
    assert uf.orderbook("KRW-BTC", depth=2)["bid_price"].tolist() == [130588000.0, 130586000.0]
    with pytest.raises(errors.MarketNotFound):
        uf.candles("KRW-NOSUCH", "1d", count=3)


def check_stream() -> None:
    trades = uf.stream("KRW-BTC", "trade", count=5)
    assert trades["price"].tolist() == [130590000.0, 130618000.0, 130526000.0, 130538000.0, 130504000.0]
    assert trades["sequential_id"].iloc[0] == 17723358093080000


def test_both_are_replayed_without_network(old: Path, offline: Callable[[], list[Any]]) -> None:
    attempts = offline()
    with uf.cassette("version_1", mode="none") as cassette:
        check_replay()
        check_stream()
    assert cassette.unplayed == []
    assert cassette.now == pd.Timestamp("2026-03-01T03:30:30Z")
    with uf.tape("version_1", mode="none"):
        check_stream()
    assert attempts == []
    for name in FILES:
        assert (old / name).read_bytes() == (FORMATS / name).read_bytes()
    assert problems(old / "version_1.yaml") == []


def test_both_are_continued(old: Path, recording_streams: Exchange) -> None:
    with uf.cassette("version_1", mode="new_episodes") as cassette:
        more = uf.candles("KRW-BTC", "1d", count=5)
        uf.stream("KRW-ETH", "ticker", count=1)
    assert cassette.recorded >= 2
    assert LoadedTape(old / FILES[1]).streams() == ["stream trade KRW-BTC", "stream ticker KRW-ETH"]
    with uf.cassette("version_1", mode="none"):
        check_replay()
        check_stream()
    with uf.cassette("version_1", mode="none"):
        pd.testing.assert_frame_equal(uf.candles("KRW-BTC", "1d", count=5), more)


def test_unknown_keys_are_ignored_and_newer_tapes_refused(old: Path) -> None:
    import gzip

    path = old / FILES[0]
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("    origin:", "    colour: blue\n    origin:"), encoding="utf-8")
    assert load(path)[1]["colour"] == "blue"
    tape = old / FILES[1]
    lines = gzip.decompress(tape.read_bytes())
    tape.write_bytes(gzip.compress(lines.replace(b'{"at":', b'{"colour":"blue","at":')))
    assert LoadedTape(tape).frames == LoadedTape(FORMATS / FILES[1]).frames
    tape.write_bytes(gzip.compress(lines.replace(b'"tape":1', b'"tape":2')))
    with pytest.raises(errors.CorruptFile, match="expected format version 1, got 2"):
        LoadedTape(tape)
