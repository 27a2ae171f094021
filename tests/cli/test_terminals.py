"""The commands in any locale: a letter that its encoding lacks is no error, and there is no colour."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from upbit_frames.testing import Exchange

COMMANDS = [
    ["candles", "KRW-BTC", "1d", "--count", "2"],
    ["candles", "비트코인", "1d", "--count", "2", "--format", "csv"],
    ["trades", "KRW-BTC", "--count", "2", "--format", "json"],
    ["plan", "KRW-BTC", "1m", "--start", "2026-02-01", "--end", "2026-02-03"],
    ["explain", "ticker", "KRW-BTC"],
    ["ticker", "KRW-BTC"],
    ["orderbook", "KRW-BTC", "--depth", "2"],
    ["markets", "KRW"],
    ["schema", "candles"],
    ["stream", "KRW-BTC", "--count", "1", "--format", "jsonl"],
    ["follow", "KRW-BTC", "1m", "--history", "3", "--count", "2", "--format", "csv"],
    ["download", "KRW-BTC", "1d", "--start", "2026-02-01", "--end", "2026-02-03"],
    ["update", "--all"],
    ["quality", "KRW-BTC", "1d"],
    ["catalog"],
    ["cache", "ls"],
    ["cassette", "ls"],
    ["check", "script.py"],
    ["config"],
]
_RUN_ALL = """
import json, sys
from upbit_frames.cli.main import main
for words in json.loads(sys.argv[1]):
    code = main(words)
    sys.stderr.write(f"code {code}: {ascii(words)}\\n")
"""


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    with Exchange(seed=7, now="2026-03-01T00:00:30Z", limits=False) as running:
        yield running


@pytest.fixture(autouse=True)
def _settings(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPBIT_FRAMES_REST_URL", exchange.rest_url)
    monkeypatch.setenv("UPBIT_FRAMES_WS_URL", exchange.ws_url)


@pytest.mark.parametrize(
    "env",
    [{"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
     {"PYTHONIOENCODING": "cp949", "NO_COLOR": "1", "COLUMNS": "60"}],
    ids=["ascii", "cp949"],
)  # fmt: skip
def test_every_command_runs_in_any_locale(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("import pyupbit\ndf = pyupbit.get_ohlcv('KRW-BTC')  # 비트코인\n", "utf-8")
    done = subprocess.run(
        [sys.executable, "-c", _RUN_ALL, json.dumps(COMMANDS)], env={**os.environ, **env}, cwd=tmp_path,
        capture_output=True, timeout=300, check=False,
    )  # fmt: skip
    told = done.stderr.decode("ascii" if "LC_ALL" in env else "cp949")
    assert "Error" not in told, told
    assert done.returncode == 0, told
    codes = [int(line.split()[1].rstrip(":")) for line in told.splitlines() if line.startswith("code ")]
    # What is stored of days has something that quality names; nothing else went wrong.
    assert [words[0] for words, code in zip(COMMANDS, codes, strict=True) if code] == ["quality"]
    assert b"\x1b[" not in done.stdout + done.stderr
