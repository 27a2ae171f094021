"""What is followed, and what a reader gets of it (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from upbit_frames.core.bar_grid import BarGrid, Grid, named
from upbit_frames.core.endpoints import LIMITS
from upbit_frames.core.intervals import Interval, Span
from upbit_frames.core.query import CandleQuery
from upbit_frames.core.route import FORMING, Step, derived, metadata
from upbit_frames.core.topics import Topic

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Asked", "Batch", "Part", "meta_of", "table_of"]

SECOND = 1_000_000
SHORTEST = 5 * SECOND  # candles of a second are asked for several at once
SHARE = 0.5  # of the request limit that may go to them


@dataclass(frozen=True)
class Asked:
    """What is followed, checked.

    Attributes
    ----------
    markets : tuple of str
    many : bool
        Whether a list was given.
    interval : Interval
        One that is streamed; what is fetched.
    history : int
    forming : bool
        Whether readers get the changes of forming candles too.
    keep : int
        Sealed candles of each market kept in memory; at least ``history``.
    bars : BarGrid or None
        What the candles of ``interval`` are aggregated to; None where they are what is followed.
    """

    markets: tuple[str, ...]
    many: bool
    interval: Interval
    history: int
    forming: bool
    keep: int
    bars: BarGrid | None = None

    @property
    def grid(self) -> Grid:
        """The grid of the candles that are followed."""
        return self.interval if self.bars is None else self.bars

    def query(self, end: int) -> CandleQuery:
        """Return the query for the history before a moment."""
        return CandleQuery(self.markets, self.many, self.interval, None, end, self.history, bars=self.bars)

    @property
    def topics(self) -> frozenset[Topic]:
        """What to subscribe to."""
        return frozenset(Topic(str(self.interval.stream), market) for market in self.markets)

    def batch(self, rate: float) -> int:
        """How much time one request for sealed candles is worth waiting for, microseconds."""
        crowd = len(self.markets) / (LIMITS["candles"] * rate * SHARE)
        return max(self.grid.step, SHORTEST, int(crowd) * SECOND if self.grid.step < SHORTEST else 0)


@dataclass
class Part:
    """What a frame holds of one market: sealed candles of a span, then forming ones."""

    market: str
    span: Span
    sealed: pa.Table
    forming: pa.Table
    route: list[Step] = field(default_factory=list)
    version: int = 0


@dataclass
class Batch:
    """One part a market.

    Attributes
    ----------
    parts : list of Part
    meta : dict, optional
        What ``uf.candles`` tells, where it is the history.
    earlier : list of dict
        Steps of the route that come before those of the parts.
    """

    parts: list[Part]
    meta: dict[str, Any] | None = None
    earlier: list[dict[str, Any]] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """In all."""
        return sum(len(part.sealed) + len(part.forming) for part in self.parts)


def meta_of(batch: Batch, asked: Asked, now: int) -> dict[str, Any]:
    """What ``uf.candles`` tells about a frame, of this one."""
    return metadata(
        "candles",
        [*batch.earlier, *(step for part in batch.parts for step in _route(part, asked))],
        market=list(asked.markets) if asked.many else asked.markets[0],
        **named(asked.grid),
        span=Span(min(part.span.start for part in batch.parts), max(_end(part, asked) for part in batch.parts)),
        gaps="raw",
        fetched_at=now,
    )


def table_of(parts: Sequence[Part], many: bool, told: bool) -> pa.Table:
    """One table, sealed candles first; in it which are, if ``told``."""
    import pyarrow as pa

    tables = []
    for part in parts:
        table = pa.concat_tables([part.sealed, part.forming])
        if told:
            flags = [True] * len(part.sealed) + [False] * len(part.forming)
            table = table.append_column("sealed", pa.array(flags, pa.bool_()))
        tables.append(table)
    if not many:
        return tables[0]
    from upbit_frames.core.arrow import joined

    return joined([part.market for part in parts], tables)


def _route(part: Part, asked: Asked) -> list[Step]:
    if not len(part.forming):
        return part.route
    start = part.forming["time"][0].value
    step = Step("live", FORMING, start, _end(part, asked), len(part.forming), market=part.market)
    return [*part.route, step if asked.bars is None else derived(step, asked.interval)]


def _end(part: Part, asked: Asked) -> int:
    last = part.forming["time"][-1].value if len(part.forming) else None
    return part.span.end if last is None else max(part.span.end, asked.grid.shift(last, 1))
