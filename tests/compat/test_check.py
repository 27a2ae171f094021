"""The checker finds what was planted, nothing in clean code, and says so as it promises."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from compat.snippets import CLEAN, HEAD, PLANTED

from upbit_frames.cli.main import main
from upbit_frames.compat.check import RULES, analyse


def found(source: str) -> set[tuple[str, int]]:
    return {(one.rule, one.line) for one in analyse(source)}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_findings_are_reported(name: str) -> None:
    code, expected = PLANTED[name]
    assert found(HEAD + code) == expected


def test_every_rule_has_a_snippet() -> None:
    assert {rule for _, expected in PLANTED.values() for rule, _ in expected} == set(RULES)
    assert len(RULES) == 20


@pytest.mark.parametrize("code", CLEAN)
def test_clean_code_has_no_findings(code: str) -> None:
    assert found(HEAD + code) == set()


@pytest.mark.parametrize(
    "head",
    [
        "import pyupbit as pb",
        "from upbit_frames.compat import pyupbit as pb",
        "import upbit_frames.compat.pyupbit as pb",
    ],
)
def test_names_are_resolved(head: str) -> None:
    assert found(f'{head}\nprint(pb.get_ohlcv("KRW-BTC")["close"])') == {("PYU201", 2)}


@pytest.mark.parametrize(
    "head",
    ["from pyupbit import get_ohlcv as f", "from pyupbit.quotation_api import get_ohlcv as f",
     "import pyupbit\nf = pyupbit.get_ohlcv", "from upbit_frames.compat.pyupbit import get_ohlcv as f"],
)  # fmt: skip
def test_functions_are_resolved(head: str) -> None:
    line = len(head.splitlines()) + 1
    assert found(f'{head}\nprint(f("KRW-BTC")["close"])') == {("PYU201", line)}
    star = "from pyupbit import *\nprint(get_ohlcv('KRW-BTC')['close'])"
    assert found(star) == {("PYU201", 2)}


def test_without_pyupbit_there_is_nothing_to_find() -> None:
    code = 'import pandas as pd\ndf = pd.read_csv("a")\nprint(df["close"][-1], df.resample("24H"))\n'
    assert analyse(code) == []
    assert analyse("def get_ohlcv(x): ...\nprint(get_ohlcv(1)['a'])\n") == []


# --- the command -----------------------------------------------------------------------------------------


def run(capsys: pytest.CaptureFixture[str], *args: Any) -> tuple[int, str, str]:
    code = main(["check", *map(str, args)])
    caught = capsys.readouterr()
    return code, caught.out, caught.err


def test_exit_codes_and_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clean, dirty, broken = tmp_path / "clean.py", tmp_path / "dirty.py", tmp_path / "broken.py"
    clean.write_text("import pyupbit\nprint(pyupbit.get_tickers())\n")
    dirty.write_text('import pyupbit\nif True:\n    print(pyupbit.get_ohlcv("KRW-BTC")["close"])\n')
    broken.write_text("print 'no'\n")
    assert run(capsys, clean) == (0, "", "")
    code, out, err = run(capsys, dirty, clean)
    assert (code, err) == (1, "")
    assert out.startswith(f"{dirty}:3:11: PYU201 ")
    code, out, err = run(capsys, broken, tmp_path / "missing.py", dirty)
    assert code == 2
    assert "broken.py" in err
    assert "missing.py" in err
    assert "PYU201" in out


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dirty = tmp_path / "dirty.py"
    dirty.write_text('import pyupbit\nprint(pyupbit.get_orderbook("KRW-BTC")[0])\n')
    code, out, _ = run(capsys, dirty, "--format", "json")
    (row,) = json.loads(out)
    assert code == 1
    assert (row["file"], row["cell"], row["line"], row["rule"], row["fixable"]) == (str(dirty), None, 2, "PYU203", True)
    assert row["before"].startswith("print(")
    assert row["after"]


@pytest.mark.parametrize(
    ("encoding", "line"), [("utf-8", ""), ("utf-8-sig", ""), ("cp949", "# -*- coding: cp949 -*-\r\n")]
)
def test_encodings_and_line_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str], encoding: str, line: str) -> None:
    file = tmp_path / "한글.py"
    text = f'{line}import pyupbit\r\n한글 = "호가"; print(한글, pyupbit.get_orderbook("KRW-BTC")[0])  # 첫째\r\n\r\n'
    file.write_bytes(text.encode(encoding))
    code, out, _ = run(capsys, file)
    assert code == 1
    assert f":{2 + bool(line)}:{text.splitlines()[-2].index('pyupbit.get') + 1}: PYU203" in out
    assert run(capsys, file, "--fix")[0] == 0
    assert file.read_bytes() == text.replace("[0]", "").encode(encoding)


def test_notebooks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "book.ipynb"
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# 제목\n"]},
        {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": ["%matplotlib inline\n", "import pyupbit\n", "import time"]},
        {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": "%%bash\necho hello"},
        {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": ["!ls\n", "files = !ls\n", 'book = pyupbit.get_orderbook("KRW-BTC")\n', "# 호가\n", "book[0]"]},
        {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": ["time.sleep(0.1)  # 쉬기\n", 'pyupbit.get_tickers?\n', 'print(pyupbit.get_tickers())']},
        {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": []},
    ]  # fmt: skip
    book = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    file.write_text(json.dumps(book, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    code, out, err = run(capsys, file)
    assert (code, err) == (1, "")
    places = [line.split(" PYU")[0] for line in out.splitlines()]
    assert places == [f"{file}:cell 4:5:1:", f"{file}:cell 5:1:1:"]
    code, out, _ = run(capsys, file, "--fix")
    assert (code, out) == (0, "")
    after = json.loads(file.read_text(encoding="utf-8"))
    assert after["cells"][0] == cells[0]
    assert "".join(after["cells"][1]["source"]).splitlines()[0] == "%matplotlib inline"
    assert after["cells"][2]["source"] == "%%bash\necho hello"
    assert after["cells"][3]["source"][-1] == "book"
    assert after["cells"][3]["source"][:4] == cells[3]["source"][:4]
    assert "".join(after["cells"][4]["source"]) == "# 쉬기\npyupbit.get_tickers?\nprint(pyupbit.get_tickers())"
    before = file.read_bytes()
    assert run(capsys, file, "--fix")[0] == 0
    assert file.read_bytes() == before
    (tmp_path / "bad.ipynb").write_text("{}")
    assert run(capsys, tmp_path / "bad.ipynb")[0] == 2


def test_without_libcst_checking_works_and_fixing_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "libcst", None)
    file = tmp_path / "dirty.py"
    text = 'import pyupbit\nprint(pyupbit.get_orderbook("KRW-BTC")[0])\n'
    file.write_text(text)
    assert run(capsys, file)[0] == 1
    code, out, err = run(capsys, file, "--fix")
    assert (code, out) == (2, "")
    assert "migrate" in err
    assert file.read_text() == text
