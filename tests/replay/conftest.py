"""Recordings, and tapes written by the test itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.recordings import exchange, folder, offline, recording, recording_streams, running
from support.trade_frames import START, trade_frame

from upbit_frames.core.topics import Topic
from upbit_frames.replay.tape_writer import TapeWriter

__all__ = ["exchange", "folder", "make_tape", "offline", "recording", "recording_streams", "running"]


@pytest.fixture
def make_tape(folder: Path) -> Callable[..., Path]:
    """Write a tape of trades: so many of each market, one after the other, a tenth of a second apart."""

    def make(name: str, count: int, markets: tuple[str, ...] = ("KRW-BTC",), *, end: bool = True) -> Path:
        path = folder / f"{name}.jsonl.gz"
        writer = TapeWriter(path, "ws://127.0.0.1:1", START)
        topics = [Topic("trade", market) for market in markets]
        writer.join(START, topics, (), "kr")
        writer.line(START + 100, "open", 1, offset=0)
        writer.line(START + 200, "sent", "[]")
        for number in range(count):
            for place, market in enumerate(markets):
                writer.frame(START + 100_000 * number + 5000 + place, trade_frame(number, market))
        if end:
            writer.finish(START + 100_000 * count)
        else:
            writer._file.close()
            writer._raw.close()
        writer.settle()
        return path

    return make
