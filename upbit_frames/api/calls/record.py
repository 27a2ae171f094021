"""Streams recorded into the store."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from upbit_frames.api.calls.stream import hub_opener
from upbit_frames.api.engine import engine_for
from upbit_frames.api.literals import Markets, Recorded
from upbit_frames.core.arguments import flag, number, sampling
from upbit_frames.core.config import Config
from upbit_frames.core.markets import parse_markets
from upbit_frames.core.topics import parse_kind
from upbit_frames.datasets.collect.record.recorder import Recorder
from upbit_frames.datasets.collect.record.session import RecordQuery, RecordSession
from upbit_frames.errors import QueryError
from upbit_frames.runtime import event_loop
from upbit_frames.runtime.event_loop import in_thread

__all__ = ["open_record", "record"]


def record(
    config: Config,
    markets: Markets,
    kinds: str | Iterable[str] = ("trade", "orderbook", "candle.1s"),
    *,
    every: str | None = None,
    seconds: float | None = None,
    background: bool = False,
) -> Recorded:
    """Record into the store what Upbit does not keep: trades, order books and second candles, as they come.

    Trades go into the store of trades, sealed candles into that of candles, and are read from there by every call.
    Order books are read with ``uf.books``, ``uf.scan(kind="orderbook")`` and ``uf.sql("… from orderbook")``.

    Parameters
    ----------
    markets : str or iterable of str
        Checked against the market list, since the exchange ignores what it does not know.
    kinds : str or iterable of str
        ``"trade"``, ``"orderbook"``, ``"candle.<interval>"`` from 1s to 4h.
    every : str, optional
        Keep the last order book of each such period, such as ``"1s"``, and no others. Default: every book.
    seconds : float, optional
        End after so many seconds. Default: go on until Ctrl-C.
    background : bool
        Return a running :class:`~upbit_frames.datasets.collect.record.recorder.Recorder` at once; it ends with
        ``.close()``.

    Returns
    -------
    pandas.DataFrame
        When the recording has ended: a row for each series, with the counts as its ``repr``. Ctrl-C ends it in order.
        Columns kind, market, interval (None but for candles), rows (int64, written), pending, write_errors,
        covered_until (aware UTC, exclusive), error.
    Recorder
        With ``background=True``.

    Raises
    ------
    InvalidMarket, InvalidInterval, QueryError
        Before anything is opened.
    MarketNotFound
    ConnectionFailed, Timeout, RateLimited, Blocked
        If no connection can be opened. Later breaks are waited for and repaired.

    Notes
    -----
    Everything that is known is written every two seconds; a recorder that is killed loses no more than the last five.
    The coverage of a series (``uf.cache.ls()``) says what was recorded: where it has no row nothing changed, and
    outside of it nothing is known. After a break trades and candles are fetched over REST, trades exactly by
    ``sequential_id``; so are holes of the last day that an earlier recorder left. Order books cannot be fetched, so a
    break is a hole, unless the next snapshot shows that nothing had changed.
    A disk that is full is an error that is counted and logged once; up to 40,000 rows wait in memory. Several recorders
    of one series do no harm: what one has stored the others leave as it is.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> uf.record(["KRW-BTC", "KRW-ETH"], seconds=3600)  # doctest: +SKIP
    >>> recorder = uf.record("KRW-BTC", "orderbook", every="1s", background=True)  # doctest: +SKIP
    >>> print(recorder); recorder.close()  # doctest: +SKIP
    """
    if flag("background", background) and seconds is not None:
        raise QueryError("background was given with seconds", suggestion="give one of them")
    limit = None if seconds is None else number("seconds", seconds, 0, above=True, infinite=True)
    recorder = open_record(config, markets, kinds, every=every)
    if background:
        event_loop.run(recorder._open)
        return recorder
    try:
        event_loop.run(recorder._run, None if limit is None or math.isinf(limit) else limit)
    except KeyboardInterrupt:
        if not recorder._used:
            raise
    finally:
        if recorder._used:
            recorder.close()
    return recorder.report()


def open_record(
    config: Config,
    markets: Markets,
    kinds: str | Iterable[str] = ("trade", "orderbook", "candle.1s"),
    *,
    every: str | None = None,
) -> Recorder:
    """Record into the store, for ``async with``.

    Parameters
    ----------
    markets, kinds, every
        As for ``uf.record``.

    Returns
    -------
    Recorder
        An asynchronous context manager; ``await recorder.wait(60)`` inside it waits.

    Examples
    --------
    >>> from upbit_frames import aio
    >>> async with aio.record("KRW-BTC") as recorder:  # doctest: +SKIP
    ...     await recorder.wait(60)
    """
    codes, _ = parse_markets(markets)
    query = RecordQuery(codes, _types(kinds), sampling(every))
    engine = engine_for(config)

    async def keep_list() -> None:
        lists = engine.lists
        if lists is not None and not await in_thread(lists.has, engine.ports.server_time.now()):
            await engine.quotes.markets(None)

    return Recorder(RecordSession(query, engine.ports, hub_opener(config, codes), keep_list), config.tz)


def _types(kinds: Any) -> tuple[str, ...]:
    named = [kinds] if isinstance(kinds, str) else list(kinds)
    types = tuple(dict.fromkeys(map(parse_kind, named)))
    if not types or "ticker" in types:
        raise QueryError(
            "a ticker cannot be recorded" if types else "no kind was given to record",
            suggestion="record trade, orderbook, candle.1s; trades and order books say more than tickers do",
        )
    return types
