"""Warnings point at the line that called the package, whatever lies between."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from upbit_frames.errors import UpbitFramesWarning
from upbit_frames.runtime import event_loop
from upbit_frames.runtime.caller import warn
from upbit_frames.store.quarantine import announce


def here() -> int:
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno


def through_a_context() -> int:
    with contextlib.ExitStack() as stack:
        stack.callback(warn, "text")
        line = here() + 1
        stack.close()
    return line


def through_a_loop() -> int:
    async def work() -> int:
        warn("text")
        return here() - 1

    return asyncio.run(work())


def directly() -> int:
    warn("text")
    return here() - 1


@pytest.mark.parametrize("call", [directly, through_a_context, through_a_loop])
def test_it_points_at_the_calling_line(call: Callable[[], int]) -> None:
    with pytest.warns(UpbitFramesWarning, match="text") as caught:
        line = call()
    assert (caught[0].filename, caught[0].lineno) == (__file__, line)


def test_each_line_warns_once_by_default() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            warn("the same")
        warn("the same")
    assert len(caught) == 2


def test_a_thread_of_the_package_alone_has_no_calling_line() -> None:
    """Then the warning points into the package, not at the library whose thread it is."""
    with pytest.warns(UpbitFramesWarning, match="is damaged") as caught:
        event_loop.run(event_loop.in_thread, announce, "KRW-BTC", SimpleNamespace(span="a day"), "cut short", None)
    assert Path(caught[0].filename).name == "quarantine.py"
