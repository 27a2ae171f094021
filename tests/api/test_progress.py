"""Progress in a notebook without ipywidgets: one line that is replaced, in a real kernel."""

from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient

CELL = """
import sys, types
sys.modules["ipywidgets"] = None
from upbit_frames.api import progress
from upbit_frames.api.progress import ProgressBar
from upbit_frames.runtime.progress import Progress
moments = iter(range(1000))
progress.time = types.SimpleNamespace(monotonic=lambda: next(moments) / 10)
meter = Progress(expected=100)
bar = ProgressBar(meter, True, "KRW-BTC 1m")
for i in range(100):
    meter.requests, meter.rows = i + 1, 200 * (i + 1)
    bar.tick()
bar.close()
"""


@pytest.mark.slow
def test_only_the_last_state_is_saved() -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    (output,) = notebook.cells[0].outputs
    assert output.output_type == "display_data"
    assert output.data["text/plain"] == "KRW-BTC 1m: 100% 100/100 requests, 20,000 rows"
