"""``upbit-frames update`` against the stand-in exchange."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.pauses import instant_retries

from upbit_frames.cli.main import main
from upbit_frames.testing import Exchange


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    with Exchange(seed=7, now="2026-03-01T00:00:30Z", limits=False) as running:
        yield running


@pytest.fixture(autouse=True)
def _settings(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("UPBIT_FRAMES_REST_URL", exchange.rest_url)
    with instant_retries():
        yield


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(list(words))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_update(capsys: pytest.CaptureFixture[str], exchange: Exchange) -> None:
    assert run(capsys, "candles", "KRW-BTC", "1h", "--start", "2026-02-27", "--end", "2026-02-28")[0] == 0
    exchange.faults.add("503", match="/candles/", times=None)
    code, out, _ = run(capsys, "update", "--quote", "KRW")
    exchange.faults.clear()
    assert code == 1
    assert out.startswith("1 series: 1 failed; ")
    code, out, _ = run(capsys, "update", "--all")
    assert code == 0
    assert out.startswith("1 series: 1 updated; 24 new rows, ")
    assert run(capsys, "update", "KRW", "--interval", "1h")[1].startswith("1 series: 1 current; 0 new rows, 0 requests")
    code, _, error = run(capsys, "update")
    assert code == 2
    assert "--all" in error


def test_universe(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "markets")[0] == 0
    code, out, _ = run(capsys, "universe", "--quote", "KRW")
    assert code == 0
    assert out.startswith("1 list from 2026-03-01 to 2026-03-01\n2026-03-01 by the list of ")
    assert "KRW-BTC" in out
    code, out, _ = run(capsys, "universe", "--at", "2026-02-01", "--json")
    assert code == 0
    assert all('"state":"not known"' in line for line in out.splitlines())


def test_quality(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "candles", "KRW-ELF", "1h", "--start", "2026-02-20", "--end", "2026-02-22")[0] == 0
    code, out, _ = run(capsys, "quality", "KRW-ELF", "1h", "--start", "2026-02-20", "--end", "2026-02-22")
    assert code == 0
    assert out.startswith("1 series: nothing looks wrong\ncandles KRW-ELF 1h, 2026-02-20 to 2026-02-22 00:00: traded ")
    words = ["quality", "KRW-ELF", "1h", "--start", "2026-02-20", "--end", "2026-02-23"]
    code, out, _ = run(capsys, *words)
    assert code == 1
    assert "unknown" in out
    assert run(capsys, *words, "--errors-only")[0] == 0
    code, out, _ = run(capsys, *words, "--json")
    assert code == 1
    assert any('"cause":"unknown"' in line for line in out.splitlines())


def test_catalog(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(capsys, "candles", "KRW-XRP", "1h", "--start", "2026-02-20", "--end", "2026-02-22")[0] == 0
    code, out, _ = run(capsys, "catalog")
    assert code == 0
    assert out.startswith("1 series, 48 rows, ")
    code, out, _ = run(capsys, "catalog", "--quote", "KRW", "--html", str(tmp_path / "c.html"))
    assert code == 0
    assert "KRW-XRP" in (tmp_path / "c.html").read_text(encoding="utf-8")


def test_cron(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "update", "--quote", "KRW", "--interval", "1m", "--cron")
    assert code == 0
    minute, *stars = out.split()[:5]
    assert minute.isdigit()
    assert stars == ["*"] * 4
    words = shlex.split(out)[5:]
    assert words[0].startswith("UPBIT_FRAMES_CACHE_DIR=")
    assert words[-5:] == ["update", "--quote", "KRW", "--interval", "1m"]
