"""Why a channel serves a call: the result of ``uf.explain``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from upbit_frames.core import html
from upbit_frames.core.intervals import from_micros
from upbit_frames.core.route import FORCED, FORMING, OFFLINE, UNCACHED, UNSHARED
from upbit_frames.core.text import moment_text

if TYPE_CHECKING:
    import pandas as pd

    from upbit_frames.core.route import Step
    from upbit_frames.errors import NotCached

__all__ = ["ExplainedPart", "Explanation", "explain_error", "explain_step"]

COLUMNS = ("market", "channel", "rule", "reason", "requests", "start", "end", "instead")
NO_HISTORY = "a stream has no history"
# By channel that serves a range: why each of the other channels does not.
_ALTERNATIVES = {
    "store": {"rest": "it is stored already", "archive": "it is stored already", "live": NO_HISTORY},
    "rest": {"store": "not stored", "archive": "not published, or slower for so little", "live": NO_HISTORY},
    "archive": {"store": "not stored", "rest": "files are faster for so much", "live": NO_HISTORY},
    "shared": {
        "store": "not stored",
        "rest": "the shared store has it",
        "archive": "the shared store has it",
        "live": NO_HISTORY,
    },
    "derived": {
        "store": "derived candles are never stored",
        "rest": "it is aggregated from candles of another interval",
        "archive": "not published",
        "live": NO_HISTORY,
    },
    "none": {"store": "not stored", "rest": "not served any more", "archive": "not published", "live": NO_HISTORY},
}
_STORE, _REST, _SHARED = (f"source={name!r} was given" for name in ("store", "rest", "shared"))
_FORCED_STORE = {"rest": _STORE, "archive": _STORE, "live": _STORE, "store": "not stored"}
_FORCED_SHARED = {"rest": _SHARED, "archive": _SHARED, "live": _SHARED, "store": "not stored"}


@dataclass(frozen=True)
class ExplainedPart:
    """One part of a call, and the source that would serve it.

    Attributes
    ----------
    market : str
        Empty where it is about all of them.
    channel : {"store", "shared", "rest", "archive", "live", "derived", "memory", "none"}
    rule, reason : str
        The rule that decides, and why in words.
    alternatives : dict
        Every other channel, and why not.
    requests : int
        HTTP requests expected.
    start, end : int or None
        The range, microseconds UTC, half open; None for values of the present.
    """

    market: str
    channel: str
    rule: str
    reason: str
    alternatives: dict[str, str]
    requests: int = 0
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True)
class Explanation:
    """The source that would serve a call, why, and why not the others. No request was sent for it.

    Attributes
    ----------
    call : str
    parts : tuple of ExplainedPart
    tz : str
        Zone in which printing shows times.
    """

    call: str
    parts: tuple[ExplainedPart, ...]
    tz: str = "UTC"

    @property
    def channel(self) -> str:
        """The channel, or the channels joined by ``+`` in the order in which they answer."""
        return "+".join(dict.fromkeys(part.channel for part in self.parts))

    @property
    def rule(self) -> str:
        """The rule, or the rules joined by ``+``."""
        return "+".join(dict.fromkeys(part.rule for part in self.parts))

    @property
    def reason(self) -> str:
        """Why, of the last part: the newest data."""
        return self.parts[-1].reason if self.parts else "nothing is requested"

    @property
    def alternatives(self) -> dict[str, str]:
        """The other channels and why not, of the last part."""
        return dict(self.parts[-1].alternatives) if self.parts else {}

    def to_frame(self) -> pd.DataFrame:
        """One row a part: market, channel, rule, reason, requests, start, end (aware, UTC), instead."""
        import pandas as pd

        rows = [
            (
                part.market, part.channel, part.rule, part.reason, part.requests,
                None if part.start is None else from_micros(part.start),
                None if part.end is None else from_micros(part.end),
                "; ".join(f"{name}: {why}" for name, why in part.alternatives.items()),
            )
            for part in self.parts
        ]  # fmt: skip
        frame = pd.DataFrame(rows, columns=list(COLUMNS))
        for name in ("start", "end"):
            frame[name] = pd.to_datetime(frame[name], utc=True)
        return frame

    def __repr__(self) -> str:
        lines = [f"{self.call} → {self.channel or 'no source'}"]
        for part in self.parts:
            times = self._range_text(part)
            source = f"{part.market or 'all':<12} {part.channel:<7}{' ' if times else ''}{times}"
            lines.append(f"  {source}  {part.rule}: {part.reason}")
            lines += [f"      not {name}: {why}" for name, why in part.alternatives.items()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = [
            (
                part.market or "all", html.Html(f"<b>{part.channel}</b>"), self._range_text(part),
                f"{part.rule}: {part.reason}",
                html.lines(f"not {name}: {why}" for name, why in part.alternatives.items()), part.requests,
            )
            for part in self.parts
        ]  # fmt: skip
        return html.paragraph(self.call) + html.table(
            ("market", "channel", "range", "why", "why not", "requests"), rows, unit="part"
        )

    def _range_text(self, part: ExplainedPart) -> str:
        if part.start is None or part.end is None:
            return ""
        return f"{moment_text(part.start, self.tz)} → {moment_text(part.end, self.tz)}"


def explain_error(market: str, error: NotCached) -> ExplainedPart:
    """Build the part of a call that would raise, because nothing is stored."""
    return ExplainedPart(market, "none", "forced", error.message, dict(_FORCED_STORE))


def explain_step(step: Step, no_archive: str = "") -> ExplainedPart:
    """A step of a plan as a part; ``no_archive`` is why the archive is not used at all."""
    rule = {"store": "stored", "none": "nowhere", "derived": "derived", "shared": "shared"}.get(step.channel, "missing")
    alternatives = _ALTERNATIVES.get(step.channel, {})
    if step.reason in (UNCACHED, OFFLINE):
        rule, alternatives = "forced", dict(_FORCED_STORE)
    elif step.reason == UNSHARED:
        rule, alternatives = "forced", dict(_FORCED_SHARED)
    elif step.reason == FORCED:
        rule, alternatives = "forced", {"store": _REST, "archive": _REST, "live": NO_HISTORY}
    elif step.channel == "rest" and step.reason.startswith(FORMING):
        alternatives = alternatives | {"store": "it can still change", "archive": "not published yet"}
    if no_archive and step.channel == "rest":
        alternatives = alternatives | {"archive": no_archive}
    return ExplainedPart(
        step.market, step.channel, rule, step.reason, alternatives, step.requests, step.start, step.end
    )
