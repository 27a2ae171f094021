"""Warnings of the drop-ins: attributed to the caller's line, once for each trap and call site."""

from __future__ import annotations

import warnings

from upbit_frames.errors import UpbitFramesWarning
from upbit_frames.runtime.caller import calling_frame

__all__ = ["CompatWarning", "warn_once"]

_REGISTRY = "__compat_warning_registry__"


class CompatWarning(UpbitFramesWarning):
    """A call that works as in the library it comes from, where that is a trap."""


def warn_once(trap: str, message: str) -> None:
    """Warn at the caller's line, unless it was warned of this trap before.

    Parameters
    ----------
    trap : str
        Short name of the trap; another trap at the same line warns too.
    message : str
        What the call does, and what to write instead. It may depend on the arguments: the same
        line with other arguments does not warn again.
    """
    frame = calling_frame()
    if frame is None:
        warnings.warn(message, CompatWarning, stacklevel=2)
        return
    # Kept where Python keeps its own registry of warnings: with the module that the line belongs to.
    known: set[object] = frame.f_globals.setdefault(_REGISTRY, set())
    site = (frame.f_code, frame.f_lineno, trap)
    if site in known:
        return
    known.add(site)
    warnings.warn_explicit(
        message, CompatWarning, frame.f_code.co_filename, frame.f_lineno,
        module=str(frame.f_globals.get("__name__", "<unknown>")),
    )  # fmt: skip
