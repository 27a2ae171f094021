"""How a call runs: at once from memory or the store, or on the background loop, for every face that a call has.

A call (``calls``) is written once. ``as_function``, ``as_coroutine``, ``as_method`` and ``as_async_method`` make its
faces; a type checker reads them in the stubs beside ``functions``, ``client`` and ``aio``.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import inspect
from collections.abc import Callable, Coroutine
from time import perf_counter
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from upbit_frames.api import engine
from upbit_frames.api.calls import Call
from upbit_frames.api.calls.call import invoke
from upbit_frames.api.progress import ProgressBar
from upbit_frames.core.config import Config, current
from upbit_frames.core.urls import redacted
from upbit_frames.errors import InvalidArgument, UsageError
from upbit_frames.router.result import Result
from upbit_frames.runtime import event_loop
from upbit_frames.runtime.preload import load
from upbit_frames.runtime.telemetry import CallSpan, summarise_route, telemetry

__all__ = [
    "AsyncClosing",
    "Closing",
    "as_async_method",
    "as_coroutine",
    "as_function",
    "as_method",
    "as_open_function",
    "as_opener",
    "as_threaded",
    "as_threaded_method",
    "call_async",
    "call_sync",
]

P = ParamSpec("P")
T = TypeVar("T")


def call_sync(
    func: Callable[Concatenate[Config, P], Call[T]], config: Config, /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run a call on the background loop and wait for it here; what is in memory or stored needs no loop."""
    begun = perf_counter()
    with _system_errors():
        load()
        call, local = _try_local(begun, True, func, config, *args, **kwargs)
        if local:
            return local[0]
        with telemetry.call(func.__name__, begun) as record:
            return _finish(call, record, _run_on_loop(call))


async def call_async(
    func: Callable[Concatenate[Config, P], Call[T]], config: Config, /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run a call on the background loop and await it here, on the caller's loop."""
    begun = perf_counter()
    with _system_errors():
        load()
        call, local = _try_local(begun, False, func, config, *args, **kwargs)
        if local:
            return local[0]
        with telemetry.call(func.__name__, begun) as record:
            return _finish(call, record, await _run_on_loop_async(call))


class _system_errors:  # noqa: N801 - a context manager; a class costs a third of a generator
    """Turn a lack of file handles, which can strike anywhere, into an error of this package."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            raise UsageError(
                "the process has no free file handles",
                suggestion="close files that are not needed, or raise the limit of open files (ulimit -n)",
            ) from error


def _try_local(
    begun: float,
    stored: bool,
    func: Callable[Concatenate[Config, P], Call[T]],
    config: Config,
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> tuple[Call[T], list[T]]:
    """The call, and what it gives if that is in memory or, where the store may be read here, stored."""
    name = func.__name__
    try:
        call = invoke(func, config, *args, **kwargs)
        result = call.cached()
        if result is None and stored:
            result = call.stored()
        if result is None:
            return call, []
        local = call.finish(result)
    except BaseException as error:
        telemetry.failed(name, begun, error)
        raise
    if type(result) is Result:
        # Written out, and little of it: a warm ticker is so quick that more would be felt.
        route, age = result.meta["route"], result.meta.get("age_ms")
        step = route[0] if len(route) == 1 else summarise_route(route)
        telemetry.record_local((name, begun, perf_counter(), step["channel"], step["rows"], age))
    return call, [local]


def _finish(call: Call[T], record: CallSpan, answer: Any) -> T:
    if isinstance(answer, Result):
        record.answered(answer.meta)
    return call.finish(answer)


def _run_on_loop(call: Call[Any]) -> Any:
    bar = ProgressBar(call.meter, call.progress, call.title)
    finished = False
    try:
        answer = event_loop.run(call.work, tick=bar.tick if bar.wanted else None)
        finished = True
        return answer
    finally:
        bar.close(finished=finished)


async def _run_on_loop_async(call: Call[Any]) -> Any:
    bar = ProgressBar(call.meter, call.progress, call.title)
    if not bar.wanted:
        return await event_loop.run_async(call.work)
    task = asyncio.ensure_future(event_loop.run_async(call.work))
    finished = False
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=event_loop.SLICE)
            bar.tick()
        finished = not task.cancelled() and task.exception() is None
        return task.result()
    finally:
        task.cancel()
        bar.close(finished=finished)


def _current_config() -> Config:
    with _system_errors():
        return current()


def as_method(func: Callable[Concatenate[Config, P], Call[T]]) -> Callable[Concatenate[Closing, P], T]:
    """The call as a method of ``Client``."""

    def method(self: Closing, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return call_sync(func, self._open_config(), *args, **kwargs)

    _copy_signature(method, func, "self")
    return method


def as_async_method(
    func: Callable[Concatenate[Config, P], Call[T]],
) -> Callable[Concatenate[AsyncClosing, P], Coroutine[Any, Any, T]]:
    """The call as a method of ``AsyncClient``."""

    async def method(self: AsyncClosing, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await call_async(func, self._open_config(), *args, **kwargs)

    _copy_signature(method, func, "self")
    return method


def as_function(func: Callable[Concatenate[Config, P], Call[T]]) -> Callable[P, T]:
    """The call as a function with the settings in force."""

    def function(*args: P.args, **kwargs: P.kwargs) -> T:
        return call_sync(func, _current_config(), *args, **kwargs)

    _copy_signature(function, func)
    return function


def as_coroutine(func: Callable[Concatenate[Config, P], Call[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """The call as a coroutine function with the settings in force."""

    async def function(*args: P.args, **kwargs: P.kwargs) -> T:
        return await call_async(func, _current_config(), *args, **kwargs)

    _copy_signature(function, func)
    return function


def as_opener(func: Callable[Concatenate[Config, P], T]) -> Callable[Concatenate[Any, P], T]:
    """What returns something that lives on, such as a stream, as a method of either client."""

    def method(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return invoke(func, self._open_config(), *args, **kwargs)

    _copy_signature(method, func, "self")
    return method


def as_open_function(func: Callable[Concatenate[Config, P], T]) -> Callable[P, T]:
    """The same as a function with the settings in force."""

    def function(*args: P.args, **kwargs: P.kwargs) -> T:
        return invoke(func, _current_config(), *args, **kwargs)

    _copy_signature(function, func)
    return function


def as_threaded(func: Callable[Concatenate[Config, P], T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Make a coroutine function of what runs the caller's own code: it runs in a thread, not on the loop."""

    async def function(*args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.to_thread(invoke, func, _current_config(), *args, **kwargs)

    _copy_signature(function, func)
    return function


def as_threaded_method(
    func: Callable[Concatenate[Config, P], T],
) -> Callable[Concatenate[AsyncClosing, P], Coroutine[Any, Any, T]]:
    """Make the same as a method of ``AsyncClient``."""

    async def method(self: AsyncClosing, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.to_thread(invoke, func, self._open_config(), *args, **kwargs)

    _copy_signature(method, func, "self")
    return method


def _copy_signature(local: Any, func: Callable[..., Any], *first: str) -> None:
    """Name, docstring and signature of the call, without the settings that help() must not show."""
    functools.update_wrapper(local, func)
    signature = inspect.signature(func)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, kind) for name in first]
    parameters += list(signature.parameters.values())[1:]
    result = str(signature.return_annotation)
    if result.startswith("Call["):
        result = result[len("Call[") : -1]
    local.__signature__ = signature.replace(parameters=parameters, return_annotation=result)
    del local.__wrapped__


class ClientBase:
    """Its own settings, taken once: environment, then what is given."""

    def __init__(self, config: Config | None = None, **settings: Any) -> None:
        if config is not None and not isinstance(config, Config):
            raise InvalidArgument(
                f"a client takes a Config or settings by name, got {config!r}",
                suggestion="for instance Client(tz='Asia/Seoul'); markets are given to its calls",
            )
        base = _current_config() if config is None else config
        self.config = base.replace(**settings) if settings else base
        self.closed = False

    def _open_config(self) -> Config:
        """The settings, unless the client was closed."""
        if self.closed:
            raise UsageError(f"this {type(self).__name__} is closed", suggestion="make a new one, or close it later")
        return self.config

    def __repr__(self) -> str:
        return f"<upbit_frames.{type(self).__name__} {redacted(self.config.rest_url)} store={self.config.cache_dir}>"


class Closing(ClientBase):
    """A client that is a context manager."""

    def close(self) -> None:
        """Close the connections that no other call uses; every later call of this client raises UsageError.

        Streams and feeds that it opened go on until they are closed themselves.

        Examples
        --------
        >>> import upbit_frames as uf
        >>> client = uf.Client(rate=0.5)
        >>> client.close()
        """
        if not self.closed:
            self.closed = True
            if engine.is_open(self.config):
                event_loop.run(engine.release, self.config)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClosing(ClientBase):
    """A client that is an async context manager."""

    async def aclose(self) -> None:
        """Close the connections that no other call uses; every later call of this client raises UsageError.

        Streams that it opened go on until they are closed themselves.

        Examples
        --------
        >>> import upbit_frames as uf
        >>> client = uf.AsyncClient(rate=0.5)
        >>> await client.aclose()  # doctest: +SKIP
        """
        if not self.closed:
            self.closed = True
            if engine.is_open(self.config):
                await event_loop.run_async(engine.release, self.config)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
