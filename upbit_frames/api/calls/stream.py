"""Streams."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from upbit_frames.api.engine import engine_for
from upbit_frames.api.literals import Markets, Output, Streamed, StreamKind, Zone
from upbit_frames.api.progress import CollectProgressBar
from upbit_frames.core.config import Config
from upbit_frames.core.market_selection import MarketSelection
from upbit_frames.core.query import View
from upbit_frames.core.stream_query import BUFFER, StreamQuery
from upbit_frames.errors import QueryError
from upbit_frames.live.feed import Feed
from upbit_frames.live.hub.hub import Hub
from upbit_frames.live.stream import OpenHub, Stream
from upbit_frames.live.stream_frames import checked
from upbit_frames.router.market_selection import resolve
from upbit_frames.runtime.telemetry import telemetry

__all__ = ["hub_opener", "market_hub_opener", "open_stream", "stream"]


def stream(
    config: Config,
    markets: Markets | None = None,
    kind: StreamKind = "trade",
    *,
    quote: str | None = None,
    seconds: float | None = None,
    count: int | None = None,
    background: bool = False,
    depth: int = 30,
    level: float | None = None,
    buffer: int = BUFFER,
    tz: Zone | None = None,
    output: Output | None = None,
) -> Streamed:
    """Live rows over the WebSocket: collected into a frame, one batch after the other, or in the background.

    Parameters
    ----------
    markets : str, iterable of str, or frame or index of markets
        As for :func:`candles`. Checked against the market list when the stream is opened, since the exchange
        ignores what it does not know.
    kind : str
        ``"trade"``, ``"ticker"``, ``"orderbook"``, or ``"candle.<interval>"`` from 1s to 4h.
    quote : str, optional
        Every market of a quote currency that is listed when the stream is opened, instead of ``markets``.
    seconds, count : float, int, optional
        Collect for so long or so many rows, whichever comes first, and return one frame. Order
        books are counted whole; the updates of one candle count as one.
    background : bool
        Return a :class:`~upbit_frames.live.feed.Feed` that fills a buffer until ``.close()``.
    depth : int
        Price levels of each side of an order book, 1 to 30.
    level : float, optional
        Group an order book's prices; see ``uf.instruments``.
    buffer : int
        Most rows that may wait for a reader, or that a background feed keeps. What does not fit
        is dropped, oldest first, and counted in ``.stats``; the connection never waits.
    tz, output : str, optional
        As for :func:`candles`.

    Returns
    -------
    pandas.DataFrame, pyarrow.Table or polars.DataFrame
        With ``seconds`` or ``count``. Index ``time``; columns market, those that REST gives for
        the kind, ``stream_type`` (SNAPSHOT, REALTIME, or REST for a backfilled row) and
        ``received_at`` (aware, by this machine's clock). Each trade once, in order of time; of a
        candle its latest state. ``attrs["upbit_frames"]["gaps"]`` lists the breaks. Ctrl-C ends it
        early, with what has come, ``attrs["upbit_frames"]["interrupted"]`` and a warning.
    Feed
        With ``background=True``; ``for batch in feed`` gives what is in the buffer, then what comes.
    Stream
        With neither: ``for batch in stream``, or ``async for``; ``with`` closes it at a certain place.

    Raises
    ------
    InvalidMarket, InvalidInterval, QueryError
        Before anything is opened.
    MarketNotFound
    ConnectionFailed, Timeout, RateLimited, Blocked
        If no connection can be opened. Later breaks are repaired and listed in ``.gaps``.

    Warns
    -----
    UpbitFramesWarning
        If a collected frame lacks rows that REST did not give in time, or the stream ended early.

    Notes
    -----
    upbit-api 6. After a break the rows that were missed are fetched over REST: trades exactly, by
    ``sequential_id``, candles by time.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> df = uf.stream("KRW-BTC", "trade", seconds=10)  # doctest: +SKIP
    >>> for batch in uf.stream("KRW-BTC", "trade"):  # doctest: +SKIP
    ...     print(batch)
    >>> feed = uf.stream(["KRW-BTC", "KRW-ETH"], "ticker", background=True)  # doctest: +SKIP
    >>> feed.to_frame().tail(); feed.close()  # doctest: +SKIP
    """
    collecting = seconds is not None or count is not None
    if background and collecting:
        raise QueryError("background was given with seconds or count", suggestion="give one of them")
    if collecting:
        checked(seconds, count)
    stream_ = open_stream(
        config, markets, kind, quote=quote, depth=depth, level=level, buffer=buffer, tz=tz, output=output
    )  # fmt: skip
    if background:
        return Feed(stream_)
    if not collecting:
        return stream_
    title = f"{stream_.query.type} {stream_.query.selection.title}"
    bar = CollectProgressBar(seconds, count, config.progress, title)
    with telemetry.call("stream") as record:
        try:
            frame, backfilled = stream_.collected(seconds, count, bar.tick if bar.wanted else None)
        finally:
            bar.close()
        route = [{"channel": "live", "reason": "collected", "rows": len(frame) - backfilled}]
        if backfilled:
            route.append({"channel": "rest", "reason": "after a break", "rows": backfilled})
        record.answered({"route": route})
    return frame


def open_stream(
    config: Config,
    markets: Markets | None = None,
    kind: StreamKind = "trade",
    *,
    quote: str | None = None,
    depth: int = 30,
    level: float | None = None,
    buffer: int = BUFFER,
    tz: Zone | None = None,
    output: Output | None = None,
) -> Stream:
    """Live rows over the WebSocket, for ``async with`` and ``async for``.

    Parameters
    ----------
    markets, kind, quote, depth, level, buffer, tz, output
        As for ``uf.stream``.

    Returns
    -------
    Stream
        An asynchronous context manager and iterator of frames; ``await stream.collect(seconds=…)``
        gives one frame.

    Examples
    --------
    >>> from upbit_frames import aio
    >>> async with aio.stream("KRW-BTC", "orderbook", depth=5) as stream:  # doctest: +SKIP
    ...     async for batch in stream:
    ...         print(batch)
    """
    view = View.build(config, tz, output)
    query = StreamQuery.build(markets, kind, quote=quote, depth=depth, level=level, buffer=buffer)
    return Stream(query, view, market_hub_opener(config, query.selection, query.level))


def market_hub_opener(config: Config, selection: MarketSelection, level: float = 0.0) -> OpenHub:
    """What opens the hub of these settings on the background loop, and makes sure of the markets."""
    engine = engine_for(config)

    async def opened() -> tuple[Hub, tuple[str, ...]]:
        from upbit_frames.live.hub.registry import hub_for

        codes = await resolve(engine.quotes, selection)
        hub = hub_for(config, engine.ports)
        if hub.live:
            await engine.quotes.require(codes, level)
        return hub, codes

    return opened


def hub_opener(config: Config, markets: tuple[str, ...]) -> Callable[[], Awaitable[Hub]]:
    """As :func:`market_hub_opener`, for markets that are codes already."""
    opener = market_hub_opener(config, MarketSelection(markets))

    async def opened() -> Hub:
        return (await opener())[0]

    return opened
