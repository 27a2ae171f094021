"""Fetch candles that can still change: from the stream where that is cheaper, else over REST."""

from __future__ import annotations

from typing import TYPE_CHECKING

from upbit_frames.core.arrow import slice_time
from upbit_frames.core.endpoints import CANDLES_MAX_COUNT
from upbit_frames.core.intervals import Interval, Span
from upbit_frames.core.route import FORMING, Step, rest_step
from upbit_frames.router.ports import LiveSource, Ports

if TYPE_CHECKING:
    import pyarrow as pa

    from upbit_frames.router.live_rules import Choice

__all__ = ["FormingCandles"]


class FormingCandles:
    """The candles that can still change; they come fresh from the exchange every time.

    Parameters
    ----------
    ports : Ports
    live : LiveSource, optional
        Serves them where it has them; without one REST does.
    """

    def __init__(self, ports: Ports, live: LiveSource | None) -> None:
        self.ports = ports
        self.live = live

    async def fetch(self, interval: Interval, market: str, span: Span, source: str) -> tuple[pa.Table, Step]:
        """Fetch the candles of a span, and say which channel served them."""
        reason = FORMING
        if self.live is not None and interval.stream is not None:
            served = await self.live.candles(interval, market, span, source)
            if served.table is not None:
                newest, requests = slice_time(served.table, span), 0
                if not served.complete:  # the stream began within the grace of the period before
                    newest, requests = await self._prepend_rest(interval, market, span, newest), 1
                step = Step("live", served.choice.text, *span, rows=len(newest), requests=requests, market=market)
                return newest, step
            reason = f"{FORMING}; {served.choice.text}"
        newest = await self._fetch_page(interval, market, span)
        return newest, Step("rest", reason, *span, rows=len(newest), requests=1, market=market)

    async def _fetch_page(self, interval: Interval, market: str, span: Span) -> pa.Table:
        count = min(CANDLES_MAX_COUNT, interval.slots(*span) + 1)
        page = await self.ports.api.candles(market, interval, count=count)
        return slice_time(page.table, span)

    async def _prepend_rest(self, interval: Interval, market: str, span: Span, newest: pa.Table) -> pa.Table:
        """Put before the stream's candles what REST has of the time before."""
        import pyarrow as pa

        began = newest["time"][0].value if len(newest) else span.end
        return pa.concat_tables([await self._fetch_page(interval, market, Span(span.start, began)), newest])

    def decide(self, interval: Interval, market: str, span: Span, source: str) -> tuple[Step, Choice | None]:
        """Decide which channel would serve the candles of a span, and why; None where there is no choice."""
        reason, choice = FORMING, None
        if self.live is not None and interval.stream is not None:
            choice = self.live.decide_candles(interval, market, span, source)
            if choice.channel == "live":
                return Step("live", choice.text, *span, interval.slots(*span), market=market), choice
            reason = f"{FORMING}; {choice.text}"
        return rest_step(market, interval, span, reason, self.ports.rate), choice
