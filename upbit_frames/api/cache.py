"""``uf.cache``: the local store, to look at and to tidy up."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upbit_frames.api import calls
from upbit_frames.api.client import call_sync
from upbit_frames.api.engine import engine_for, store_root
from upbit_frames.core.config import current
from upbit_frames.core.intervals import Interval, Span
from upbit_frames.core.markets import parse_market
from upbit_frames.errors import InvalidMarket, QueryError, StoreError
from upbit_frames.router.plan import iso
from upbit_frames.store.base import Series, SeriesInfo, Store

if TYPE_CHECKING:
    import pandas as pd

    from upbit_frames.store.base import Finding

__all__ = ["Cache", "cache"]


class Cache:
    """The local store of the settings in force.

    Three states are known of every moment: traded (there is a row), no trade (covered, and there
    is no row), unknown (not covered).
    """

    @property
    def path(self) -> Path:
        """The folder; another one for each exchange, so that their data never mix."""
        return store_root(current())

    @property
    def _store(self) -> Store:
        return engine_for(current()).ports.store

    def ls(self) -> pd.DataFrame:
        """What is stored, one row a series.

        Returns
        -------
        pandas.DataFrame
            Columns kind, market, interval, rows, files, bytes, first, last (start of the first and
            last row, aware UTC), stretches (covered ones, without the emptiness before listing).
        """
        import pandas as pd

        rows = [_row(info) for info in self._infos()]
        frame = pd.DataFrame(
            rows, columns=["kind", "market", "interval", "rows", "files", "bytes", "first", "last", "stretches"]
        )
        for name in ("first", "last"):
            frame[name] = pd.to_datetime(frame[name].astype("Int64"), unit="us", utc=True)
        return frame

    def coverage(self, market: str, interval: str | None = "1m", kind: str = "candles") -> pd.DataFrame:
        """The stretches of which everything is known.

        Returns
        -------
        pandas.DataFrame
            Columns start, end (half open, aware UTC) and rows. A stretch from 1970 on means
            that the beginning of history is known.
        """
        import pandas as pd

        series = _series(market, interval, kind)
        spans = self._store.covered(series)
        frame = pd.DataFrame(
            [(span.start, span.end, self._store.count(series, span)) for span in spans],
            columns=["start", "end", "rows"],
        )
        for name in ("start", "end"):
            frame[name] = pd.to_datetime(frame[name].astype("int64"), unit="us", utc=True)
        return frame

    def verify(
        self, market: str | None = None, interval: str | None = None, *, sample: int = 0, repair: bool = False
    ) -> list[Finding]:
        """Read every file again, and compare with the exchange if asked to.

        Parameters
        ----------
        market, interval : str, optional
            Only these.
        sample : int
            With market and interval: ask the exchange again for so many pages at random places,
            and compare every row; also compare the digests of all files that came from the
            archive with those published now. 0 needs no network.
        repair : bool
            Replace what is different by what the exchange says now.

        Returns
        -------
        list of Finding
            Empty where all is well. Damaged files were set aside and will be fetched again.
        """
        wanted = [
            series
            for series in self._store.series()
            if (market is None or series.market == parse_market(market))
            and (interval is None or series.interval == Interval.parse(interval).name)
        ]
        findings = [finding for series in wanted for finding in self._store.verify(series)]
        if sample:
            if market is None or interval is None:
                raise QueryError("comparing with the exchange needs a market and an interval", suggestion="name both")
            return findings + call_sync(calls.cross_check, current(), market, interval, sample=sample, repair=repair)
        return findings

    def prune(self, **policy: Any) -> int:
        """Give back disk space; see the store's ``prune`` for the policies. Returns bytes freed."""
        return self._store.prune(**policy)

    def clear(self, market: str | None = None, interval: str | None = None, *, everything: bool = False) -> int:
        """Forget series.

        Parameters
        ----------
        market, interval : str, optional
            Only these.
        everything : bool
            Must be True where no market is named, so that nobody empties the store by mistake.

        Returns
        -------
        int
            Bytes freed.
        """
        if market is None and not everything:
            raise InvalidMarket(
                "clear() without a market would forget everything", suggestion="say everything=True if that is meant"
            )
        return self._store.clear(
            market=None if market is None else parse_market(market),
            interval=None if interval is None else Interval.parse(interval).name,
        )

    def _where(self) -> str:
        """The folder, or that there is none: inside a cassette the store is in memory."""
        return "memory" if self._store.path is None else str(self.path)

    def _infos(self) -> list[SeriesInfo]:
        return [self._store.info(series) for series in self._store.series()]

    def __repr__(self) -> str:
        try:
            infos = self._infos()
        except StoreError as error:  # a repr must not raise
            return f"upbit_frames cache in {self._where()}: unreadable: {error}"
        total = sum(info.bytes for info in infos)
        lines = [f"upbit_frames cache: {len(infos)} series, {total / 1e6:,.1f} MB in {self._where()}"]
        for info in infos[:40]:
            name = info.series.interval or info.series.kind
            lines.append(f"  {info.series.market:<12} {name:<7} {info.rows:>11,} rows  {_range(info)}")
        if len(infos) > 40:
            lines.append(f"  … and {len(infos) - 40} more")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        try:
            infos = self._infos()
        except StoreError:
            return f"<pre>{escape(repr(self))}</pre>"
        body = "".join(
            f"<tr><td>{escape(info.series.market)}</td><td>{info.series.interval or info.series.kind}</td>"
            f"<td style='text-align:right'>{info.rows:,}</td>"
            f"<td style='text-align:right'>{info.bytes / 1e6:,.2f} MB</td>"
            f"<td>{_range(info)}</td></tr>"
            for info in infos[:100]
        )
        head = "".join(f"<th>{name}</th>" for name in ("market", "interval", "rows", "size", "covered"))
        more = f"<p>… and {len(infos) - 100} more</p>" if len(infos) > 100 else ""
        return (
            f"<p>upbit_frames cache in <code>{escape(self._where())}</code></p>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"
        )


def _series(market: str, interval: str | None, kind: str) -> Series:
    name = None if kind == "trades" or interval is None else Interval.parse(interval).name
    return Series("trades" if name is None else kind, parse_market(market), name)


def _known(info: SeriesInfo) -> list[Span]:
    """The covered stretches, without the emptiness before the first row."""
    first = info.first if info.first is not None else 0
    return [Span(max(span.start, first), span.end) for span in info.covered if span.end > first]


def _row(info: SeriesInfo) -> tuple[Any, ...]:
    series = info.series
    return (
        series.kind, series.market, series.interval, info.rows, info.files, info.bytes,
        info.first, info.last, len(_known(info)),
    )  # fmt: skip


def _range(info: SeriesInfo) -> str:
    known = _known(info)
    if not known:
        return "nothing"
    more = f" ({len(known) - 1} holes)" if len(known) > 1 else ""
    return f"{iso(known[0].start)} → {iso(known[-1].end)}{more}"


cache = Cache()
