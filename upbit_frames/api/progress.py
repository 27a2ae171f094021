"""A progress bar for long calls, drawn in the caller's thread."""

from __future__ import annotations

import os
import sys
import time
import warnings
from typing import Any

from upbit_frames.core.text import counted
from upbit_frames.runtime.progress import Progress

__all__ = ["CollectProgressBar", "ProgressBar"]

MIN_SECONDS = 1.5  # seconds still to go before a bar appears by itself
REQUESTS_PER_SECOND = 10


class ProgressBar:
    """Follows a :class:`Progress`; appears only in interactive use, and where the work takes a while.

    Parameters
    ----------
    meter : Progress
    mode : bool or "auto"
        True: always; False: never; "auto": on a terminal or in a notebook, for long work.
    """

    def __init__(self, meter: Progress, mode: bool | str, title: str) -> None:
        self._meter = meter
        self._title = title
        self._bar: Any = None
        self._wanted = bool(mode) and (mode is True or _is_interactive())
        self._always = mode is True
        self._started = time.monotonic()

    @property
    def wanted(self) -> bool:
        """Whether calling :meth:`tick` can ever show anything."""
        return self._wanted

    def tick(self) -> None:
        """Bring the bar up to date, or decide that it is time to show it."""
        if not self._wanted:
            return
        meter = self._meter
        left = max(0, meter.expected - meter.requests) / REQUESTS_PER_SECOND
        if self._bar is None:
            if not self._always and left < MIN_SECONDS:
                return
            self._bar = _tqdm(self._title, max(meter.expected, 1))
        if meter.expected > self._bar.total:
            self._bar.total = meter.expected
        self._bar.n = min(meter.requests, self._bar.total)
        note = counted(meter.rows, "row")
        self._bar.set_postfix_str(f"{note} | {meter.hint}" if meter.hint else note, refresh=True)

    def close(self, *, finished: bool = True) -> None:
        """Leave the bar as it ended."""
        if self._bar is not None:
            if finished:  # thin markets need fewer requests than there are windows
                self._bar.total = self._bar.n = max(self._meter.requests, 1)
            self._bar.refresh()
            self._bar.close()
            self._bar = None


class CollectProgressBar:
    """Shows how far a stream that is being collected has come, by time or by rows.

    Parameters
    ----------
    seconds, count : float, int, optional
        When it is enough.
    mode : bool or "auto"
        As for :class:`ProgressBar`.
    title : str
    """

    def __init__(self, seconds: float | None, count: int | None, mode: bool | str, title: str) -> None:
        self._seconds = seconds
        self._count = count
        self._title = title
        self._bar: Any = None
        self._started = time.monotonic()
        self.wanted = bool(mode) and (mode is True or _is_interactive())
        self._after = 0.0 if mode is True else MIN_SECONDS
        if seconds is not None and count is None and mode is not True:
            self.wanted = self.wanted and seconds > MIN_SECONDS

    def tick(self, rows: int) -> None:
        """Bring the bar up to date; it appears where it takes a while."""
        passed = time.monotonic() - self._started
        if self._bar is None:
            if passed < self._after:
                return
            by_rows = self._seconds is None
            total = self._count if self._seconds is None else round(self._seconds)
            self._bar = _tqdm(self._title, max(total or 1, 1), "row" if by_rows else "s")
        done = rows if self._seconds is None else int(passed)
        self._bar.n = min(done, self._bar.total)
        self._bar.set_postfix_str(counted(rows, "row"), refresh=True)

    def close(self) -> None:
        """Leave the bar as it ended."""
        if self._bar is not None:
            self._bar.refresh()
            self._bar.close()
            self._bar = None


def _is_interactive() -> bool:
    if os.environ.get("CI") or os.environ.get("PYTEST_CURRENT_TEST"):
        return False
    return sys.stderr.isatty() or in_notebook()


def in_notebook() -> bool:
    """Whether this runs in a Jupyter kernel."""
    ipython = sys.modules.get("IPython")
    if ipython is None:
        return False
    shell = ipython.get_ipython()
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"


class _OutputBar:
    """A line in a notebook's output that is replaced by the next one, so that only the last is saved.

    Without ipywidgets a text bar would write a new line into the output ten times a second.
    """

    def __init__(self, title: str, total: int, unit: str) -> None:
        self.total, self.n = total, 0
        self._title, self._note = title, ""
        self._unit = {"req": "request", "s": "second"}.get(unit, unit)
        self._handle: Any = None
        self._due = 0.0

    def set_postfix_str(self, text: str, *, refresh: bool = True) -> None:
        """Take the note; show it where the last one is a second old."""
        self._note = text
        if refresh and time.monotonic() >= self._due:
            self.refresh()

    def refresh(self) -> None:
        """Replace the line."""
        from IPython.display import display

        share = f"{self.n / max(1, self.total):.0%}"
        text = {"text/plain": f"{self._title}: {share} {self.n:,}/{counted(self.total, self._unit)}, {self._note}"}
        if self._handle is None:
            self._handle = display(text, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(text, raw=True)
        self._due = time.monotonic() + 1.0

    def close(self) -> None:
        """Leave the line as it is."""


def _tqdm(title: str, total: int, unit: str = "req") -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm.auto warns where ipywidgets is missing
        if in_notebook():
            try:
                import ipywidgets  # noqa: F401
                from tqdm.notebook import tqdm
            except ImportError:
                return _OutputBar(title, total, unit)
        else:
            from tqdm.std import tqdm
    return tqdm(total=total, desc=title, unit=unit, leave=True, dynamic_ncols=True)
