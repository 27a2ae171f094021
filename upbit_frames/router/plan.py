"""What a call would do, as steps with a channel, a reason and a cost. No I/O."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from upbit_frames.core import html
from upbit_frames.core.intervals import Span
from upbit_frames.core.route import Step
from upbit_frames.core.text import counted, moment_text
from upbit_frames.errors import NotCached

__all__ = ["SHARED_SOURCES", "Plan", "PlanContext", "StoredEdge"]

SHARED_SOURCES = ("auto", "shared")  # of the calls that look into the shared store


@dataclass(frozen=True)
class PlanContext:
    """What a decision rests on beside the question and the coverage.

    Attributes
    ----------
    now : int
        The exchange's time, microseconds.
    rate : float
        Share of the request limit in use.
    published : bool
        Whether there is a published archive of this exchange.
    archive : bool
        Whether this call may use it.
    """

    now: int
    rate: float = 1.0
    published: bool = False
    archive: bool = False


@dataclass(frozen=True)
class StoredEdge:
    """What is stored at the end of a range whose last rows are wanted, or at its start.

    Attributes
    ----------
    rows : int
    span : Span
        The covered range; empty where none reaches the edge.
    first, last : int
        Times of the outermost rows; the edge itself where there are none.
    """

    rows: int
    span: Span
    first: int
    last: int


@dataclass(frozen=True)
class Plan:
    """What a call would do. Printing it shows a table; no request was sent.

    Attributes
    ----------
    steps : tuple of Step
    hint : str
        What would make it cheaper, if anything.
    error : NotCached or None
        What the call would raise, because ``source="store"`` may not fetch what is missing.
    tz : str
        Zone in which printing shows times.
    """

    steps: tuple[Step, ...] = field(default_factory=tuple)
    hint: str = ""
    error: NotCached | None = field(default=None, compare=False)
    tz: str = field(default="UTC", compare=False)

    @property
    def requests(self) -> int:
        """HTTP requests in all (at most: a market that trades seldom needs fewer)."""
        return sum(step.requests for step in self.steps)

    @property
    def rows(self) -> int:
        """Rows in all (at most: periods without a trade have none)."""
        return sum(step.rows for step in self.steps)

    @property
    def bytes(self) -> int:
        """Bytes on the wire, estimated."""
        return sum(step.bytes for step in self.steps)

    @property
    def seconds(self) -> float:
        """Seconds at the allowed request rate, estimated."""
        return sum(step.seconds for step in self.steps)

    def to_frame(self) -> Any:
        """The steps as a pandas DataFrame with aware UTC times."""
        import pandas as pd

        frame = pd.DataFrame([asdict(step) for step in self.steps], columns=list(Step.__dataclass_fields__))
        for name in ("start", "end"):
            frame[name] = pd.to_datetime(frame[name].astype("int64"), unit="us", utc=True)
        return frame

    def _total(self) -> str:
        return (
            f"{counted(self.requests, 'request')}, about {self.seconds:,.1f} s and {self.bytes / 1e6:,.1f} MB, "
            f"at most {counted(self.rows, 'row')}"
        )

    def __repr__(self) -> str:
        lines = [f"Plan: {self._total()}"]
        lines += [
            f"  {step.market:<12} {step.channel:<8} {start} → {end}  "
            f"{counted(step.requests, 'request', 6)}  {step.reason}"
            for step, start, end in self._steps_with_times()
        ]
        if self.error is not None:
            lines.append(f"  Raises NotCached: {self.error.message}")
        return "\n".join([*lines, *([f"  Hint: {self.hint}"] if self.hint else [])])

    def _repr_html_(self) -> str:
        rows = [
            (step.market, step.channel, start, end, step.requests, step.reason)
            for step, start, end in self._steps_with_times()
        ]
        raises = "" if self.error is None else f"Raises NotCached: {self.error.message}"
        steps = html.table(("market", "channel", "start", "end", "requests", "reason"), rows, unit="step")
        return html.paragraph(self._total()) + steps + html.paragraph(raises) + html.paragraph(self.hint)

    def _steps_with_times(self) -> list[tuple[Step, str, str]]:
        return [(step, moment_text(step.start, self.tz), moment_text(step.end, self.tz)) for step in self.steps]
