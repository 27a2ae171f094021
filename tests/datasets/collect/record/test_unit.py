"""``upbit-frames record --systemd`` prints a unit that starts the same recording."""

from __future__ import annotations

import pytest

from upbit_frames.cli.main import main


def test_the_unit_starts_the_same_recording(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["record", "KRW-BTC", "KRW-ETH", "--kinds", "orderbook", "--every", "1s", "--systemd"]) == 0
    lines = capsys.readouterr().out.splitlines()
    command = next(line for line in lines if line.startswith("ExecStart="))
    assert command.endswith('"record" "KRW-BTC" "KRW-ETH" "--kinds" "orderbook" "--every" "1s"')
    assert any(line.startswith('Environment="UPBIT_FRAMES_CACHE_DIR=') for line in lines)
    assert "Restart=always" in lines
