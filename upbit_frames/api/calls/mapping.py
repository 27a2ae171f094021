"""One function over many markets."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from upbit_frames.api.calls.call import warn_user, warning_sink
from upbit_frames.api.engine import engine_for, server_now
from upbit_frames.api.literals import Gaps, IntervalLike, Markets, Moment, ProgressMode, Source, Zone
from upbit_frames.api.progress import ProgressBar
from upbit_frames.core.arguments import whole
from upbit_frames.core.config import Config
from upbit_frames.core.market_selection import MarketSelection, parse_selection
from upbit_frames.core.query import CandleQuery
from upbit_frames.core.text import counted
from upbit_frames.datasets.mapping import (
    MAX_WORKERS,
    Outcome,
    Task,
    combine,
    decode,
    encode,
    executor_of,
    run_all,
    text_of,
)  # fmt: skip
from upbit_frames.errors import MarketNotFound, NotCached, QueryError
from upbit_frames.router.market_selection import resolve
from upbit_frames.runtime import event_loop
from upbit_frames.runtime.progress import Progress
from upbit_frames.runtime.telemetry import telemetry

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["map_markets"]

ANCHORS = 5  # markets that are tried to learn where the range ends
FETCHERS = 8  # threads that fetch ahead of workers in other processes; the request limit is what binds


def map_markets(
    config: Config,
    func: Callable[[Any], Any],
    markets: Markets | None = None,
    interval: IntervalLike = "1d",
    *,
    quote: str | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
    count: int | None = None,
    gaps: Gaps = "raw",
    tz: Zone | None = None,
    columns: Iterable[str] | None = None,
    source: Source = "auto",
    scheduler: Any = "threads",
    workers: int | None = None,
    progress: ProgressMode | None = None,
) -> pd.DataFrame:
    """Call a function with the candles of each market, in parallel, and return the results as one frame.

    Parameters
    ----------
    func : callable
        Called as ``func(frame)`` with what ``uf.candles(market, interval, …)`` returns. What it raises becomes a row.
    markets, interval, quote, start, end, count, gaps, tz, columns, source
        As for :func:`candles`. Every market is read over the same range: an open end is the time of the call.
    scheduler : {"threads", "processes"}, concurrent.futures.Executor, or dask.distributed.Client
        Where the function runs. Threads share this process: good for fetching, and for functions that spend their time
        in numpy or pandas. Processes need a function that can be sent (with cloudpickle, extra ``dask``, also one
        defined in a notebook) and, in a script, the usual ``if __name__ == "__main__":``. What is missing is fetched
        first, by this process. Workers on other machines read their own store, and fetch what it lacks.
    workers : int, optional
        Of threads or processes, 1 to 32. Default: the processors of the machine.
    progress : bool or "auto", optional
        A progress bar, one step a market.

    Returns
    -------
    pandas.DataFrame
        Index ``market`` in the order of the markets, or (market, …) where the function returns frames. A mapping, a
        Series or a dataclass gives a column for each key; anything else the column ``result``. The last column,
        ``error``, holds the type and text of what failed, and is empty elsewhere.

    Raises
    ------
    InvalidMarket, InvalidInterval, InvalidRange, QueryError
        Before anything is fetched.
    UsageError
        If the function cannot be sent to another process.

    Warns
    -----
    UpbitFramesWarning
        If markets failed: how many, and the first reason.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> def drawdown(frame):
    ...     return (frame["close"] / frame["close"].cummax() - 1).min()
    >>> uf.map(drawdown, quote="KRW", start="2025-01-01", scheduler="processes")  # doctest: +SKIP
    """
    if not callable(func):
        raise QueryError(
            f"func must be callable with one frame, got {func!r}", suggestion="such as lambda frame: len(frame)"
        )
    if workers is not None:
        whole("workers", workers, 1, MAX_WORKERS)
    selection = parse_selection(markets, quote)
    arguments: dict[str, Any] = {
        "interval": interval, "start": start, "end": end, "count": count, "gaps": gaps,
        "tz": config.tz if tz is None else tz, "source": source,
        "columns": None if columns is None else [columns] if isinstance(columns, str) else list(columns),
    }  # fmt: skip
    CandleQuery.build(selection, now=server_now(config), **arguments)
    with executor_of(scheduler, workers) as (executor, elsewhere), telemetry.call("map"):
        codes = _codes(config, selection)
        bar = _MarketBar(len(codes), config.progress if progress is None else progress)
        try:
            outcomes = _run(config, func, codes, arguments, executor, elsewhere, bar.tick)
        finally:
            bar.close()
    warn_user(dict.fromkeys(text for outcome in outcomes.values() for text in outcome.warnings))
    failed = [outcomes[code] for code in codes if outcomes[code].error]
    if failed:
        text = (
            f"{counted(len(failed), 'market')} of {len(codes)} failed, the first {failed[0].market}: {failed[0].error}"
        )
        warn_user([f"{text}; see the column error"])
    return combine(codes, outcomes)


def _codes(config: Config, selection: MarketSelection) -> tuple[str, ...]:
    if selection.settled:
        return selection.markets
    return event_loop.run(resolve, engine_for(config).quotes, selection)


def _run(
    config: Config, func: Callable[[Any], Any], codes: Sequence[str], arguments: dict[str, Any],
    executor: Executor, elsewhere: bool, tick: Callable[[int], None],
) -> dict[str, Outcome]:  # fmt: skip
    from upbit_frames.api.calls.candles import candles
    from upbit_frames.api.invocation import call_sync

    def read(market: str, **how: Any) -> Any:
        return call_sync(candles, config, market, **how, progress=False)

    arguments = _with_end(read, codes, arguments)
    if not elsewhere:
        return run_all(executor, [(code, run_here, (func, read, code, arguments)) for code in codes], tick)
    function = encode(func)
    fetched = fetch_ahead(config, read, codes, arguments)
    settings = {field.name: getattr(config, field.name) for field in dataclasses.fields(config) if field.init}
    ready = [code for code in codes if not fetched[code].error]
    done = run_all(executor, [(code, run_task, (Task(settings, code, arguments, function),)) for code in ready], tick)
    return {code: done.get(code, fetched[code]) for code in codes}


def _with_end(read: Callable[..., Any], codes: Sequence[str], arguments: dict[str, Any]) -> dict[str, Any]:
    """Fix an open end by one small call, so that every market has the same range by the exchange's clock."""
    if arguments["end"] is not None or (arguments["start"] is not None and arguments["count"] is not None):
        return arguments
    for code in codes[:ANCHORS]:
        try:
            newest = read(code, interval=arguments["interval"], count=1, source=arguments["source"], output="pandas")
        except (MarketNotFound, NotCached):
            continue
        return {**arguments, "end": newest.attrs["upbit_frames"]["end"]}
    return arguments


def run_here(
    func: Callable[[Any], Any], read: Callable[..., Any], market: str, arguments: Mapping[str, Any]
) -> Outcome:
    """Read one market's frame and give it to the function; a failure becomes the outcome's error."""
    texts: list[str] = []
    try:
        token = warning_sink.set(texts.append)  # one frame of many: the caller of map sees each text once
        try:
            frame = read(market, **arguments)
        finally:
            warning_sink.reset(token)
        return Outcome(market, func(frame), warnings=tuple(texts))
    except Exception as error:  # noqa: BLE001 - it is the caller's function
        return Outcome(market, error=text_of(error), warnings=tuple(texts))


def run_task(task: Task) -> Outcome:
    """Do a task in another process: load the function, read the frame, call it."""
    from upbit_frames.api.client import Client

    try:
        func = decode(task.function)
        client = Client(Config(**task.settings))
    except Exception as error:  # noqa: BLE001 - unpickling runs any code
        return Outcome(task.market, error=text_of(error))
    with client:
        return run_here(func, client.candles, task.market, {**task.arguments, "progress": False})


def fetch_ahead(
    config: Config, read: Callable[..., Any], codes: Sequence[str], arguments: dict[str, Any]
) -> dict[str, Outcome]:
    """Have every market stored before workers in other processes read it; what is stored is not read here."""
    how = {**arguments, "columns": ["close"], "gaps": "raw", "output": "arrow"}

    def fetch(market: str, **arguments: Any) -> Sequence[Any]:
        given = {name: value for name, value in arguments.items() if name not in ("columns", "output")}
        query = CandleQuery.build(parse_selection(market), now=server_now(config), **given)
        if not event_loop.run(engine_for(config).candles.plan, query).requests:
            return ()
        rows: Sequence[Any] = read(market, **arguments)
        return rows

    with ThreadPoolExecutor(FETCHERS, thread_name_prefix="upbit-frames-fetch") as threads:
        return run_all(threads, [(code, run_here, (len, fetch, code, how)) for code in codes], lambda done: None)


class _MarketBar:
    """A progress bar with one step a market."""

    def __init__(self, total: int, mode: bool | str) -> None:
        self._meter = Progress(expected=total)
        self._bar = ProgressBar(self._meter, mode, "map")

    def tick(self, done: int) -> None:
        """Bring the bar up to date."""
        self._meter.requests = done
        self._bar.tick()

    def close(self) -> None:
        """Leave the bar as it ended."""
        self._bar.close(finished=False)
