"""An error in a notebook fits on a screen: the caller's lines, the message, what to do, and only then the details."""

from __future__ import annotations

import re

import pytest

from upbit_frames.errors import MarketNotFound

interactive = pytest.importorskip("IPython.core.interactiveshell")


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    shell = interactive.InteractiveShell.instance()
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    shell.run_line_magic("xmode", "Context")
    yield shell
    shell.run_line_magic("xmode", "Context")
    interactive.InteractiveShell.clear_instance()


def shown(shell, code: str, capsys: pytest.CaptureFixture[str]) -> list[str]:  # type: ignore[no-untyped-def]
    capsys.readouterr()
    shell.run_cell(code)
    out, err = capsys.readouterr()
    return re.sub(r"\x1b\[[0-9;]*m", "", out + err).rstrip("\n").splitlines()


def test_frames_of_this_package_are_hidden(shell, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    code = "import upbit_frames as uf\ndef study():\n    return uf.candles('KRW-BTC', '7x')\nstudy()"
    lines = shown(shell, code, capsys)
    text = "\n".join(lines)
    assert "study()" in text
    assert "upbit_frames/" not in text
    assert "InvalidInterval" in text
    assert "Suggestion:" in lines[-1]
    assert len(lines) < 20


def test_verbose_shows_everything(shell, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    shell.run_line_magic("xmode", "Verbose")
    text = "\n".join(shown(shell, "import upbit_frames as uf\nuf.candles('KRW-BTC', '7x')", capsys))
    assert "bar_grid.py" in text


def test_message_then_suggestion_then_details() -> None:
    error = MarketNotFound(
        "no KRW-X", suggestion="did you mean KRW-Y?", url="https://" + "x" * 80, status=404, lines=[]
    )
    text = str(error)
    assert text.startswith("no KRW-X. Suggestion: did you mean KRW-Y? [status=404, url=https://")
    assert "lines" not in text
