"""pyupbit's WebSocketManager and WebSocketClient, on a thread instead of a process."""

from __future__ import annotations

import queue
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from upbit_frames.core.config import current
from upbit_frames.errors import QueryError, UpbitFramesError, UsageError

if TYPE_CHECKING:
    from upbit_frames.compat.raw import MessageStream

__all__ = ["WebSocketClient", "WebSocketManager"]

BREAK = "ConnectionClosedError"  # what pyupbit puts among the messages where the connection broke


class _End:
    """Put among the messages where nothing follows; a waiting ``get`` wakes up."""

    def __init__(self, error: UpbitFramesError | None = None) -> None:
        self.error = error


class _Inbox:
    """Messages that wait to be read; the oldest give way where there are too many."""

    def __init__(self, size: int) -> None:
        self.waiting: queue.Queue[Any] = queue.Queue(size)

    def put(self, message: Any) -> None:
        while True:
            try:
                self.waiting.put_nowait(message)
                return
            except queue.Full:
                try:
                    self.waiting.get_nowait()
                except queue.Empty:  # a reader was quicker
                    continue

    def deliver(self, message: Any) -> None:
        """Take an event of the connection."""
        if message is None:
            self.put(BREAK)
        elif isinstance(message, UpbitFramesError):
            self.put(_End(message))
        else:
            self.put(message)


def _close(stream: MessageStream) -> None:
    stream.close()


class WebSocketManager:
    """Messages of one type, one dict each; connects at the first :meth:`get`.

    Parameters
    ----------
    type : {"ticker", "trade", "orderbook"}
    codes : list of str
    qsize : int
        How many messages may wait. Beyond that the oldest give way, so that the connection lives.

    Attributes
    ----------
    alive : bool
        Whether it was started and not terminated.
    """

    def __init__(self, type: str, codes: Iterable[str], qsize: int = 1000) -> None:  # noqa: A002 - pyupbit's name
        if isinstance(codes, str):
            raise QueryError(f"codes must be a list of markets, got {codes!r}", suggestion=f"write [{codes!r}]")
        self.type = type
        self.codes = list(codes)
        self.alive = False
        self._ended = False
        self._config = current()
        self._inbox = _Inbox(qsize)
        self._stream: MessageStream | None = None

    def start(self) -> None:
        """Connect; :meth:`get` does it by itself."""
        from upbit_frames.compat.raw import MessageStream

        if self._ended:
            raise UsageError("this WebSocketManager was terminated", suggestion="create a new one")
        if self._stream is not None:
            return
        self.alive = True
        self._stream = MessageStream(self._config, self.type, self.codes, self._inbox.deliver)
        weakref.finalize(self, _close, self._stream)
        self._stream.open()

    def get(self, timeout: float | None = None) -> Any:
        """Wait for the next message.

        Parameters
        ----------
        timeout : float, optional
            Seconds. pyupbit waits without an end, which is the default here too.

        Returns
        -------
        dict or str
            ``'ConnectionClosedError'`` once for each break; messages go on after it.

        Raises
        ------
        queue.Empty
            If nothing came in time.
        UsageError
            After :meth:`terminate`.
        UpbitError
            If no connection could be opened at all.
        """
        self.start()
        message = self._inbox.waiting.get(timeout=timeout)
        if not isinstance(message, _End):
            return message
        self._inbox.put(message)  # for the next reader
        if message.error is None:
            raise UsageError("this WebSocketManager was terminated", suggestion="create a new one")
        from upbit_frames.compat.pyupbit.errors import as_pyupbit

        raise as_pyupbit(message.error) from message.error

    def terminate(self) -> None:
        """End the connection; may be called twice."""
        self.alive = False
        self._ended = True
        if self._stream is not None:
            self._stream.close()
        self._inbox.put(_End())

    def is_alive(self) -> bool:
        """Return whether messages can still come."""
        return self.alive

    def join(self, timeout: float | None = None) -> None:
        """Return at once: there is no process to wait for."""


class WebSocketClient:
    """Put every message into a queue, for ever; the constructor does not return.

    Parameters
    ----------
    type : {"ticker", "trade", "orderbook"}
    codes : list of str
    queue : queue.Queue or multiprocessing.Queue
    """

    def __init__(self, type: str, codes: Iterable[str], queue: Any) -> None:  # noqa: A002 - pyupbit's names
        self.type = type
        self.codes = list(codes)
        self.queue = queue
        self.run()

    def run(self) -> None:
        """Read and pass on."""
        manager = WebSocketManager(self.type, self.codes)
        while True:
            self.queue.put(manager.get())
