"""The channels side by side."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from upbit_frames.api import channel_comparison as comparison
from upbit_frames.api.calls.call import Call
from upbit_frames.api.engine import Engine, engine_for
from upbit_frames.api.literals import Markets, ProgressMode
from upbit_frames.core import arguments
from upbit_frames.core.arguments import number, whole
from upbit_frames.core.config import Config
from upbit_frames.core.market_selection import parse_selection
from upbit_frames.core.query import CandleQuery, TradeQuery
from upbit_frames.core.route import metadata
from upbit_frames.core.topics import interval_of, parse_kind
from upbit_frames.router.market_selection import resolve
from upbit_frames.router.result import Result
from upbit_frames.runtime.progress import Progress
from upbit_frames.runtime.telemetry import telemetry

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["compare"]

MAX_ROUNDS = 5_000
COMPARED_TRADES = 30  # so many of each market are compared


def compare(
    config: Config,
    kind: str = "ticker",
    markets: Markets | None = None,
    n: int = 50,
    *,
    quote: str | None = None,
    every: float = 0.2,
    depth: int = 5,
    progress: ProgressMode | None = None,
) -> Call[pd.DataFrame]:
    """Request the same from REST and from the stream repeatedly, and compare the answers.

    Parameters
    ----------
    kind : str
        ``"ticker"``, ``"orderbook"``, ``"trades"`` (the newest 30), or ``"candle.<interval>"`` from
        1s to 4h (the newest sealed one and the one that can still change).
    markets : str, iterable of str, or frame or index of markets
        As for :func:`candles`; default ``"KRW-BTC"``. Trades and candles of several markets are requested side by side.
    n : int
        Requests to each channel, 2 to 5,000.
    quote : str, optional
        Every market of a quote currency, instead of ``markets``.
    every : float
        Seconds between two rounds. Below 0.1 s REST waits for its limit of ten requests a second,
        and that wait is part of its latency.
    depth : int
        Price levels of each side of an order book, 1 to 30.
    progress
        As for :func:`candles`.

    Returns
    -------
    pandas.DataFrame
        Index ``channel``: rest, live. Columns, times in milliseconds:

        * attempts, answered: how many requests were made, and how many succeeded
        * opening: latency of the first answer, which had to open a connection; not part of the rest
        * latency_p50, latency_p95, latency_max: from asking until the table was there (making a
          frame of it takes the same over both channels)
        * age_p50, age_p95: the exchange's time when the answer was here, minus the time of its
          values: of the last trade (ticker, trades) or the last change (order book), on average over
          the markets. A quiet market makes both channels old; what counts is the difference. The
          exchange's time is known to within ``attrs["upbit_frames"]["clock_uncertainty"]`` ms, an
          error that both share. NaN for candles, whose rows carry no time of change
        * newer: share of the pairs of states of one market in which this channel had the later one
        * same: share in which both had the same
        * agreement: share of the rounds in which nothing contradicts: the same time means the same
          values, and the newer state explains the older one (trades reached by both are the same
          ones; volume and high have not fallen, low has not risen, open has stayed). Of two books
          that changed at different times nothing can be checked; see ``same``
        * requests: over REST, also those that the stream needed

        ``attrs["upbit_frames"]["samples"]`` is a list of every answer: round, channel, latency, age,
        newest (microseconds, UTC), requests, error; ``pandas.DataFrame(...)`` of it is the raw data.

    Raises
    ------
    InvalidMarket, InvalidInterval, QueryError
        Before anything is requested.
    MarketNotFound, Blocked
        Any other failure of a single answer is counted, and stands in the samples.

    Notes
    -----
    Both channels are requested right after each other, and take turns in being first. It takes
    ``n * every`` seconds and at least ``n`` requests.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> uf.compare("ticker", ["KRW-BTC"], n=50)[["latency_p50", "age_p50", "agreement"]]  # doctest: +SKIP
    """
    type_ = parse_kind(kind)
    selection = parse_selection("KRW-BTC" if markets is None and quote is None else markets, quote)
    n = whole("n", n, 2, MAX_ROUNDS)
    every = number("every", every, 0, 3600, suggestion="give seconds between two rounds, such as 0.2")
    depth = arguments.depth(depth)
    engine, meter = engine_for(config), Progress(expected=2 * n)
    short = type_.partition(".")[0]

    def count(_: comparison.Sample) -> None:
        meter.requests += 1

    async def work() -> tuple[tuple[str, ...], list[comparison.Sample]]:
        codes = await resolve(engine.quotes, selection)
        await engine.quotes.require(codes)

        async def fetch(channel: str) -> tuple[dict[str, comparison.State], int]:
            return await _fetch_states(engine, type_, codes, depth, channel)

        return codes, await comparison.sample_alternately(fetch, n, every, engine.ports.clock, count)

    def finish(answer: tuple[tuple[str, ...], list[comparison.Sample]]) -> pd.DataFrame:
        import pandas as pd

        codes, samples = answer
        clock = engine.ports.server_time
        # The offset is a lower bound; the middle of what is possible is off by half of it at most.
        offset = clock.offset + (clock.uncertainty or 0) // 2
        answered = Counter(sample.channel for sample in samples if not sample.error)
        route = [{"channel": channel, "reason": "compare", "rows": number} for channel, number in answered.items()]
        telemetry.answered({"route": route})
        frame = pd.DataFrame.from_dict(comparison.summary(short, samples, offset), orient="index")
        frame.index.name = "channel"
        frame = frame.astype(dict.fromkeys(("attempts", "answered", "requests"), "int64"))
        frame.attrs["upbit_frames"] = metadata(
            type_, None, market=list(codes), n=n, every=float(every), fetched_at=clock.now(),
            clock_uncertainty=(clock.uncertainty or 0) / 2000, samples=comparison.to_rows(short, samples, offset),
        )  # fmt: skip
        return frame

    return Call(
        work, finish, meter, f"{type_} by REST and by stream", config.progress if progress is None else progress
    )


async def _fetch_states(
    engine: Engine, type_: str, codes: tuple[str, ...], depth: int, channel: str
) -> tuple[dict[str, comparison.State], int]:
    """Return the states one channel has now, and the requests that this took."""
    if type_ == "ticker":
        answer = await engine.quotes.ticker(codes, None, False, channel)
        return comparison.states_of("ticker", answer.arrow), _requests(answer)
    if type_ == "orderbook":
        answer = await engine.quotes.orderbook(codes, depth, None, False, channel)
        return comparison.states_of("orderbook", answer.arrow), _requests(answer)

    async def states_of(market: str) -> tuple[dict[str, comparison.State], int]:
        if type_ == "trade":
            query = TradeQuery.build(market, count=COMPARED_TRADES, source=channel)
            answer = await engine.trades.fetch(query, Progress())
        else:
            interval = interval_of(type_)
            candle_query = CandleQuery.build(market, interval, count=1, forming=True, source=channel)
            answer = await engine.candles.fetch(candle_query, Progress())
        return comparison.states_of(type_.partition(".")[0], answer.arrow, market), _requests(answer)

    answers = await asyncio.gather(*(states_of(market) for market in codes))
    return {code: state for states, _ in answers for code, state in states.items()}, sum(count for _, count in answers)


def _requests(answer: Result) -> int:
    return sum(int(step["requests"]) for step in answer.meta["route"])
