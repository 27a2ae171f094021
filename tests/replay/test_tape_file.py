"""The format: what is written is read again, and nothing but an error comes from damage."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from upbit_frames import errors
from upbit_frames.core.topics import TYPES, Topic
from upbit_frames.replay import tape_file
from upbit_frames.replay.loaded_tape import LoadedTape, covers, topic_text
from upbit_frames.replay.tape_file import Entry, read_tape, tape_beside
from upbit_frames.replay.tape_writer import TapeWriter

HEAD = {"tape": 1, "recorded_at": "2026-03-01T00:00:00Z", "origin": "stand-in", "by": "me"}

moments = st.integers(0, 2**53)
topics = st.builds(
    Topic, st.sampled_from(TYPES), st.sampled_from(["KRW-BTC", "KRW-ETH", "BTC-ETH"]),
    st.sampled_from([0.0, 0.1, 10000.0]), st.sampled_from([1, 5, 15, 30]),
)  # fmt: skip
texts = st.text(st.characters(exclude_categories=["Cs"]))
entries = st.one_of(
    st.builds(lambda at, on, data: Entry(at, "frame", data, on), moments, st.integers(1, 3), st.binary()),
    st.builds(lambda at, on, text: Entry(at, "frame", text.encode(), on), moments, st.integers(1, 3), texts),
    st.builds(lambda at, text: Entry(at, "sent", text.encode()), moments, texts),
    st.builds(lambda at, on, text: Entry(at, "broken", text.encode(), on), moments, st.integers(1, 3), texts),
    st.builds(lambda at, offset: Entry(at, "open", offset=offset), moments, st.none() | st.integers(-(2**50), 2**50)),
    st.builds(
        lambda at, wanted, known, region: Entry(
            at, "join", topics=tuple(sorted(wanted)), known=tuple(sorted(known)), region=region
        ),
        moments, st.sets(topics, min_size=1, max_size=4), st.sets(topics, max_size=2), st.sampled_from(["kr", "sg"]),
    ),
    st.builds(lambda at: Entry(at, "end"), moments),
)  # fmt: skip


def write(path: Path, *lines: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(b"".join(json.dumps(line).encode() + b"\n" for line in lines)))
    return path


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told=st.lists(entries, max_size=20), now=st.integers(0, 4_000_000_000_000_000))
def test_what_is_written_is_read(tmp_path: Path, told: list[Entry], now: int) -> None:
    path = tmp_path / "one.jsonl.gz"
    writer = TapeWriter(path, "wss://api.upbit.com/websocket/v1", now)
    for one in told:
        writer.entry(one)
    writer.finish(7)
    assert not path.exists() or path.stat().st_size  # the old one, if any, is there until it is settled
    writer.settle()
    head, found = read_tape(path)
    assert (head.tape, head.origin) == (1, "live")
    assert list(found) == [*told, Entry(7, "end")]
    assert [one.name for one in tmp_path.iterdir()] == ["one.jsonl.gz"]


def test_the_same_makes_the_same_file(tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        writer = TapeWriter(tmp_path / name, "ws://127.0.0.1:4711", 1_772_335_800_000_000)
        writer.frame(1_772_335_800_000_001, b'{"type":"trade"}')
        writer.finish(1_772_335_800_000_002)
        writer.settle()
        made.append((tmp_path / name).read_bytes())
    assert made[0] == made[1]
    assert b"4711" not in gzip.decompress(made[0])
    assert json.loads(gzip.decompress(made[0]).splitlines()[0])["recorded_at"] == "2026-03-01T03:30:00Z"


def test_going_on_keeps_what_was_there(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl.gz", HEAD, {"at": 1, "join": [["trade", "KRW-BTC", 0, 30]]}, {"at": 2, "open": 1})
    writer = TapeWriter(path, "wss://api.upbit.com/websocket/v1", 5, path)
    writer.frame(6, b"x", on=2)
    writer.finish(8)
    writer.settle()
    head, found = read_tape(path)
    assert head.origin == "live and stand-in"
    assert [(one.at, one.kind, one.on) for one in found] == [
        (1, "join", 1), (2, "open", 1), (2, "end", 1), (6, "frame", 2), (8, "end", 1),
    ]  # fmt: skip


def test_cut_anywhere_it_plays_up_to_there(tmp_path: Path, make_tape: Any) -> None:
    path = make_tape("whole", 40)
    whole = list(read_tape(path)[1])
    data = path.read_bytes()
    cut, lengths = tmp_path / "cut.jsonl.gz", set()
    for size in range(0, len(data), 7):
        cut.write_bytes(data[:size])
        try:
            found = list(read_tape(cut)[1])
        except errors.CorruptFile:
            continue
        assert found == whole[: len(found)]
        lengths.add(len(found))
        assert not LoadedTape(cut).complete or found == whole
    assert len(lengths) > 1


def test_damage_anywhere_is_reported(tmp_path: Path, make_tape: Any) -> None:
    path = make_tape("whole", 40)
    data, whole = path.read_bytes(), list(read_tape(path)[1])
    hurt, refused = tmp_path / "hurt.jsonl.gz", 0
    for place in range(0, len(data), 5):
        hurt.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        try:
            assert list(read_tape(hurt)[1]) == whole  # a byte of the head of the archive that says nothing
        except errors.CorruptFile:
            refused += 1
    assert refused > len(data) / 5 * 0.9


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [{"tape": 2}],
        [{"frame": "x"}],
        [[]],
        [HEAD, {"at": 1}],
        [HEAD, {"frame": "x"}],
        [HEAD, {"at": "1", "frame": "x"}],
        [HEAD, {"at": 1, "frame64": "%%%"}],
        [HEAD, {"at": 1, "join": []}],
        [HEAD, {"at": 1, "join": [["gossip", "KRW-BTC", 0, 30]]}],
        [HEAD, {"at": 1, "join": [["trade"]]}],
    ],
)
def test_what_is_no_tape(tmp_path: Path, lines: list[Any]) -> None:
    path = write(tmp_path / "no.jsonl.gz", *lines)
    with pytest.raises(errors.CorruptFile) as caught:
        list(read_tape(path)[1])
    assert caught.value.suggestion
    assert caught.value.path == str(path)


DEEP = gzip.compress(b"[" * 100_000 + b"\n")


@pytest.mark.parametrize("data", [b"", b"no archive", b"\x1f\x8b", DEEP], ids=["empty", "text", "cut", "deep"])
def test_what_is_not_even_an_archive_of_lines(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "no.jsonl.gz"
    path.write_bytes(data)
    with pytest.raises(errors.CorruptFile):
        LoadedTape(path)


def test_a_deep_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "deep.jsonl.gz"
    deep = b'{"at":1,"open":1,"more":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
    path.write_bytes(gzip.compress(json.dumps(HEAD).encode() + b"\n" + deep))
    with pytest.raises(errors.CorruptFile):
        LoadedTape(path)


def test_a_folder_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(errors.StoreError, match="cannot write"):
        TapeWriter(tmp_path / "file" / "sub" / "t.jsonl.gz", "", 0)
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_giving_up_leaves_nothing(tmp_path: Path) -> None:
    writer = TapeWriter(tmp_path / "a" / "b" / "t.jsonl.gz", "", 0)
    writer.frame(1, b"x")
    writer.discard()
    writer.discard()
    assert list(tmp_path.iterdir()) == []


def test_names_and_texts() -> None:
    assert tape_beside(Path("x/study.yaml")) == Path("x/study.jsonl.gz")
    assert topic_text(Topic("candle.1m", "KRW-BTC")) == "stream candle.1m KRW-BTC"
    assert topic_text(Topic("orderbook", "KRW-BTC", 0.1, 5)) == "stream orderbook KRW-BTC level=0.1 depth=5"


def test_a_deeper_book_covers_a_flatter_one() -> None:
    deep, flat = Topic("orderbook", "KRW-BTC", 0.0, 15), Topic("orderbook", "KRW-BTC", 0.0, 5)
    assert covers([deep], [flat])
    assert not covers([flat], [deep])
    assert not covers([deep], [Topic("orderbook", "KRW-BTC", 10.0, 5)])
    assert covers([deep, Topic("trade", "KRW-BTC")], [Topic("trade", "KRW-BTC")])


def test_a_tape_is_never_larger_than_can_be_replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tape_file, "MAX_SIZE", 20_000)
    writer = TapeWriter(tmp_path / "t.jsonl.gz", "", 0)
    written = [writer.frame(moment, b"x" * 100) for moment in range(100)]
    assert written == sorted(written, reverse=True)  # nothing after the first that did not fit
    assert 0 < sum(written) < 100
    assert writer.full
    writer.finish(100)
    writer.settle()
    tape = LoadedTape(tmp_path / "t.jsonl.gz")
    assert tape.complete
    assert tape.frames == sum(written)
    monkeypatch.setattr(tape_file, "MAX_SIZE", 10_000)
    with pytest.raises(errors.CorruptFile, match="bytes of memory"):
        LoadedTape(tmp_path / "t.jsonl.gz")
