"""Damaged lock files are read or refused with one of the package's errors, never with another exception."""

import random

import pytest

from upbit_frames.datasets.digests import DIGITS, Part
from upbit_frames.datasets.lock_file import Lock, LockedCall, read_lock, write_lock
from upbit_frames.errors import CorruptFile, UpbitFramesError

PARTS = (Part("KRW-BTC", "2024-01", 744, "0" * DIGITS), Part("KRW-ETH", "2024-02", 696, "a" * DIGITS))
CALL = LockedCall("candles", {"interval": "1h", "market": ["KRW-BTC", "KRW-ETH"]}, PARTS, {"rest": 1440})
LOCK = Lock(1_704_067_200_000_000, {CALL.key: CALL}, {"upbit_frames": "1.0"})
TOKENS = [b"1", b'"x"', b"[]", b"{}", b"true", b"nan", b"-1", b"\xff", b"\x00", b'"', b"\n", b"=", b"9" * 5000]


def mutated(data: bytes, draw: random.Random) -> bytes:
    """Replace one to four pieces of the text, or the value of a whole line."""
    for _ in range(draw.randint(1, 4)):
        start = draw.randrange(len(data) + 1)
        if draw.random() < 0.5:
            lines = data.split(b"\n")
            at = draw.randrange(len(lines))
            lines[at] = lines[at].split(b"=")[0] + b"= " + draw.choice(TOKENS)
            data = b"\n".join(lines)
        else:
            data = data[:start] + draw.choice(TOKENS) + data[start + draw.randint(0, 9) :]
    return data


def test_an_undamaged_lock_is_read_as_written():
    assert read_lock(write_lock(LOCK).encode(), "a.lock") == LOCK


@pytest.mark.parametrize("seed", range(10))
def test_damaged_locks_are_read_or_refused(seed):
    draw = random.Random(seed)
    data = write_lock(LOCK).encode()
    refused = 0
    for _ in range(200):
        try:
            read_lock(mutated(data, draw), "a.lock")
        except UpbitFramesError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("name", ["written_with", "sources"])
def test_a_value_in_place_of_a_table_is_refused(name):
    lines = [f"{name} = 1" if line.startswith(name) else line for line in write_lock(LOCK).split("\n")]
    with pytest.raises(CorruptFile, match="cannot be read"):
        read_lock("\n".join(lines).encode(), "a.lock")
