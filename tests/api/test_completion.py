"""What the Tab key offers in Jupyter: IPython's own completer, with jedi and without."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import upbit_frames as uf

interactive = pytest.importorskip("IPython.core.interactiveshell")
pytest.importorskip("jedi")

FRAME = """
import pandas as pd
times = pd.date_range("2026-01-01", periods=2, freq="h", tz="UTC", name="time")
df = pd.DataFrame({name: [1.0, 2.0] for name in ("open", "high", "low", "close", "volume", "value")}, index=times)
"""


@pytest.fixture(scope="module")
def shell() -> Iterator[Any]:
    shell = interactive.InteractiveShell.instance()
    shell.user_ns["uf"] = uf
    shell.run_cell(FRAME)
    yield shell
    interactive.InteractiveShell.clear_instance()


def offered(shell: Any, text: str, *, jedi: bool) -> set[str]:
    from IPython.core.completer import provisionalcompleter

    shell.Completer.use_jedi = jedi
    with provisionalcompleter():
        return {one.text.rpartition(".")[2] for one in shell.Completer.completions(text, len(text))}


@pytest.mark.parametrize("jedi", [True, False])
def test_methods_of_frames_are_offered(shell: Any, jedi: bool) -> None:
    methods = offered(shell, "df.uf.", jedi=jedi)
    assert {"plot", "chart", "resample", "gaps", "fill", "validate", "style", "meta"} <= methods
    assert methods == {name for name in dir(type(shell.user_ns["df"].uf)) if not name.startswith("_")}
    assert offered(shell, "df.uf.re", jedi=jedi) == {"resample", "returns"}


@pytest.mark.parametrize("jedi", [True, False])
def test_the_public_names_are_offered_and_no_others(shell: Any, jedi: bool) -> None:
    assert offered(shell, "uf.", jedi=jedi) == {name for name in uf.__all__ if not name.startswith("_")}
    assert offered(shell, "uf.cand", jedi=jedi) == {"candles"}
    assert offered(shell, "uf.aio.", jedi=jedi) == set(uf.aio.__all__)
