"""Resets after a fork run in the child only, in order."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import os
from upbit_frames.runtime.fork import on_fork

calls = []

@on_fork
def first():
    calls.append("first")

on_fork(lambda: calls.append("second"), before=lambda: calls.append("before"), in_parent=lambda: calls.append("parent"))
read, write = os.pipe()
child = os.fork()
if child == 0:
    os.write(write, " ".join(calls).encode())
    os._exit(0)
os.waitpid(child, 0)
print(os.read(read, 100).decode(), "|", " ".join(calls))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_resets_run_in_the_child() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", SCRIPT], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "before first second | before parent", done.stderr
