"""One function over many markets: the workers' part, and how their results become one frame.

A worker may be a thread, a process of this machine or of a cluster. It gets everything by value (settings, market,
arguments, the function) and reads its frame itself, so that only results travel.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import multiprocessing
import os
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from upbit_frames.errors import QueryError, UsageError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Outcome", "Task", "combine", "decode", "encode", "executor_of", "run_all", "text_of"]

SCHEDULERS = ("threads", "processes")
MAX_WORKERS = 32
ERROR = "error"  # the column of failures


@dataclass(frozen=True)
class Task:
    """What a worker does: read one market's frame and give it to the function.

    Attributes
    ----------
    settings : dict
        Of the client that reads.
    market : str
    arguments : dict
        Of ``candles``, but for the market.
    function : bytes
        The function, pickled once for all tasks.
    """

    settings: Mapping[str, Any]
    market: str
    arguments: Mapping[str, Any]
    function: bytes


@dataclass(frozen=True)
class Outcome:
    """What came of one market: a value, or the text of what failed; and the warnings of reading it."""

    market: str
    value: Any = None
    error: str = ""
    warnings: tuple[str, ...] = ()


def encode(func: Callable[..., Any]) -> bytes:
    """Pickle a function for workers that are other processes.

    Raises
    ------
    UsageError
        If it cannot be pickled, as those of a notebook without cloudpickle.
    """
    try:
        if importlib.util.find_spec("cloudpickle") is not None:
            import cloudpickle

            data: bytes = cloudpickle.dumps(func)
            return data
        return pickle.dumps(func)
    except Exception as error:
        raise UsageError(
            f"the function cannot be sent to another process: {error}",
            suggestion='scheduler="threads" needs no sending; cloudpickle (extra "dask") sends functions of notebooks',
        ) from error


def decode(data: bytes) -> Callable[..., Any]:
    """Unpickle a function that this user's own process pickled."""
    func: Callable[..., Any] = pickle.loads(data)  # noqa: S301 - see above
    return func


def text_of(error: Exception) -> str:
    """Return the type and the text of an error."""
    return f"{type(error).__name__}: {error}"


# --- where the workers are ------------------------------------------------------------------------


@contextmanager
def executor_of(scheduler: Any, workers: int | None) -> Iterator[tuple[Executor, bool]]:
    """Yield an executor, and whether its workers are other processes.

    Parameters
    ----------
    scheduler : {"threads", "processes"}, concurrent.futures.Executor, or dask.distributed.Client
    workers : int, optional
        For the first two; default as many as there are processors.

    Raises
    ------
    QueryError
        If the scheduler is none of these.
    """
    number = min(MAX_WORKERS, workers or os.cpu_count() or 1)
    if scheduler == "threads":
        with ThreadPoolExecutor(number, thread_name_prefix="upbit-frames-map") as threads:
            yield threads, False
    elif scheduler == "processes":
        # Not forked: the child would inherit locks of threads that it does not have.
        from concurrent.futures import ProcessPoolExecutor  # its import fails while the interpreter ends

        with ProcessPoolExecutor(number, mp_context=multiprocessing.get_context("spawn")) as processes:
            yield processes, True
    elif isinstance(scheduler, Executor):
        yield scheduler, not isinstance(scheduler, ThreadPoolExecutor)
    elif callable(getattr(scheduler, "get_executor", None)):
        yield scheduler.get_executor(), True
    else:
        raise QueryError(
            f"scheduler must be one of {', '.join(map(repr, SCHEDULERS))}, an executor or a Dask client, "
            f"got {scheduler!r}"
        )


def run_all(
    executor: Executor, jobs: Sequence[tuple[str, Callable[..., Outcome], tuple[Any, ...]]], tick: Callable[[int], None]
) -> dict[str, Outcome]:
    """Run jobs, one a market; a worker that dies costs its markets, not the others' results.

    If the caller is interrupted, what has not begun is dropped.
    """
    futures: dict[Future[Outcome], str] = {}
    outcomes: dict[str, Outcome] = {}
    try:
        for market, func, arguments in jobs:
            futures[executor.submit(func, *arguments)] = market
        for done in as_completed(futures):
            market = futures[done]
            error = done.exception()
            outcomes[market] = Outcome(market, error=text_of(error)) if isinstance(error, Exception) else done.result()
            tick(len(outcomes))
    except BaseException:
        for future in futures:
            future.cancel()
        raise
    return outcomes


# --- results as one frame ---------------------------------------------------------------------------


def combine(markets: Sequence[str], outcomes: Mapping[str, Outcome]) -> pd.DataFrame:
    """Put the results of all markets into one frame, failures included.

    Returns
    -------
    pandas.DataFrame
        Index ``market`` in the order given (with further levels where the function returned frames). A mapping or a
        Series gives a column for each key, a dataclass one for each field, anything else the column ``result``.
        ``error`` is empty where the function returned.
    """
    import pandas as pd

    ordered = [outcomes[market] for market in markets if market in outcomes]
    if any(isinstance(outcome.value, pd.DataFrame) for outcome in ordered):
        return _stacked(ordered)
    rows = [
        {**_row(outcome.value), ERROR: outcome.error} if not outcome.error else {ERROR: outcome.error}
        for outcome in ordered
    ]
    frame = pd.DataFrame(rows, index=pd.Index([outcome.market for outcome in ordered], name="market", dtype=object))
    columns = [name for name in dict.fromkeys(name for row in rows for name in row) if name != ERROR]
    return frame.reindex(columns=[*columns, ERROR]) if len(frame) else pd.DataFrame(columns=[ERROR], index=frame.index)


def _row(value: Any) -> dict[Any, Any]:
    import pandas as pd

    if isinstance(value, pd.Series):
        return value.to_dict()
    if isinstance(value, Mapping):
        return dict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {"result": value}


def _stacked(ordered: Sequence[Outcome]) -> pd.DataFrame:
    """Stack the frames of all markets; one that failed is a row without values."""
    import pandas as pd

    whole = [outcome.value for outcome in ordered if isinstance(outcome.value, pd.DataFrame)]
    names = [name if name is not None else "row" for name in whole[0].index.names]
    parts = []
    for outcome in ordered:
        frame = outcome.value
        if not isinstance(frame, pd.DataFrame):
            text = outcome.error or f"the function returned {type(frame).__name__}, for other markets DataFrame"
            frame = pd.DataFrame({ERROR: [text]}, index=_missing_index(whole[0].index))
        else:
            frame = frame.assign(**{ERROR: ""})
        parts.append(pd.concat({outcome.market: frame}, names=["market", *names]))
    stacked = pd.concat(parts)
    return stacked[[*(name for name in stacked.columns if name != ERROR), ERROR]]


def _missing_index(like: pd.Index) -> pd.Index:
    import pandas as pd

    if isinstance(like, pd.MultiIndex):
        return pd.MultiIndex.from_tuples([(None,) * like.nlevels], names=like.names)
    if isinstance(like, pd.DatetimeIndex):
        return pd.DatetimeIndex([pd.NaT], tz=like.tz).as_unit(like.unit)
    return pd.Index([None], dtype=object)
