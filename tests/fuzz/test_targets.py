"""Damaged data of every kind is read or refused with one of the package's errors, never with another exception."""

from __future__ import annotations

import random

import pytest
from fuzz.targets import LOCK, TARGETS

from upbit_frames.datasets.lock_file import read_lock, write_lock
from upbit_frames.errors import CorruptFile, UpbitFramesError

TOKENS = [
    b"1", b'"x"', b"[]", b"{}", b"null", b"true", b"NaN", b"-1", b"\xff", b"\x00", b'"', b",", b"\n", b"=", b": ",
    b"9" * 400, b"1e999", b"\xff" * 8, b"\\ud800", b"/..", b"9999-12-31", b"0.1", b"&a ",
]  # fmt: skip


def mutated(data: bytes, draw: random.Random) -> bytes:
    """Replace, repeat, drop or flip one to four pieces, or give a line another value."""
    for _ in range(draw.randint(1, 4)):
        start = draw.randrange(len(data) + 1)
        kind = draw.randrange(10)
        if kind < 5:
            data = data[:start] + draw.choice(TOKENS) + data[start + draw.randint(0, 9) :]
        elif kind == 5:
            end = start + draw.randint(1, 60)
            data = data[:end] + data[start:]
        elif kind == 6:
            data = data[:start] + data[start + draw.randint(1, 60) :]
        elif kind == 7:
            data = data[:start]
        elif kind == 8 and start < len(data):
            data = data[:start] + bytes([data[start] ^ 1 << draw.randrange(8)]) + data[start + 1 :]
        else:
            lines = data.split(b"\n")
            at = draw.randrange(len(lines))
            separator = b"=" if b"=" in lines[at] else b":"
            lines[at] = lines[at].split(separator)[0] + separator + b" " + draw.choice(TOKENS)
            data = b"\n".join(lines)
    return data


@pytest.mark.parametrize("name", TARGETS)
def test_undamaged_data_is_read(name: str) -> None:
    for data in TARGETS[name].seeds:
        TARGETS[name].read(data)


@pytest.mark.parametrize("name", ["stored file", "footer", "archive candles", "archive zip"])
def test_undamaged_files_give_their_rows(name: str) -> None:
    assert len(TARGETS[name].read(TARGETS[name].seeds[0])) == (3 if "archive" not in name else 2)


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_data_is_read_or_refused(name: str) -> None:
    draw, target = random.Random(name), TARGETS[name]
    refused = 0
    for number in range(target.tries):
        data = mutated(draw.choice(target.seeds), draw)
        try:
            target.read(data)
        except UpbitFramesError:
            refused += 1
        except Exception as failed:
            raise AssertionError(f"try {number} of {name!r}, {data!r}") from failed
    assert refused > target.tries // 10 or name in {
        "error",
        "frames",
        "stored file",
        "footer",
    }  # these return what is wrong


def test_an_undamaged_lock_is_read_as_written() -> None:
    assert read_lock(write_lock(LOCK).encode(), "a.lock") == LOCK


@pytest.mark.parametrize("name", ["written_with", "sources"])
def test_a_value_in_place_of_a_table_is_refused(name: str) -> None:
    lines = [f"{name} = 1" if line.startswith(name) else line for line in write_lock(LOCK).split("\n")]
    with pytest.raises(CorruptFile, match="cannot be read"):
        read_lock("\n".join(lines).encode(), "a.lock")
