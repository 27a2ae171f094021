"""Everything that is stored, to look through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from upbit_frames.api.calls.call import Call
from upbit_frames.api.engine import engine_for
from upbit_frames.core import html
from upbit_frames.core.config import Config
from upbit_frames.core.markets import parse_quote
from upbit_frames.datasets.collect import catalog as stored
from upbit_frames.datasets.collect import pages
from upbit_frames.runtime.event_loop import in_thread

if TYPE_CHECKING:
    from upbit_frames.datasets.collect.report import Report

__all__ = ["catalog"]

COLUMNS = {
    "kind": "str", "market": "str", "interval": "object", "rows": "int64", "files": "int64", "bytes": "int64",
    "first": "time", "last": "time", "covered_until": "time", "covered": "float64", "holes": "int64",
    "expires": "time",
}  # fmt: skip
HEAD = ("market", "interval", "coverage", "covered", "holes", "rows", "MB", "first", "covered until", "expires")


def catalog(config: Config, *, quote: str | None = None) -> Call[Report]:
    """Everything that is stored, as a table that can be searched and sorted in a notebook; no request.

    Parameters
    ----------
    quote : str, optional
        Only markets of one quote currency.

    Returns
    -------
    pandas.DataFrame
        One row a series. Its HTML is one piece of text with a coverage bar for each series, a search box and heads
        that sort; ``.save("catalog.html")`` writes it as a file of its own. Columns kind, market, interval (None for
        trades), rows, files, bytes, first and last (aware UTC: start of the first and last row), covered_until (aware
        UTC), covered (share of the time from the first row to now, 0 to 1), holes (ranges between that are not
        covered), expires (aware UTC: until when the exchange serves what follows; NaT where it goes on doing so).

    Raises
    ------
    QueryError
        If ``quote`` is malformed.
    StoreError
        If the store cannot be read.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> uf.catalog().save("catalog.html")  # doctest: +SKIP
    """
    currency = None if quote is None else parse_quote(quote)
    engine = engine_for(config)
    store = engine.ports.store

    def read() -> list[stored.Entry]:
        chosen = [series for series in store.series() if currency is None or series.market.startswith(f"{currency}-")]
        return stored.entries(store, chosen, engine.ports.server_time.now())

    def finish(entries: list[stored.Entry]) -> Report:
        from upbit_frames.datasets.collect.report import report

        lines = stored.summary(entries, "memory" if store.path is None else str(store.path))
        rows = [
            (info.series.kind, info.series.market, info.series.interval, info.rows, info.files, info.bytes, info.first,
             info.last, entry.covered_until, entry.share, len(entry.holes), entry.expires)
            for entry in entries
            for info in (entry.info,)
        ]  # fmt: skip
        page = "".join([*map(html.paragraph, lines), pages.legend(("covered", "unknown")), _table(entries)])
        return report(rows, COLUMNS, lines, {"kind": "catalog"}, page=page)

    return Call(lambda: in_thread(read), finish)


def _table(entries: list[stored.Entry]) -> html.Html:
    """Build the table: each cell with what it is sorted by."""
    rows = []
    for entry in entries:
        info, grid = entry.info, entry.info.series.grid
        moments = (stored.day(moment) for moment in (info.first, entry.covered_until, entry.expires))
        rows.append(
            [
                (info.series.market, info.series.market),
                (info.series.interval or info.series.kind, 0 if grid is None else grid.step),
                (entry.bar, entry.share),
                (f"{entry.share:.1%}", entry.share),
                (len(entry.holes), len(entry.holes)),
                (info.rows, info.rows),
                (info.bytes / 1e6, info.bytes),
                *((text, text) for text in moments),
            ]
        )
    return pages.searchable(HEAD, rows)
