"""Cassettes and tapes from anywhere: each ends in an error of the package, soon and with little memory."""

from __future__ import annotations

import gzip
import json
import os
import resource
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path
from typing import Any

import pytest
import yaml

import upbit_frames as uf
from upbit_frames import errors
from upbit_frames.replay.cassette_file import cassette_path, load, save
from upbit_frames.replay.library import cassettes, problems
from upbit_frames.replay.loaded_tape import LoadedTape
from upbit_frames.replay.untrusted import MAX_BODY, MalformedFile, inflate, plain_yaml

URI = "http://stand-in.invalid/v1/market/all"


def document(**changes: Any) -> dict[str, Any]:
    """A cassette with one interaction; ``a__b`` changes what stands under ``a`` and then ``b``."""
    whole: dict[str, Any] = {
        "interactions": [
            {
                "request": {"method": "GET", "uri": URI, "body": None, "headers": {"Accept": ["application/json"]}},
                "response": {"status": {"code": 200, "message": ""}, "headers": {}, "body": {"string": "[]"}},
            }
        ],
        "metadata": {"upbit_frames": {"now": "2026-03-01T03:30:30Z", "origin": "stand-in"}},
        "version": 1,
    }
    for path, value in changes.items():
        at: Any = (
            whole["interactions"][0] if path.startswith(("request", "response")) else whole["metadata"]["upbit_frames"]
        )
        *steps, last = path.split("__")
        for step in steps:
            at = at[step]
        at[last] = value
    return whole


def written(folder: Path, content: Any, name: str = "one") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    return path


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{chr(ord(name) - 1)}'] * 10)}]\n" for name in "bcdefghij"
)
HOSTILE_YAML = {
    "brackets": "[" * 200_000,
    "braces": "{" * 200_000,
    "dashes": "- " * 200_000,
    "questions": "? " * 200_000,
    "indents": "".join(" " * n + "a:\n" for n in range(2_000)),
    "aliases": BOMB,
    "itself": "interactions: &a [*a]\n",
    "key": "? [a, b]\n: c\n",
    "two": "a: 1\n---\nb: 2\n",
    "object": "interactions: !!python/object/apply:os.getcwd []\n",
    "number": "interactions: !!int many\n",
    "time": "interactions: !!timestamp soon\n",
    "list": "- a\n",
    "text": "hello\n",
    "empty": "",
    "surrogate": 'interactions: "\\ud800"\n',
}


@pytest.mark.parametrize("text", HOSTILE_YAML.values(), ids=HOSTILE_YAML)
def test_yaml_that_is_no_cassette(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(errors.CorruptFile, match=r"one\.yaml") as caught:
        load(path)
    assert caught.value.suggestion
    assert len(str(caught.value)) < 1_000
    assert problems(path)
    assert cassettes(tmp_path)["error"].iloc[0]


DAMAGED = {
    "no status": document(response__status={}),
    "status of text": document(response__status__code="many"),
    "status without end": document(response__status__code=float("inf")),
    "status without size": document(response__status__code=10**30),
    "no headers": document(response__headers=None),
    "headers in headers": document(response__headers={"Date": [["deep"]]}),
    "no body": document(response__body=None),
    "body of numbers": document(response__body__string=7),
    "url of numbers": document(request__uri=5),
    "url of nothing": document(request__uri="http://["),
    "encoded otherwise": document(response__headers={"Content-Encoding": ["br"]}, response__body__string=b"\0"),
    "encoded not at all": document(response__headers={"Content-Encoding": ["gzip"]}, response__body__string="[]"),
    "notes of text": {**document(), "metadata": {"upbit_frames": "hello"}},
    "now of text": document(now="yesterday"),
    "now of the year 1": document(now="0001-01-01T00:00:00+09:00"),
    "now of the year 9999": document(now="9999-12-31T23:59:59-12:00"),
    "now of a list": document(now=[1]),
    "origin of a list": document(origin=["stand-in"]),
    "region of a mapping": document(region={"a": 1}),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_cassettes_with_damage(tmp_path: Path, content: Any) -> None:
    path = written(tmp_path, content)
    with pytest.raises(errors.CorruptFile, match=r"one\.yaml"):
        load(path)
    with uf.using(cassette_dir=tmp_path), pytest.raises(errors.CorruptFile), uf.cassette("one", mode="none"):
        raise AssertionError("entered")
    assert cassettes(tmp_path)["error"].iloc[0]


def test_aliases_that_repeat_little_are_read():
    assert plain_yaml("a: &a [1, 2]\nb: [*a, *a]\n") == {"a": [1, 2], "b": [[1, 2], [1, 2]]}


def test_bodies_are_inflated_within_bounds(tmp_path: Path) -> None:
    zeros = bytes(MAX_BODY + 1)
    for name, packed in (("gzip", gzip.compress(zeros)), ("deflate", zlib.compress(zeros))):
        content = document(response__headers={"Content-Encoding": [name]}, response__body__string=packed)
        with pytest.raises(errors.CorruptFile, match="decompresses to more than"):
            load(written(tmp_path, content))
    twice = gzip.compress(gzip.compress(b"[]"))
    content = document(response__headers={"Content-Encoding": ["gzip, gzip"]}, response__body__string=twice)
    found, _ = load(written(tmp_path, content))
    assert (found[0].body, found[0].headers) == (b"[]", {})
    with pytest.raises(MalformedFile):
        inflate(b"", ["gzip"] * 4)


def in_little_memory(body: str, *arguments: object, megabytes: int = 1_500) -> str:
    """What a process with that much memory prints at last."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(body), *map(str, arguments)],
        capture_output=True, text=True, timeout=150,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20)),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2_000:]
    return done.stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="bounds the memory of a process")
@pytest.mark.parametrize("lines", ["one", "many"])
def test_a_tape_that_inflates_to_a_gigabyte(tmp_path: Path, lines: str) -> None:
    path = tmp_path / "big.jsonl.gz"
    part = b" " * (1 << 20) if lines == "one" else b'{"at":1,"open":1}\n' * 58_255
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b'{"tape":1}\n')
        for _ in range(1_000):
            file.write(part)
    told = in_little_memory(
        """
        import sys, pathlib
        from upbit_frames import errors
        from upbit_frames.replay.loaded_tape import LoadedTape
        try:
            LoadedTape(pathlib.Path(sys.argv[1]))
        except errors.CorruptFile as wrong:
            print(wrong.message)
        """,
        path,
    )
    assert "more than" in told


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="makes a fifo")
def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "one.yaml")
    os.mkfifo(tmp_path / "two.jsonl.gz")
    with pytest.raises(errors.CorruptFile, match="not a regular file"):
        load(tmp_path / "one.yaml")
    with pytest.raises(errors.CorruptFile, match="not a regular file"):
        LoadedTape(tmp_path / "two.jsonl.gz")
    assert cassettes(tmp_path)["error"].map(bool).all()
    with uf.using(cassette_dir=tmp_path):
        for name in ("one", "two"):
            with pytest.raises(errors.CorruptFile), uf.cassette(name):
                raise AssertionError("entered")


def test_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").mkdir()
    with uf.using(cassette_dir=tmp_path), pytest.raises(errors.CorruptFile), uf.cassette("one", mode="none"):
        raise AssertionError("entered")


def test_moments_on_a_tape_that_no_clock_shows(tmp_path: Path) -> None:
    path = tmp_path / "far.jsonl.gz"
    for line in ({"at": 10**40, "open": 1}, {"at": -1, "open": 1}, {"at": 1, "open": 1, "offset": 10**30}):
        path.write_bytes(gzip.compress(b'{"tape":1}\n' + json.dumps(line).encode() + b"\n"))
        with pytest.raises(errors.CorruptFile):
            LoadedTape(path)


def test_a_name_too_long_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(errors.QueryError, match=r"at most.*got 300"):
        cassette_path(tmp_path, "é" * 150)
    save(cassette_path(tmp_path, "é" * 90), [], {})
    assert (tmp_path / f"{'é' * 90}.yaml").exists()


def test_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with uf.using(cassette_dir=tmp_path / "a"), pytest.raises(errors.StoreError, match="cassette_dir"):
        uf.cassette("one", mode="none").__enter__()
