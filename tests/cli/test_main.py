"""The command line against the stand-in exchange: what it prints, writes, and how it fails."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from upbit_frames.cli.main import main
from upbit_frames.cli.tables import table_text
from upbit_frames.core.text import amount
from upbit_frames.testing import Exchange


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    with Exchange(seed=7, now="2026-03-01T00:00:30Z") as running:
        yield running


@pytest.fixture(autouse=True)
def _settings(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPBIT_FRAMES_REST_URL", exchange.rest_url)
    monkeypatch.setenv("UPBIT_FRAMES_ARCHIVE_URL", exchange.archive_url)
    monkeypatch.setenv("UPBIT_FRAMES_ARCHIVE_LISTING_URL", exchange.archive_listing_url)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(list(words))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_candles_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "candles", "KRW-BTC", "1h", "--start", "2026-02-28", "--end", "2026-02-28 05:00")
    assert code == 0
    assert "2026-02-28 04:00:00+00:00" in out
    assert "5 rows" in out


@pytest.mark.parametrize("ending", ["parquet", "csv", "feather", "json"])
def test_candles_are_written(capsys: pytest.CaptureFixture[str], tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"x.{ending}"
    code, _, _ = run(capsys, "candles", "KRW-BTC", "1h", "--count", "7", "-o", str(out))
    assert code == 0
    readers = {
        "parquet": pd.read_parquet, "csv": pd.read_csv, "feather": pd.read_feather,
        "json": lambda path: pd.read_json(path, lines=True),
    }  # fmt: skip
    assert len(readers[ending](out)) == 7
    assert list(tmp_path.glob(".*")) == []


def test_an_unknown_ending_is_refused_and_nothing_left(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, err = run(capsys, "candles", "KRW-BTC", "1h", "--count", "7", "-o", str(tmp_path / "x.xls"))
    assert code == 2
    assert ".parquet" in err
    assert list(tmp_path.glob("x*")) == []


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "trades", "KRW-BTC", "--count", "3", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert len(rows) == 3
    assert all(isinstance(row["sequential_id"], int) and row["sequential_id"] > 2**53 for row in rows)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("candles", "KRW_BTC", "1m"), 2, "InvalidMarket"),
        (("candles", "KRW-BTC", "7m"), 2, "InvalidInterval"),
        (("candles", "KRW-BTC", "1d", "--base", "Seoul"), 2, "QueryError"),
        (("candles", "KRW-BTC", "1m", "--start", "soon"), 2, "InvalidRange"),
        (("candles", "KRW-BTC", "1m", "--tz", "Seoul"), 2, "ConfigError"),
        (("candles", "KRW-NOPE", "1m"), 2, "MarketNotFound"),
        (("candles", "KRW-BTC", "1m", "--source", "cache"), 3, "NotCached"),
        (("ticker", "KRW-BTC", "KRW-NOPE"), 2, "KRW-NOPE"),
        (("cassette", "check", "none-such"), 2, "QueryError"),
    ],
)
def test_errors_are_one_line_with_a_code(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, text: str
) -> None:
    got, out, err = run(capsys, *words)
    assert (got, out) == (code, "")
    assert text in err
    assert "Traceback" not in err
    assert len(err.splitlines()) == 1


def test_plan_asks_nothing(capsys: pytest.CaptureFixture[str], exchange: Exchange) -> None:
    before = len(exchange.requests)
    code, out, _ = run(capsys, "plan", "KRW-BTC", "1m", "--start", "2026-01-01", "--end", "2026-02-01")
    assert code == 0
    assert "requests" in out
    assert "configure(archive=True)" in out
    assert len(exchange.requests) == before


def test_the_store_is_listed_checked_and_cleared(capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "candles", "KRW-BTC", "1h", "--count", "30")
    assert "30 rows" in run(capsys, "cache", "ls")[1]
    assert "2026-03-01 00:00:00+00:00" in run(capsys, "cache", "coverage", "KRW-BTC", "1h")[1]
    assert run(capsys, "cache", "verify")[:2] == (0, "every file is sound\n")
    assert run(capsys, "cache", "prune", "--max-mb", "100")[0] == 0
    assert run(capsys, "cache", "clear", "KRW-BTC")[0] == 0
    assert "0 series" in run(capsys, "cache", "ls")[1]


def test_quotes(capsys: pytest.CaptureFixture[str]) -> None:
    assert "KRW-BTC" in run(capsys, "markets", "KRW")[1]
    assert "BTC-ETH" not in run(capsys, "ticker", "--quote", "KRW")[1]
    assert "2 rows" in run(capsys, "orderbook", "KRW-BTC", "--depth", "2")[1]


def test_download_goes_on_past_a_failing_market(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "download", "KRW-BTC", "KRW-NOPE", "1d", "--start", "2026-02-01")
    assert code == 1
    assert "MarketNotFound" in out
    assert "28" in out


def test_config_and_doctor(capsys: pytest.CaptureFixture[str], exchange: Exchange) -> None:
    assert exchange.rest_url in run(capsys, "config")[1]
    code, out, _ = run(capsys, "doctor")
    assert code == 1  # the stand-in's clock is months behind the machine's, and that is worth saying
    assert "this machine is" in out
    assert run(capsys, "doctor", "--offline")[0] == 0


def in_a_process(*words: str, **options: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "upbit_frames.cli.main", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def test_a_locale_without_the_letters_is_no_error() -> None:
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    process = in_a_process("markets", "KRW", env={**os.environ, **plain})
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, b"")
    assert b"KRW-BTC" in out
    assert b"???" in out


def test_a_reader_that_has_gone_is_no_error() -> None:
    process = in_a_process("markets")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=120) == 141
    process.stderr.close()


def test_without_an_output_a_command_still_runs() -> None:
    with contextlib.redirect_stdout(None):
        assert main(["config"]) == 0


def test_amounts_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "ticker", "KRW-BTC")
    assert code == 0
    assert "e+" not in out
    assert ",000" in out
    assert "1 row" in out.splitlines()
    out = run(capsys, "orderbook", "KRW-BTC", "--depth", "2")[1]
    assert "grouping" not in out
    assert "seq " not in run(capsys, "trades", "KRW-BTC", "--count", "3")[1].splitlines()[0]


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.458408e12, "1,458,408,000,000"), (0.00000001, "0.00000001"), (103460000.0, "103,460,000"), (-0.5, "-0.5"),
     (float("nan"), "NaN"), (35727836.90288629, "35,727,836.90288629"), (0.0, "0")],
)  # fmt: skip
def test_an_amount_has_separators_and_no_exponent(value: float, text: str) -> None:
    assert amount(value) == text


def test_a_table_is_no_wider_than_the_terminal() -> None:
    frame = pd.DataFrame({f"column_{i}": [1.5e9, 2.0] for i in range(12)} | {"empty": [None, None]})
    text = table_text(frame, 80)
    assert max(map(len, text.splitlines()[:-1])) <= 80
    assert "column_0" in text
    assert text.splitlines()[-1].startswith("not shown: column_")
    assert "empty" not in text
    assert "not shown" not in table_text(frame, 1000)


def test_demo(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    chart = tmp_path / "chart.png"
    code, out, _ = run(capsys, "demo", "-o", str(chart))
    assert code == 0
    assert "672 rows" in out
    assert "0 requests" in out
    assert chart.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("group", ["cache", "cassette"])
def test_a_group_without_an_action_prints_its_help(capsys: pytest.CaptureFixture[str], group: str) -> None:
    code, out, err = run(capsys, group)
    assert (code, err) == (0, "")
    assert f"usage: upbit-frames {group}" in out


def test_an_empty_cassette_folder_is_a_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(capsys, "cassette", "--dir", str(tmp_path), "ls")[:2] == (0, f"no cassettes in {tmp_path}\n")
