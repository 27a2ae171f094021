"""Formats, live commands and completion of the command line, through real processes against the stand-in exchange."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import upbit_frames as uf
from upbit_frames.cli.completion import SHELLS, script, words_of
from upbit_frames.cli.main import build_parser, main
from upbit_frames.cli.output import FORMATS
from upbit_frames.testing import Exchange

CANDLES = ("candles", "KRW-BTC", "1h", "--start", "2026-02-28", "--end", "2026-02-28 05:00")


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    with Exchange(seed=7, now="2026-03-01T00:00:30Z", limits=False) as running:
        yield running


@pytest.fixture(autouse=True)
def _settings(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPBIT_FRAMES_REST_URL", exchange.rest_url)
    monkeypatch.setenv("UPBIT_FRAMES_WS_URL", exchange.ws_url)


def command(*words: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    line = [sys.executable, "-m", "upbit_frames.cli.main", *words]
    return subprocess.run(line, capture_output=True, env={**os.environ, **variables}, timeout=150)


def test_every_format_has_the_same_rows() -> None:
    outputs = {}
    for name in FORMATS:
        done = command(*CANDLES, "--format", name)
        assert (done.returncode, done.stderr) == (0, b"")
        outputs[name] = done.stdout.decode()
    rows = list(csv.DictReader(io.StringIO(outputs["csv"], newline="")))
    lines = [json.loads(line) for line in outputs["jsonl"].splitlines()]
    assert json.loads(outputs["json"]) == lines
    assert [float(row["close"]) for row in rows] == [line["close"] for line in lines]
    assert len(rows) == 5
    assert list(rows[0]) == list(lines[0]) == ["time", "open", "high", "low", "close", "volume", "value"]
    assert outputs["table"].splitlines()[-1] == "5 rows"


def test_a_sheet_of_excel_is_written(tmp_path: Path) -> None:
    out = tmp_path / "btc.xlsx"
    assert command(*CANDLES, "-o", str(out)).returncode == 0
    assert len(pd.read_excel(out)) == 5
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".xlsx"] == ["btc.xlsx"]


def test_a_terminal_gets_no_colour_and_no_more_than_its_width() -> None:
    done = command("ticker", "KRW-BTC", COLUMNS="60", NO_COLOR="1")
    assert b"\x1b[" not in done.stdout + done.stderr
    lines = done.stdout.decode().splitlines()
    assert max(len(line) for line in lines if not line.startswith("not shown")) <= 60


def test_a_follow_gives_its_history_and_ends_at_count(exchange: Exchange) -> None:
    done = command("follow", "KRW-BTC", "1m", "--history", "5", "--count", "3", "--format", "csv")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout.decode(), newline="")))
    assert len(rows) == 3
    expected = uf.candles("KRW-BTC", "1m", count=5)
    assert [float(row["close"]) for row in rows] == expected["close"].head(3).tolist()


def test_an_endless_stream_is_printed_row_by_row_until_it_is_interrupted() -> None:
    line = [
        sys.executable,
        "-m",
        "upbit_frames.cli.main",
        "stream",
        "KRW-BTC",
        "--kind",
        "orderbook",
        "--format",
        "jsonl",
    ]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=150)
    assert first["market"] == "KRW-BTC"
    assert process.returncode == 130
    assert err.startswith(b"interrupted")


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("stream", "KRW-BTC", "-o", "x.csv"), 2, "--seconds or --count"),
        (("follow", "KRW-BTC", "1m", "-o", "x.csv"), 2, "--count"),
        (("follow", "KRW-BTC", "1m", "--count", "0"), 2, "at least 1"),
        (("follow", "KRW-BTC", "1w"), 2, "InvalidInterval"),
    ],
)
def test_live_commands_refuse(capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, text: str) -> None:
    assert main(list(words)) == code
    assert text in capsys.readouterr().err


def test_explain_and_schema(capsys: pytest.CaptureFixture[str], exchange: Exchange) -> None:
    before = len(exchange.requests)
    assert main(["explain", "candles", "KRW-BTC", "--interval", "1h", "--start", "2026-01-01"]) == 0
    assert "rest" in capsys.readouterr().out
    assert main(["explain", "ticker"]) == 0
    assert "every market in one request" in capsys.readouterr().out
    assert main(["explain", "candles"]) == 2
    assert "market" in capsys.readouterr().err
    assert main(["schema", "ticker", "--format", "csv"]) == 0
    assert "high_52w_date" in capsys.readouterr().out
    assert len(exchange.requests) == before


def test_metrics_of_another_process(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    uf.ticker("KRW-BTC")
    uf.metrics.to_json(tmp_path / "m.json")
    assert main(["metrics", str(tmp_path / "m.json"), "--format", "csv"]) == 0
    assert "ticker" in capsys.readouterr().out
    (tmp_path / "m.json").write_text("[]")
    assert main(["metrics", str(tmp_path / "m.json")]) == 2
    assert main(["metrics", str(tmp_path / "absent.json")]) == 1


def test_help_gives_defaults_and_choices(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        main(["candles", "--help"])
    text = capsys.readouterr().out
    assert "(default: raw)" in text
    assert "{table,csv,json,jsonl}" in text
    assert "default: None" not in text


def test_every_argument_has_a_help() -> None:
    lacking = [
        (" ".join(path), action.dest)
        for path, command_ in words_of(build_parser())
        for action in command_._actions
        if not action.help and action.dest not in ("help", "==SUPPRESS==")
    ]
    assert lacking == []


def complete(source: str, *words: str) -> list[str]:
    line = " ".join(f"'{word}'" for word in ("upbit-frames", *words))
    code = (
        f"{source}\nCOMP_WORDS=({line}); COMP_CWORD={len(words)}; _upbit_frames; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    bash = shutil.which("bash")
    assert bash is not None
    done = subprocess.run([bash, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="completed by bash itself")
def test_bash_completes() -> None:
    source = script(build_parser(), "bash")
    assert complete(source, "ca") == ["candles", "catalog", "cache", "cassette"]
    assert complete(source, "cache", "c") == ["coverage", "clear"]
    assert complete(source, "candles", "KRW-BTC", "1m", "--gaps", "") == ["raw", "fill", "nan"]
    assert complete(source, "schema", "tr") == ["trades"]
    assert "--format" in complete(source, "candles", "--")


@pytest.mark.parametrize("shell", SHELLS)
def test_scripts_name_every_command(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    assert main(["completion", shell]) == 0
    text = capsys.readouterr().out
    assert all(word in text for path, _ in words_of(build_parser()) for word in path)
