"""The cassettes of the repository: what the command makes, small, honest and clean."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from upbit_frames.replay.cassette_file import load
from upbit_frames.replay.library import cassettes, problems
from upbit_frames.replay.loaded_tape import LoadedTape
from upbit_frames.testing.record import record

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "cassettes"
NAMES = sorted(path.name for path in FOLDER.glob("*.yaml"))
TAPES = sorted(path.name for path in FOLDER.glob("*.jsonl.gz"))


def without_version(path: Path) -> str:
    return re.sub(r"(?m)^    version: .*$", "", path.read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.timeout(400)  # every recorded notebook runs
@pytest.mark.filterwarnings("ignore")  # what the notebooks' own libraries warn of is not looked at here
def test_the_command_records_them_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = record(tmp_path, ROOT / "notebooks")
    assert sorted(path.name for path in made) == sorted([*NAMES, *TAPES])
    for path in made:
        if path.name in NAMES:  # byte for byte, but for the version of the package that wrote it
            assert without_version(path) == without_version(FOLDER / path.name), path.name
        else:  # the same trades, which have not arrived at the same moments
            ours, theirs = LoadedTape(path), LoadedTape(FOLDER / path.name)
            assert ours.streams() == theirs.streams()
            # A busy machine is told fewer of the states in between.
            assert ours.complete
            assert ours.frames > len(ours.streams())


def test_they_say_that_they_are_invented() -> None:
    listed = cassettes(FOLDER)
    assert len(listed) == len(NAMES) >= 6
    assert (listed["origin"] == "stand-in exchange (invented data)").all()
    assert (listed["error"] == "").all()
    assert listed["bytes"].max() < 1_000_000
    assert TAPES
    assert all((FOLDER / name).stat().st_size < 300_000 and LoadedTape(FOLDER / name).complete for name in TAPES)
    assert all(LoadedTape(FOLDER / name).header.origin == "stand-in" for name in TAPES)


@pytest.mark.parametrize("name", NAMES)
def test_they_are_clean(name: str) -> None:
    assert problems(FOLDER / name) == []
    interactions, facts = load(FOLDER / name)
    assert all("//stand-in.invalid/" in one.uri for one in interactions)
    assert facts["recorded_at"] == facts["now"]
    assert "127.0.0.1" not in (FOLDER / name).read_text(encoding="utf-8")
