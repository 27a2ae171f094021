"""``uf.metrics``: sources, latency, requests and errors of the calls of this process."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upbit_frames.api.alerts import ThresholdObserver, Thresholds
from upbit_frames.core import html
from upbit_frames.core.arguments import choice
from upbit_frames.errors import QueryError
from upbit_frames.runtime.telemetry import CallRecord, telemetry

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EVENTS", "Metrics", "metrics"]

VIEWS = ("call", "channel", "calls")
EVENTS = ("reconnects", "breaks", "drops", "recorded", "write_errors")
COLUMNS = (
    "calls", "errors", "hits", "rows", "requests", "retries", "refusals", "waited_s", "p50_ms", "p95_ms", "p99_ms",
    "age_p50_ms", "age_p95_ms",
)  # fmt: skip


class Metrics:
    """Statistics of this process; call it for a frame.

    Counts the whole process, all clients and threads; the last 10,000 calls are kept.
    """

    def __call__(self, by: str = "call") -> pd.DataFrame:
        """Summarise the recorded calls.

        Parameters
        ----------
        by : {"call", "channel", "calls"}
            One row for each call and channel, for each channel, or for each single call.

        Returns
        -------
        pandas.DataFrame
            Index (call, channel) or channel: the source that served, as in the route; without an
            answer ``failed``, ``rejected`` (invalid arguments) or ``cancelled``. Columns calls, errors,
            hits (served without a request), rows, requests, retries, refusals (429 and 418),
            waited_s (for the limit and between attempts), p50_ms, p95_ms, p99_ms (what the caller
            waited), age_p50_ms, age_p95_ms (age of live answers). With
            ``"calls"``: index ``time`` (aware, UTC), a column for each attribute of
            :class:`upbit_frames.runtime.telemetry.CallRecord`.
            ``attrs["upbit_frames"]["streams"]`` counts reconnects, breaks and drops, and of recorders the rows written
            (recorded) and the attempts to write that failed (write_errors).

        Examples
        --------
        >>> import upbit_frames as uf
        >>> uf.metrics()  # doctest: +SKIP
        """
        import pandas as pd

        calls = telemetry.records()
        if choice("by", by, VIEWS) == "calls":
            frame = pd.DataFrame([record._asdict() for record in calls], columns=list(CallRecord._fields))
            frame["age_ms"] = frame["age_ms"].astype("float64")
            frame.index = pd.to_datetime(frame.pop("at").astype("float64"), unit="s", utc=True).rename("time")
        else:
            keys = ["call", "channel"] if by == "call" else ["channel"]
            groups = summaries(calls, keys)
            rows = [{**dict(zip(keys, key, strict=True)), **counts} for key, counts in groups.items()]
            frame = pd.DataFrame(rows, columns=[*keys, *COLUMNS]).set_index(keys)
        frame.attrs["upbit_frames"] = {"kind": "metrics", "streams": self.streams}
        return frame

    @property
    def streams(self) -> dict[str, int]:
        """Reconnects and breaks of streams, and rows dropped because the reader was too slow."""
        return {name: telemetry.totals[name] for name in EVENTS}

    def to_json(self, path: str | Path | None = None) -> str:
        """Return summary and single calls as JSON, optionally also written to a file.

        Examples
        --------
        >>> import upbit_frames as uf
        >>> sorted(__import__("json").loads(uf.metrics.to_json()))
        ['calls', 'streams', 'summary']
        """
        calls = telemetry.records()
        report = {
            "summary": [
                {"call": call, "channel": channel, **counts}
                for (call, channel), counts in summaries(calls, ["call", "channel"]).items()
            ],
            "streams": self.streams,
            "calls": [record._asdict() for record in calls],
        }
        text = json.dumps(report, ensure_ascii=False)
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    def reset(self) -> None:
        """Delete all records.

        Examples
        --------
        >>> import upbit_frames as uf
        >>> uf.metrics.reset()  # doctest: +SKIP
        """
        telemetry.reset()

    def watch(
        self,
        *,
        p95_ms: float | None = None,
        error_share: float | None = None,
        refusals: int | None = None,
        reconnects: int | None = None,
        drops: int | None = None,
        age_ms: float | None = None,
        seconds: float = 60.0,
    ) -> None:
        """Log a warning (logger ``upbit_frames.metrics``) each time a threshold is exceeded.

        Parameters
        ----------
        p95_ms, age_ms : float, optional
            95th percentile of the latency, and of the age of live answers.
        error_share : float, optional
            Share of failed calls, 0 to 1.
        refusals, reconnects, drops : int, optional
            Counts.
        seconds : float
            Length of the window. Without any threshold watching ends.

        Raises
        ------
        QueryError
            If a threshold is not a number of at least 0.

        Examples
        --------
        >>> import upbit_frames as uf
        >>> uf.metrics.watch(p95_ms=500, refusals=0)
        >>> uf.metrics.watch()
        """
        given = {
            "p95_ms": p95_ms, "error_share": error_share, "refusals": refusals, "reconnects": reconnects,
            "drops": drops, "age_ms": age_ms,
        }  # fmt: skip
        for name, limit in [*given.items(), ("seconds", seconds)]:
            if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int | float) or not limit >= 0):
                raise QueryError(f"{name} must be a number of at least 0, got {limit!r}")
        wanted = any(limit is not None for limit in given.values())
        telemetry.observer = ThresholdObserver(Thresholds(**given, seconds=seconds)) if wanted else None  # type: ignore[arg-type]

    def __repr__(self) -> str:
        streams = ", ".join(f"{number:,} {name}" for name, number in self.streams.items())
        if not telemetry.calls:
            return f"<uf.metrics: no calls yet; streams: {streams}>"
        return f"{self().to_string(float_format=lambda value: f'{value:,.1f}')}\nstreams: {streams}"

    def _repr_html_(self) -> str:
        streams = ", ".join(f"{number:,} {name}" for name, number in self.streams.items())
        frame = self().round(1).reset_index()
        rows = [[None if value != value else value for value in row] for row in frame.itertuples(index=False)]
        return html.table([str(name) for name in frame.columns], rows) + html.paragraph(f"streams: {streams}")


def summaries(calls: Iterable[CallRecord], keys: list[str]) -> dict[tuple[str, ...], dict[str, Any]]:
    """Count the calls and take percentiles by some of their attributes, the busiest first."""
    groups: dict[tuple[str, ...], list[CallRecord]] = defaultdict(list)
    for record in calls:
        groups[tuple(getattr(record, key) or "-" for key in keys)].append(record)
    order = Counter({key: len(group) for key, group in groups.items()})
    return {key: _summary(groups[key]) for key, _ in order.most_common()}


def _summary(group: list[CallRecord]) -> dict[str, Any]:
    import numpy as np

    times = np.array([record.seconds for record in group]) * 1000
    ages = np.array([record.age_ms for record in group if record.age_ms is not None])
    p50, p95, p99 = np.percentile(times, [50, 95, 99]).tolist()
    age50, age95 = np.percentile(ages, [50, 95]).tolist() if len(ages) else (None, None)
    return {
        "calls": len(group),
        "errors": sum(1 for record in group if record.error),
        "hits": sum(1 for record in group if record.hit),
        "rows": sum(record.rows for record in group),
        "requests": sum(record.requests for record in group),
        "retries": sum(record.retries for record in group),
        "refusals": sum(record.refusals for record in group),
        "waited_s": sum(record.waited for record in group),
        "p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "age_p50_ms": age50, "age_p95_ms": age95,
    }  # fmt: skip


metrics = Metrics()
