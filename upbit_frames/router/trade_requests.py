"""Requests for the trades of one market by UTC day, repeated where an answer cannot be right.

Upbit counts days back from its own today (``days_ago``), so around midnight a request may be answered
for another date. Today is named as well (0), so that a cursor ends at its midnight as on other days.
Store, router and streams all request trades here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from upbit_frames.core.availability import AGREEMENT, SEAL_GRACE
from upbit_frames.core.intervals import iso
from upbit_frames.core.schema import arrow_schema
from upbit_frames.errors import SchemaError
from upbit_frames.router.ports import Ports
from upbit_frames.router.trade_pages import DAY, MISDATED, SECOND, TradeRequest, implausible
from upbit_frames.runtime.progress import Progress

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Trade", "TradeRequests", "trades_table", "utc_day"]

PAGE_TRIES = 3  # of a page whose times cannot be right
MIDNIGHT = 3 * SECOND  # how near to a UTC midnight the exchange's date is not certain


class Trade(NamedTuple):
    """One trade; the fields are the columns of the schema."""

    time: int
    price: float
    volume: float
    value: float
    side: str
    sequential_id: int
    seq: int | None = None


class TradeRequests:
    """Fetches pages of one market's trades.

    Parameters
    ----------
    ports : Ports
    market : str
    progress : Progress
    """

    def __init__(self, ports: Ports, market: str, progress: Progress) -> None:
        self.ports = ports
        self.market = market
        self.progress = progress

    async def page(self, request: TradeRequest) -> list[Trade]:
        """Fetch one page, ascending.

        Raises
        ------
        SchemaError
            If the times of the page contradict the request again and again.
        """
        before: list[Trade] | None = None
        tries = 0
        while True:
            ago = (utc_day(self.ports.server_time.now()) - request.day) // DAY
            answer = await self.ports.api.trades(
                self.market, days_ago=max(0, ago), before=request.before, cursor=request.cursor
            )
            rows = _trades_of(answer.table)
            self.progress.requests += 1
            self.progress.rows += len(rows)
            settled = self.ports.server_time.now()
            now = settled if answer.server_time is None else answer.server_time
            wrong = implausible(rows, request, max(settled, now) + SEAL_GRACE)
            if (now + MIDNIGHT) % DAY < 2 * MIDNIGHT and (wrong or not rows) and ago > 0:
                await self.ports.clock.sleep(1.0)
                continue
            tries += 1
            top = request.day + DAY if request.before is None else request.before
            stale = request.cursor is None and now + AGREEMENT < min(top, settled)
            if (wrong is None and not stale) or (tries > 1 and rows == before and wrong == MISDATED):
                return rows
            if tries >= PAGE_TRIES:
                if wrong is None:
                    return rows  # three answers in a row have moved the clock
                raise SchemaError(
                    f"expected trades of {iso(request.day)[:10]} within the requested range, got a page {wrong}",
                    suggestion="nothing of it was stored; try again",
                    market=self.market,
                    url=answer.url,
                )
            before = rows


def utc_day(moment: int) -> int:
    """Return the midnight at which the UTC day of a moment begins."""
    return moment - moment % DAY


def _trades_of(table: pa.Table) -> list[Trade]:
    columns: list[Any] = [table.column("time").cast("int64").to_pylist()]
    columns += [table.column(name).to_pylist() for name in Trade._fields[1:]]
    return [Trade(*values) for values in zip(*columns, strict=True)]


def trades_table(rows: Iterable[Trade]) -> pa.Table:
    """Return trades as a table, ascending."""
    import pyarrow as pa

    schema = arrow_schema("trades")
    columns = list(zip(*sorted(rows, key=lambda row: (row.time, row.sequential_id)), strict=True)) or [()] * len(schema)
    return pa.table([pa.array(list(column), field.type) for column, field in zip(columns, schema, strict=True)], schema)
