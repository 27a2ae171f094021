"""The user's line that led to what the package is doing, for warnings."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import sys
import threading
import warnings
from pathlib import Path
from types import FrameType

from upbit_frames.errors import UpbitFramesWarning

__all__ = ["calling_frame", "warn"]

_SKIPPED = (
    str(Path(__file__).resolve().parents[1]),  # the package itself
    *(module.__path__[0] for module in (asyncio, concurrent.futures)),
    contextlib.__file__,
    threading.__file__,
)


def calling_frame() -> FrameType | None:
    """Return the innermost frame outside this package; None in a thread that runs only its code.

    Frames of ``asyncio``, ``contextlib``, ``threading`` and ``concurrent.futures`` are skipped too, because the
    package runs through them.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_SKIPPED):
        frame = frame.f_back
    return frame


def warn(message: str, category: type[Warning] = UpbitFramesWarning) -> None:
    """Issue a warning at the line that called this package, however deep inside it this is.

    Parameters
    ----------
    message : str
    category : type, optional
    """
    frame = calling_frame()
    if frame is None:
        warnings.warn(message, category, stacklevel=2)
        return
    warnings.warn_explicit(
        message,
        category,
        frame.f_code.co_filename,
        frame.f_lineno,
        module=str(frame.f_globals.get("__name__", "<unknown>")),
        registry=frame.f_globals.setdefault("__warningregistry__", {}),
    )
