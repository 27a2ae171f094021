"""``uf.cache``: the local store, to look at and to tidy up.

More than half of it is the documentation that ``help(uf.cache)`` shows.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upbit_frames.api import calls
from upbit_frames.api.cache_rows import info_row, range_of, range_text, series_of
from upbit_frames.api.engine import engine_for, store_root
from upbit_frames.api.invocation import call_sync
from upbit_frames.api.progress import ProgressBar
from upbit_frames.core import html
from upbit_frames.core.config import current
from upbit_frames.core.intervals import Interval
from upbit_frames.core.markets import parse_market, parse_markets
from upbit_frames.core.text import counted
from upbit_frames.core.urls import check_store_url
from upbit_frames.errors import InvalidMarket, QueryError, StoreError
from upbit_frames.runtime.progress import Progress
from upbit_frames.store.base import STORED_KINDS, Series, Store, selects
from upbit_frames.store.results import SeriesInfo

if TYPE_CHECKING:
    import pandas as pd

    from upbit_frames.store.parquet import ParquetStore
    from upbit_frames.store.results import Finding

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

    def _files_store(self) -> ParquetStore:
        """Return the store where it has files.

        Raises
        ------
        StoreError
        """
        from upbit_frames.store.parquet import ParquetStore

        store = self._store
        if not isinstance(store, ParquetStore):
            raise StoreError(
                "the store is in memory here and has no files", suggestion="call this outside of the cassette"
            )
        return store

    def ls(self) -> pd.DataFrame:
        """List what is stored, one row a series.

        Returns
        -------
        pandas.DataFrame
            Columns kind, market, interval, rows, files, bytes, first, last (start of the first and
            last row, aware UTC), ranges (covered ones, without the emptiness before listing).

        Examples
        --------
        >>> import upbit_frames as uf
        >>> uf.cache.ls()[["market", "interval", "rows"]]  # doctest: +SKIP
        """
        import pandas as pd

        rows = [info_row(info) for info in self._infos()]
        frame = pd.DataFrame(
            rows, columns=["kind", "market", "interval", "rows", "files", "bytes", "first", "last", "ranges"]
        )
        for name in ("first", "last"):
            frame[name] = pd.to_datetime(frame[name].astype("Int64"), unit="us", utc=True)
        return frame

    def coverage(self, market: str, interval: str | None = "1m", kind: str = "candles") -> pd.DataFrame:
        """Return the covered ranges of a series: with or without trades, everything in them is known.

        Returns
        -------
        pandas.DataFrame
            Columns start, end (half open, aware UTC) and rows. A range from 1970 on means
            that the beginning of history is known.

        Examples
        --------
        >>> import upbit_frames as uf
        >>> uf.cache.coverage("KRW-BTC", "1m")  # doctest: +SKIP
        """
        import pandas as pd

        series = series_of(market, interval, kind)
        spans = self._store.covered(series)
        frame = pd.DataFrame(
            [(span.start, span.end, self._store.count(series, span)) for span in spans],
            columns=["start", "end", "rows"],
        )
        for name in ("start", "end"):
            frame[name] = pd.to_datetime(frame[name].astype("int64"), unit="us", utc=True)
        return frame

    def files(
        self,
        kind: str = "candles",
        markets: str | Iterable[str] | None = None,
        interval: str | None = None,
        start: Any = None,
        end: Any = None,
    ) -> pd.DataFrame:
        """List the Parquet files that other engines should read.

        During a merge, and after a killed writer, the folder also holds files whose rows are in
        larger ones; an engine that is given the whole folder counts those twice.

        Parameters
        ----------
        kind : {"candles", "trades", "orderbook"}
        markets : str or iterable of str, optional
            Only these.
        interval : str, optional
            Only this one.
        start, end : optional
            Only files that overlap this half-open range; moments as in ``uf.candles``. The first
            and last file also hold rows outside it.

        Returns
        -------
        pandas.DataFrame
            A row a file, sorted by market, interval and time: path, kind, market, interval, start
            and end (aware UTC; what the file covers: where it has no row, nothing was traded),
            rows, bytes. No leftovers, and no two files overlap. Files that other programs put
            there and that overlap are merged first; damaged ones are set aside with a warning.

        Raises
        ------
        StoreError
            Where the store is in memory, as inside a cassette.

        Notes
        -----
        A writer may merge listed files away at any time: read soon, and list again if one is gone.

        Examples
        --------
        >>> import upbit_frames as uf
        >>> paths = uf.cache.files(markets="KRW-BTC", interval="1m", start="2026-01-01")["path"]
        >>> duckdb.read_parquet(list(paths)).fetchall()  # doctest: +SKIP
        """
        import pandas as pd

        store = self._files_store()
        if kind not in STORED_KINDS:
            raise QueryError(f"kind must be one of {', '.join(STORED_KINDS)}, got {kind!r}")
        span = range_of(start, end)
        codes = None if markets is None else set(parse_markets(markets)[0])
        name = None if interval is None else Interval.parse(interval).name
        stored = [
            file
            for series in store.series()
            if selects(series, None, name, kind) and (codes is None or series.market in codes)
            for file in store.files(series, span)
        ]
        frame = pd.DataFrame(
            [
                (str(file.path), kind, file.series.market, file.series.interval, *file.span, file.rows, file.bytes)
                for file in stored
            ],
            columns=["path", "kind", "market", "interval", "start", "end", "rows", "bytes"],
        )
        for column in ("start", "end"):
            frame[column] = pd.to_datetime(frame[column].astype("int64"), unit="us", utc=True)
        text = pd.Series(["x"]).dtype  # object, or str from pandas 3 on: the same with and without rows
        types = dict.fromkeys(("path", "kind", "market", "interval"), text)
        return frame.astype({**types, "rows": "int64", "bytes": "int64"})

    def compact(self, market: str | None = None, interval: str | None = None) -> None:
        """Merge the files of each series into its resting state: one a month, or one a day of trades.

        Reading and writing do not need it; other engines read few large files faster.

        Parameters
        ----------
        market, interval : str, optional
            Only these.

        Examples
        --------
        >>> import upbit_frames as uf
        >>> uf.cache.compact("KRW-BTC", "1m")
        """
        for series in self._chosen(market, interval):
            self._store.compact(series)

    def publish(
        self,
        url: str | os.PathLike[str] | None = None,
        kind: str | None = None,
        markets: str | Iterable[str] | None = None,
        interval: str | None = None,
        start: Any = None,
        end: Any = None,
    ) -> pd.DataFrame:
        """Copy stored files to a store that a team shares, where the setting ``shared_store`` finds them.

        Repeating it sends only what is new. Broken off at any moment it leaves whole files only; the next run goes on.

        Parameters
        ----------
        url : str, optional
            ``s3://bucket/prefix``, ``gs://``, ``abfs://`` or ``file:///folder``; credentials come from the environment.
            Default: the setting ``shared_store``.
        kind : {"candles", "trades", "orderbook"}, optional
        markets : str or iterable of str, optional
            Only these.
        interval : str, optional
            Only this one, of candles.
        start, end : optional
            Only files that overlap this half-open range; moments as in ``uf.candles``.

        Returns
        -------
        pandas.DataFrame
            A row a series: kind, market, interval, sent (int: files), bytes (int: of those), present (int: files that
            were there), removed (int: objects that larger ones hold now).

        Raises
        ------
        QueryError
            If the URL is none of a store, or there is no URL.
        StoreError
            If the shared store cannot be reached or refuses; what was sent until then stays.

        Notes
        -----
        Rows from Upbit's published archive are published too, if they are stored. Its terms forbid passing them on: a
        store for others than yourself must not hold them.

        Examples
        --------
        >>> import upbit_frames as uf
        >>> uf.cache.publish("s3://team/upbit", markets="KRW-BTC")  # doctest: +SKIP
        """
        import pandas as pd

        from upbit_frames.datasets.publish import publish_series
        from upbit_frames.store.object_store import ObjectStore

        target = current().shared_store if url is None else url
        if not target:
            raise QueryError("there is no URL to publish to", suggestion="give one, or set shared_store")
        objects = ObjectStore(check_store_url(target), current().origin)
        store = self._files_store()
        span, codes = range_of(start, end), None if markets is None else parse_markets(markets)[0]
        name = None if interval is None else Interval.parse(interval).name
        chosen = [
            series
            for series in store.series()
            if kind in (None, series.kind)
            and (codes is None or series.market in codes)
            and (name is None or series.interval == name)
        ]
        progress = Progress(expected=len(chosen))
        bar = ProgressBar(progress, current().progress, "publish")
        rows = []
        try:
            for series in chosen:
                done = publish_series(objects, store, series, span, lambda size: bar.tick())
                counts = (done.sent, done.bytes, done.present, done.removed)
                rows.append((series.kind, series.market, series.interval, *counts))
                progress.requests += 1
                bar.tick()
        finally:
            bar.close(finished=len(rows) == len(chosen))
        names = ["kind", "market", "interval", "sent", "bytes", "present", "removed"]
        return pd.DataFrame(rows, columns=names).astype(dict.fromkeys(names[3:], "int64"))

    def _chosen(self, market: str | None, interval: str | None) -> list[Series]:
        code = None if market is None else parse_market(market)
        name = None if interval is None else Interval.parse(interval).name
        return [series for series in self._store.series() if selects(series, code, name, None)]

    def verify(
        self, market: str | None = None, interval: str | None = None, *, sample: int = 0, repair: bool = False
    ) -> list[Finding]:
        """Read every file again, and compare with the exchange on request.

        Parameters
        ----------
        market, interval : str, optional
            Only these.
        sample : int
            With market and interval: fetch so many pages at random places again and compare every
            row, look whether so many of the longest ranges that are stored as empty are so, and
            compare the digests of all files that came from the archive with those published now.
            A difference counts if a second reading shows it too. 0 needs no network.
        repair : bool
            Remove what killed writers left and merge files that overlap; with ``sample``, also
            replace what is different by what the exchange says now.

        Returns
        -------
        list of Finding
            Empty where all is well. Damaged files were set aside and will be fetched again.

        Examples
        --------
        >>> import upbit_frames as uf
        >>> uf.cache.verify("KRW-BTC", "1m", sample=5)  # doctest: +SKIP
        []
        """
        findings = [
            finding
            for series in self._chosen(market, interval)
            for finding in self._store.verify(series, repair=repair)
        ]
        if sample:
            if market is None or interval is None:
                raise QueryError("comparing with the exchange needs a market and an interval", suggestion="name both")
            return findings + call_sync(calls.cross_check, current(), market, interval, sample=sample, repair=repair)
        return findings

    def prune(self, **policy: Any) -> int:
        """Give back disk space; see the store's ``prune`` for the policies. Returns bytes freed.

        Examples
        --------
        >>> import upbit_frames as uf
        >>> uf.cache.prune(max_bytes=10**9)  # doctest: +SKIP
        """
        return self._store.prune(**policy)

    def clear(self, market: str | None = None, interval: str | None = None, *, everything: bool = False) -> int:
        """Forget series.

        Parameters
        ----------
        market, interval : str, optional
            Only these.
        everything : bool
            Must be True where no market is named, so that the store is not emptied by mistake.

        Returns
        -------
        int
            Bytes freed.

        Examples
        --------
        >>> import upbit_frames as uf
        >>> uf.cache.clear("KRW-BTC", "1m")  # doctest: +SKIP
        """
        if market is None and not everything:
            raise InvalidMarket(
                "clear() without a market would forget everything", suggestion="say everything=True if that is meant"
            )
        return self._store.clear(
            market=None if market is None else parse_market(market),
            interval=None if interval is None else Interval.parse(interval).name,
        )

    def _location(self) -> str:
        """The folder, or that there is none: inside a cassette the store is in memory."""
        return "memory" if self._store.path is None else str(self.path)

    def _infos(self) -> list[SeriesInfo]:
        return [self._store.info(series) for series in self._store.series()]

    def __repr__(self) -> str:
        try:
            infos = self._infos()
        except StoreError as error:  # a repr must not raise
            return f"upbit_frames cache in {self._location()}: unreadable: {error}"
        total = sum(info.bytes for info in infos)
        lines = [f"upbit_frames cache: {len(infos)} series, {total / 1e6:,.1f} MB in {self._location()}"]
        for info in infos[:40]:
            name = info.series.interval or info.series.kind
            lines.append(f"  {info.series.market:<12} {name:<7} {counted(info.rows, 'row', 11)}  {range_text(info)}")
        if len(infos) > 40:
            lines.append(f"  … and {len(infos) - 40} more")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        try:
            infos = self._infos()
        except StoreError:
            return f"<pre>{escape(repr(self))}</pre>"
        rows = [
            (
                info.series.market, info.series.interval or info.series.kind, info.rows,
                f"{info.bytes / 1e6:,.2f} MB", range_text(info),
            )
            for info in infos
        ]  # fmt: skip
        title = f"upbit_frames cache in {self._location()}: {len(infos):,} series"
        return html.paragraph(title) + html.table(("market", "interval", "rows", "size", "covered"), rows, limit=100)


cache = Cache()
