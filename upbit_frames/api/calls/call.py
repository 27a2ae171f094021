"""What a call is: work for the background loop, and how its answer becomes a frame."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from upbit_frames.core.arguments import misfit
from upbit_frames.datasets.pins import active_pin
from upbit_frames.runtime.caller import warn
from upbit_frames.runtime.progress import Progress

if TYPE_CHECKING:
    from upbit_frames.core.query import View
    from upbit_frames.router.result import Result

__all__ = ["Call", "invoke", "render", "warn_user", "warning_sink"]

warning_sink: ContextVar[Callable[[str], None] | None] = ContextVar("warning_sink", default=None)
"""What takes the warnings of answers in place of Python's own, for callers that have users of their own."""

PRESENT = ("orderbook", "ticker")  # kinds that are other rows in every run

T = TypeVar("T")


@dataclass
class Call(Generic[T]):
    """Work for the loop and what to make of its answer.

    Attributes
    ----------
    work : coroutine function
        Runs on the background loop.
    finish : function
        Turns the answer into what the caller gets; runs in the caller's thread.
    meter : Progress
        How far the work has come.
    title : str
        What a progress bar calls it.
    progress : bool or "auto"
    cached : function, optional
        The result if it is in memory, else None; runs in the thread or loop of the caller.
    stored : function, optional
        The answer where it needs no network, else None; runs in the caller's thread.
    """

    work: Callable[[], Coroutine[Any, Any, Any]]
    finish: Callable[[Any], T]
    meter: Progress = field(default_factory=Progress)
    title: str = ""
    progress: bool | str = False
    stored: Callable[[], Any] = lambda: None
    cached: Callable[[], Any] = lambda: None


def invoke(func: Callable[..., T], config: Any, /, *args: Any, **kwargs: Any) -> T:
    """Call a call; arguments that it does not have lead to an error that names what it has.

    Raises
    ------
    InvalidArgument
    """
    try:
        return func(config, *args, **kwargs)
    except TypeError as error:
        if error.__traceback__ is None or error.__traceback__.tb_next is not None:
            raise  # from inside the function: its arguments did fit
    raise misfit(func, args, kwargs)


def warn_user(texts: Iterable[str]) -> None:
    """Give warnings to the user, or to what takes them for callers that have users of their own."""
    sink = warning_sink.get()
    for text in texts:
        if sink is None:
            warn(text)
        else:
            sink(text)


def render(answer: Result, kind: str, view: View, index: list[str]) -> Any:
    """Convert a result to the requested kind of frame, and emit its warnings."""
    from upbit_frames.frames.output import take_output

    pin = active_pin()
    if pin is not None and kind in PRESENT:
        answer.warnings = [*answer.warnings, *pin.unpinned(kind)]
    warn_user(answer.warnings)
    if answer.cached is not None and view.output == "pandas":
        from upbit_frames.frames.ticker_blocks import cached_frame

        return cached_frame(answer.cached, index, view.tz, answer.meta)
    holder = [answer.arrow]
    answer.table = None  # given away, see take_output
    return take_output(
        holder,
        kind,
        view.output,
        tz=view.tz,
        index=index,
        attrs=answer.meta,
        reuse_buffers=answer.fresh,
        block=answer.block,
    )
