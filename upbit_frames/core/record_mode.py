"""Whether a run may record: the mode of cassettes, tapes and locks."""

from __future__ import annotations

import os

from upbit_frames.core.config import RECORD_MODES, current
from upbit_frames.errors import ConfigError

__all__ = ["record_mode"]


def record_mode(mode: str | None) -> str:
    """Return the mode of a recording: the argument, else the setting, else by whether this is a CI run."""
    chosen = mode or current().record or ("none" if _in_ci() else "once")
    if chosen not in RECORD_MODES:
        raise ConfigError(
            f"mode must be one of {', '.join(RECORD_MODES)}, got {mode!r}",
            suggestion="none only replays, once records where there is no file, new_episodes adds, all starts afresh",
        )
    return chosen


def _in_ci() -> bool:
    return os.environ.get("CI", "").strip().lower() not in ("", "0", "false", "no")
