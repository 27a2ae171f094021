"""Candles that continue."""

from __future__ import annotations

from upbit_frames.api.calls.call import Call
from upbit_frames.api.calls.stream import market_hub_opener
from upbit_frames.api.engine import engine_for
from upbit_frames.api.literals import DayBase, IntervalLike, Markets, Output, Zone
from upbit_frames.core.arguments import flag, whole
from upbit_frames.core.bar_grid import BarGrid, Grid, parse_grid, sources
from upbit_frames.core.config import Config
from upbit_frames.core.intervals import INTERVALS, Interval
from upbit_frames.core.market_selection import parse_selection
from upbit_frames.core.query import MAX_COUNT, View
from upbit_frames.errors import InvalidInterval, InvalidRange
from upbit_frames.live.follow.batches import FollowQuery
from upbit_frames.live.follow.follow import Follow
from upbit_frames.live.follow.session import FollowSession
from upbit_frames.runtime.progress import Progress

__all__ = ["follow", "open_follow"]

DEFAULT_KEEP = 100_000  # sealed candles of each market


def follow(
    config: Config,
    market: Markets | None = None,
    interval: IntervalLike = "1m",
    history: int = 500,
    *,
    quote: str | None = None,
    forming: bool = False,
    keep: int | None = None,
    base: DayBase | None = None,
    tz: Zone | None = None,
    output: Output | None = None,
) -> Call[Follow]:
    """Candles that continue: history first, then each sealed candle exactly once, without a hole.

    Parameters
    ----------
    market : str, iterable of str, or frame or index of markets
        As for :func:`candles`; several give frames indexed by (market, time).
    interval : str or datetime.timedelta
        One that Upbit streams: ``1s 1m 3m 5m 10m 15m 30m 1h 4h``; or any other that is derived from one of
        these, such as ``"45m"``, ``"2h"``, ``"3d"``, as in :func:`candles`.
    history : int
        So many of the newest sealed candles to begin with, as ``uf.candles(count=history)`` gives
        them; 0 for none.
    quote : str, optional
        Every market of a quote currency that is listed when the follow is opened, instead of ``market``.
    forming : bool
        Iterating also gives a frame whenever the candle that can still change has changed, and
        every frame has a boolean column ``sealed``.
    keep : int, optional
        Most sealed candles of each market that stay in memory for ``.to_frame()``, at least
        ``history``. Default: 100,000, or ``history`` if that is more.
    base, tz, output : str, optional
        As for :func:`candles`; with ``base="Asia/Seoul"`` also days, weeks and months.

    Returns
    -------
    Follow
        Open already, with the history; see :class:`~upbit_frames.live.follow.follow.Follow`. Iterate over
        it (``for`` or ``async for``): the history as one frame, then a frame whenever candles were
        sealed. ``.to_frame()`` gives all of it at any time. ``.gaps``, ``.stats``; ``.close()``,
        or use it in ``with``.

    Raises
    ------
    InvalidMarket, InvalidInterval, InvalidRange, QueryError
        Before anything is opened.
    MarketNotFound
    RateLimited, Blocked, ServerError, Timeout, ConnectionFailed, SchemaError, StoreError
        If the history cannot be fetched. Later, what passes is tried again until it has passed; what
        cannot pass is raised to the reader, after everything that came before it.

    Notes
    -----
    A candle is sealed when its period and a grace of 5 s are over by the exchange's clock; then it
    is fetched over REST (one request a market and period; of second candles several at once, every
    5 s or more), put into the store, and handed out, so it always equals what ``uf.candles`` gives.
    A derived candle is sealed when the last candle that it consists of is.
    Forming candles come from the stream (upbit-api 6.9). While the stream is down, sealed candles
    go on coming. A period without a trade has no candle.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> with uf.follow("KRW-BTC", "1m", history=500) as f:  # doctest: +SKIP
    ...     for batch in f:
    ...         print(batch.tail(1))
    """
    meter = Progress()
    follow_ = _build_follow(config, market, quote, interval, history, forming, keep, base, tz, output, meter)
    query = follow_.query
    title = f"{query.selection.title} {query.grid}"
    return Call(follow_._open, lambda _: follow_.opened(), meter, title, config.progress)


def open_follow(
    config: Config,
    market: Markets | None = None,
    interval: IntervalLike = "1m",
    history: int = 500,
    *,
    quote: str | None = None,
    forming: bool = False,
    keep: int | None = None,
    base: DayBase | None = None,
    tz: Zone | None = None,
    output: Output | None = None,
) -> Follow:
    """Candles that continue, for ``async with`` and ``async for``.

    Parameters
    ----------
    market, interval, history, quote, forming, keep, base, tz, output
        As for ``uf.follow``.

    Returns
    -------
    Follow
        An asynchronous context manager and iterator of frames; not open yet.

    Examples
    --------
    >>> from upbit_frames import aio
    >>> async with aio.follow("KRW-BTC", "1m") as f:  # doctest: +SKIP
    ...     async for batch in f:
    ...         print(batch)
    """
    return _build_follow(config, market, quote, interval, history, forming, keep, base, tz, output, Progress())


def _build_follow(
    config: Config, market: object, quote: object, interval: object, history: object, forming: object, keep: object,
    base: object, tz: object, output: str | None, meter: Progress,
) -> Follow:  # fmt: skip
    """Everything checked, nothing opened."""
    view = View.build(config, tz, output)
    selection = parse_selection(market, quote)
    number = whole("history", history, 0, MAX_COUNT, suggestion="0 begins without history", error=InvalidRange)
    least = max(1, number)
    fits = "keep must have room for the history"
    room = max(DEFAULT_KEEP, number) if keep is None else whole("keep", keep, least, suggestion=fits)
    streamed, bars = _streamable(parse_grid(interval, base, view.tz))
    query = FollowQuery(selection, streamed, number, flag("forming", forming), room, bars)
    return Follow(view, FollowSession(query, engine_for(config).candles, market_hub_opener(config, selection), meter))


def _streamable(grid: Grid) -> tuple[Interval, BarGrid | None]:
    """Return the interval that is streamed for a grid, and what its candles are aggregated to, if anything."""
    if isinstance(grid, BarGrid):
        # Seconds are streamed, so there is always a source.
        return next(source for source in sources(grid) if source.stream is not None), grid
    if grid.stream is None:
        streamed = [interval.name for interval in INTERVALS.values() if interval.stream is not None]
        raise InvalidInterval(
            f"there is no stream of {grid.name} candles to follow",
            suggestion=f"follow one of {', '.join(streamed)}, or what is derived from them (such as '2h' or "
            f"'1d' with base='Asia/Seoul'), or ask uf.candles(market, {grid.name!r}, forming=True) now and then",
            interval=grid.name,
        )
    return grid, None
