"""Which markets were listed when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from upbit_frames.api.calls.call import Call
from upbit_frames.api.engine import engine_for, server_now
from upbit_frames.api.literals import Moment
from upbit_frames.core.config import Config
from upbit_frames.core.markets import parse_quote
from upbit_frames.core.moments import parse_moment, parse_zone
from upbit_frames.datasets.collect import universe as listings
from upbit_frames.datasets.collect.market_lists import Kept
from upbit_frames.runtime.event_loop import in_thread

if TYPE_CHECKING:
    from upbit_frames.datasets.collect.report import Report

__all__ = ["universe"]


def universe(config: Config, at: Moment | None = None, *, quote: str | None = None) -> Call[Report]:
    """Markets as they were listed at a moment, by the lists that are kept in the store's folder; no request.

    Every call that fetches the list of markets keeps it, the first one of each UTC day: ``uf.markets()``,
    ``uf.update()`` and others. Upbit serves no old lists, so what was not kept is not known.

    Parameters
    ----------
    at : str, date, datetime or Timestamp, optional
        Default: the day of the newest list that is kept. What has no time zone is read in the setting ``tz``. The
        resolution is the UTC day.
    quote : str, optional
        Only markets of one quote currency, such as ``"KRW"``.

    Returns
    -------
    pandas.DataFrame
        One row a market of any kept list or stored series, index ``market``, with a summary as its ``repr``. Columns:
        state (``"listed"`` or ``"not listed"`` by the list of that UTC day; ``"not known"`` where no list of that day
        is kept, also if the lists around it agree), korean_name, english_name, warning (investment warning, 유의),
        cautions (these four of that day's list), before and after (whether the nearest lists up to and from that day
        have it; NA where there is none), first_seen and last_seen (aware UTC: the first and last list that has it),
        first_candle (aware UTC: start of the first one stored) and beginning_known (whether nothing is older),
        renamed_to, renamed_from, redenominated (as far as it is known).

    Raises
    ------
    QueryError, InvalidRange
        If ``at`` or ``quote`` is malformed.
    StoreError
        If the folder cannot be listed.

    Notes
    -----
    upbit-api 12.4 to 12.7.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> uf.universe("2026-03-01", quote="KRW").query("state == 'listed'").index  # doctest: +SKIP
    """
    moment = None if at is None else parse_moment(at, parse_zone(config.tz), "at", server_now(config))
    currency = None if quote is None else parse_quote(quote)
    engine = engine_for(config)

    def read() -> tuple[Kept, dict[str, listings.FirstCandle]]:
        kept = Kept() if engine.lists is None else engine.lists.read()
        return kept, listings.first_candles(engine.ports.store, currency)

    def finish(answer: tuple[Kept, dict[str, listings.FirstCandle]]) -> Report:
        from upbit_frames.datasets.collect.report import report

        kept, first = answer
        known = listings.Universe(kept.lists)
        when = moment if moment is not None else known.lists[-1].at if known.lists else engine.ports.server_time.now()
        rows = listings.to_rows(known, kept, when, currency, first)
        attrs = {"kind": "universe", "lists": len(kept.lists), "damaged": list(kept.damaged)}
        return report(rows, listings.COLUMNS, listings.summary(known, kept, when, rows), attrs, index="market")

    return Call(lambda: in_thread(read), finish)
