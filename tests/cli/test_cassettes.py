"""``upbit-frames cassette …``."""

from __future__ import annotations

from pathlib import Path

import pytest

import upbit_frames as uf
from upbit_frames.cli.main import main
from upbit_frames.testing import Exchange


@pytest.fixture
def tape(recording: Exchange, folder: Path) -> Path:
    with uf.cassette("sub/one"):
        uf.candles("KRW-BTC", "1d", count=3)
        uf.ticker("KRW-BTC")
    return folder / "sub" / "one.yaml"


def test_ls_and_check(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cassette", "ls"]) == 0
    out = capsys.readouterr().out
    assert "sub/one" in out
    assert "stand-in" in out
    assert main(["cassette", "check"]) == 0
    tape.write_text(
        tape.read_text().replace("- application/json\n", "- application/json\n      Cookie:\n      - a=b\n", 1)
    )
    assert main(["cassette", "check", "sub/one"]) == 1
    assert "header Cookie" in capsys.readouterr().out
    tape.write_text("{")
    assert main(["cassette", "check"]) == 1
    assert main(["cassette", "ls"]) == 0


def test_record_only_if_meant(tape: Path, recording: Exchange, capsys: pytest.CaptureFixture[str]) -> None:
    before = tape.read_bytes()
    recording.requests.clear()
    assert main(["cassette", "record"]) == 2
    assert "--live" in capsys.readouterr().err
    assert recording.requests == []
    assert main(["cassette", "record", "--live"]) == 0
    assert len(recording.requests) == 2
    assert tape.read_bytes() == before  # the exchange's clock stands still, so it says the same


@pytest.mark.parametrize("action", [["check"], ["rm"], ["record", "--live"]])
def test_names_that_are_refused(tape: Path, action: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cassette", *action, "../sub/one"]) == 2
    assert main(["cassette", *action, "absent"]) == 2
    assert tape.exists()
    assert "cassette" in capsys.readouterr().err


def test_rm(tape: Path) -> None:
    assert main(["cassette", "rm", "sub/one"]) == 0
    assert not tape.exists()
