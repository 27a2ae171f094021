"""The query of a follow, and the batches that its reader receives (no I/O)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from upbit_frames.core.bar_grid import BarGrid, Grid, named
from upbit_frames.core.endpoints import LIMITS
from upbit_frames.core.intervals import Interval, Span
from upbit_frames.core.market_selection import MarketSelection
from upbit_frames.core.query import CandleQuery
from upbit_frames.core.route import FORMING, Step, derived, metadata
from upbit_frames.core.topics import Topic

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Batch", "FollowQuery", "Part", "metadata_of", "table_of"]

SECOND = 1_000_000
SHORTEST_BATCH = 5 * SECOND  # candles of a second are requested several at once
SHARE = 0.5  # of the request limit that sealing may use


@dataclass(frozen=True)
class FollowQuery:
    """The validated arguments of a follow.

    Attributes
    ----------
    selection : MarketSelection
        Its markets are codes, once :meth:`resolved` has put them there.
    interval : Interval
        The interval that is streamed and fetched.
    history : int
    forming : bool
        Whether batches include the changes of forming candles.
    keep : int
        Sealed candles of each market kept in memory; at least ``history``.
    bars : BarGrid or None
        What the candles of ``interval`` are aggregated to; None if they are followed themselves.
    """

    selection: MarketSelection
    interval: Interval
    history: int
    forming: bool
    keep: int
    bars: BarGrid | None = None

    @property
    def markets(self) -> tuple[str, ...]:
        """The markets; without those of a quote currency until they are resolved."""
        return self.selection.markets

    @property
    def many(self) -> bool:
        """Whether frames name the market of each row."""
        return self.selection.many

    def resolved(self, codes: tuple[str, ...]) -> FollowQuery:
        """Return the query with the codes of its markets."""
        return replace(self, selection=self.selection.resolved(codes))

    @property
    def grid(self) -> Grid:
        """The grid of the followed candles."""
        return self.interval if self.bars is None else self.bars

    def candle_query(self, end: int) -> CandleQuery:
        """Return the query for the history before a time."""
        return CandleQuery(self.markets, self.many, self.interval, None, end, self.history, bars=self.bars)

    @property
    def topics(self) -> frozenset[Topic]:
        """The topics to subscribe to."""
        return frozenset(Topic(str(self.interval.stream), market) for market in self.markets)

    def batch(self, rate: float) -> int:
        """Return the shortest range of one request for sealed candles, microseconds."""
        needed = len(self.markets) / (LIMITS["candles"] * rate * SHARE)
        return max(self.grid.step, SHORTEST_BATCH, int(needed) * SECOND if self.grid.step < SHORTEST_BATCH else 0)


@dataclass
class Part:
    """The candles of one market in a batch: the sealed ones of a span, then forming ones."""

    market: str
    span: Span
    sealed: pa.Table
    forming: pa.Table
    route: list[Step] = field(default_factory=list)
    version: int = 0


@dataclass
class Batch:
    """The candles of all markets, one part each.

    Attributes
    ----------
    parts : list of Part
    meta : dict, optional
        The metadata of ``uf.candles``, if the batch is the history.
    earlier : list of dict
        Steps of the route that come before those of the parts.
    """

    parts: list[Part]
    meta: dict[str, Any] | None = None
    earlier: list[dict[str, Any]] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Candles of all parts."""
        return sum(len(part.sealed) + len(part.forming) for part in self.parts)


def metadata_of(batch: Batch, query: FollowQuery, now: int) -> dict[str, Any]:
    """Return the metadata of a batch, as ``uf.candles`` has them."""
    return metadata(
        "candles",
        [*batch.earlier, *(step for part in batch.parts for step in _route(part, query))],
        market=list(query.markets) if query.many else query.markets[0],
        **named(query.grid),
        span=Span(min(part.span.start for part in batch.parts), max(_end(part, query) for part in batch.parts)),
        gaps="raw",
        fetched_at=now,
    )


def table_of(parts: Sequence[Part], many: bool, flag_sealed: bool) -> pa.Table:
    """Return one table, sealed candles first; with a boolean column ``sealed`` if ``flag_sealed``."""
    import pyarrow as pa

    tables = []
    for part in parts:
        table = pa.concat_tables([part.sealed, part.forming])
        if flag_sealed:
            flags = [True] * len(part.sealed) + [False] * len(part.forming)
            table = table.append_column("sealed", pa.array(flags, pa.bool_()))
        tables.append(table)
    if not many:
        return tables[0]
    from upbit_frames.core.arrow import joined

    return joined([part.market for part in parts], tables)


def _route(part: Part, query: FollowQuery) -> list[Step]:
    if not len(part.forming):
        return part.route
    start = part.forming["time"][0].value
    step = Step("live", FORMING, start, _end(part, query), len(part.forming), market=part.market)
    return [*part.route, step if query.bars is None else derived(step, query.interval)]


def _end(part: Part, query: FollowQuery) -> int:
    last = part.forming["time"][-1].value if len(part.forming) else None
    return part.span.end if last is None else max(part.span.end, query.grid.shift(last, 1))
