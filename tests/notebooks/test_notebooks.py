"""Every notebook runs from a clean kernel without a network, and says what it said when it was committed."""

from __future__ import annotations

import copy
import re
import warnings
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb")) + sorted((ROOT / "notebooks").glob("*/*.ipynb"))

# Runs before the first cell: whatever leaves this machine is an error, not a request.
GUARD = """
import socket

_connect = socket.socket.connect

def _refuse(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise AssertionError(f"the notebook tried to reach {address!r}")
    return _connect(self, address)

socket.socket.connect = _refuse
"""


def texts(cell: Any) -> list[str]:
    """What a cell printed or showed, without pictures; how a kernel cuts a stream into pieces depends on its load."""
    found: list[str] = []
    stream = ""
    for output in cell.get("outputs", []):
        if output["output_type"] == "stream":
            if stream == output["name"]:
                found[-1] += output["text"]
            else:
                found.append(output["text"])
            stream = output["name"]
            continue
        stream = ""
        if output["output_type"] == "error":
            found.append(output["evalue"])
        elif "application/vnd.jupyter.widget-view+json" not in output["data"]:  # progress bars, where ipywidgets is installed
            found += sorted(text for kind, text in output["data"].items() if kind.startswith("text/"))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.relative_to(ROOT / "notebooks").with_suffix("").as_posix())
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::RuntimeWarning")
def test_notebook_runs_and_says_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("CI", "true")
    committed = nbformat.read(path, as_version=4)
    book = copy.deepcopy(committed)
    book.cells.insert(0, nbformat.v4.new_code_cell(GUARD))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        NotebookClient(book, timeout=120, resources={"metadata": {"path": str(path.parent)}}).execute()
    for old, new in zip(committed.cells, book.cells[1:], strict=True):
        if old.cell_type == "code":
            assert texts(new) == texts(old), "".join(old.source)


def test_there_are_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS][:6] == [
        "01_quickstart", "02_ranges_gaps_timezones", "03_cache_and_offline", "04_replay_and_tests", "05_backtest",
        "06_live",
    ]  # fmt: skip


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.relative_to(ROOT / "notebooks").with_suffix("").as_posix())
def test_notebooks_are_clean(path: Path) -> None:
    import nbformat

    text = path.read_text(encoding="utf-8")
    assert len(text) < 600_000
    assert not re.search(r"/(root|home|tmp)/", text)  # paths of whoever ran them
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    assert any(cell.get("outputs") for cell in book.cells if cell.cell_type == "code")
