"""The steps of a plan and of a route, the reasons they carry, and the metadata of a result. No I/O.

A :class:`Step` names the channel that serves one range, and why. In a plan its counts are
estimates, in a route they are what happened.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from upbit_frames.core.endpoints import CANDLES_MAX_COUNT, LIMITS
from upbit_frames.core.intervals import Interval, Span, iso
from upbit_frames.core.schema import SCHEMA_VERSION

__all__ = ["Step", "derived", "metadata", "rest_step"]

PAGE_BYTES = 8_000  # a gzipped page of 200 candles on the wire, give or take the market

STORED = "stored"
MISSING = "not in the store"
FORCED = "requested with source='rest'"
FORMING = "can still change, never stored"
UNCACHED = "not in the store, and source='store' does not fetch"
UNSHARED = "not in the shared store, and source='shared' asks nothing else"
SHARED = "not in the store, but in the shared one"
OFFLINE = "can still change, and source='store' does not fetch"
NOWHERE = "neither published in the archive nor served over REST"
EXPIRED = "older than the three months for which Upbit serves second candles"


@dataclass(frozen=True)
class Step:
    """One range and the channel that serves it.

    Attributes
    ----------
    channel : {"store", "shared", "rest", "archive", "live", "derived", "memory", "none"}
    reason : str
        Why this channel.
    start, end : int
        Microseconds UTC, half open.
    rows, requests, bytes : int
        Estimates in a plan, counts in a route.
    seconds : float
        Estimated time at the allowed request rate.
    market : str
    """

    channel: str
    reason: str
    start: int
    end: int
    rows: int = 0
    requests: int = 0
    bytes: int = 0
    seconds: float = 0.0
    market: str = ""

    @property
    def span(self) -> Span:
        """The range."""
        return Span(self.start, self.end)

    def to_json(self) -> dict[str, Any]:
        """Return JSON scalars, with ISO times."""
        return {
            "channel": self.channel,
            "reason": self.reason,
            "start": iso(self.start),
            "end": iso(self.end),
            "rows": self.rows,
            "requests": self.requests,
            "market": self.market,
        }


def rest_step(market: str, interval: Interval, span: Span, reason: str, rate: float = 1.0) -> Step:
    """Estimate what fetching a range page by page costs, if every period has a candle."""
    rows = interval.slots(*span)
    requests = max(1, -(-rows // CANDLES_MAX_COUNT))
    return Step(
        "rest", reason, span.start, span.end, rows, requests,
        requests * PAGE_BYTES, requests / (LIMITS["candles"] * rate), market,
    )  # fmt: skip


def derived(step: Step, interval: Interval) -> Step:
    """Say that candles were derived from those of an interval which a step serves; what it does not serve stays."""
    if step.channel == "none":
        return step
    return replace(step, channel="derived", reason=f"aggregated from {interval} candles; {step.channel}: {step.reason}")


def metadata(
    kind: str,
    route: Iterable[Step | dict[str, Any]] | None,
    *,
    span: Span | None = None,
    fetched_at: int | None = None,
    **entries: Any,
) -> dict[str, Any]:
    """Build what a frame carries as ``attrs["upbit_frames"]``: JSON scalars, lists and dicts only.

    Parameters
    ----------
    kind : str
    route : iterable of Step or dict, or None
        None where there is no route.
    span : Span, optional
        Becomes ``start`` and ``end``, ISO times.
    fetched_at : int, optional
        Microseconds UTC.
    **entries
        Everything else, as it is; what is None is left out.
    """
    meta: dict[str, Any] = {"kind": kind, **{name: value for name, value in entries.items() if value is not None}}
    if span is not None:
        meta |= {"start": iso(span.start), "end": iso(span.end)}
    if fetched_at is not None:
        meta["fetched_at"] = iso(fetched_at)
    meta["schema"] = SCHEMA_VERSION
    if route is not None:
        meta["route"] = [step.to_json() if isinstance(step, Step) else step for step in route]
    return meta
