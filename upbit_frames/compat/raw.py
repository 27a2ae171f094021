"""Upbit's own rows and messages, untouched: what a frame does not keep and an old script may read.

The only place of the drop-ins that reaches below the public calls. Requests go through the same
limiter, retries and cassettes as all others; a stream has a connection of its own.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from upbit_frames.api.engine import engine_for
from upbit_frames.core.config import Config
from upbit_frames.core.endpoints import candles_endpoint
from upbit_frames.core.intervals import Interval, from_micros, to_micros
from upbit_frames.core.topics import Topic
from upbit_frames.errors import ApiError, SchemaError, UpbitFramesError
from upbit_frames.exchange.transport.reconnecting import WsConnection
from upbit_frames.runtime import event_loop
from upbit_frames.runtime.clock import SystemClock

__all__ = ["MessageStream", "candle_page", "period_start", "unit_of"]

GRACE = 10_000_000  # microseconds for which a candle may still change after its period


async def candle_page(config: Config, interval: str, params: dict[str, str]) -> list[dict[str, Any]]:
    """Return one page of candles as Upbit sends it, newest first."""
    engine = engine_for(config)
    endpoint = candles_endpoint(Interval.parse(interval))

    async def work() -> bytes:
        reply = await engine.ports.api.transport.get(endpoint, params)
        return reply.body

    body = await event_loop.run_async(work)
    try:
        rows = json.loads(body)
    except ValueError as error:
        raise SchemaError(
            "the answer is not JSON", suggestion="try again", sample=body[:80].decode("latin-1")
        ) from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise SchemaError("a list of candles was expected", suggestion="try again", sample=body[:80].decode("latin-1"))
    return rows


def unit_of(interval: str) -> int | None:
    """Return the minutes that rows of an interval carry as ``unit``; None where they carry none."""
    return Interval.parse(interval).unit


def period_start(interval: str, moment: str) -> str:
    """Return where the period of a moment begins, as rows spell it; the grace after a period's end counts to it."""
    now = to_micros(datetime.fromisoformat(moment)) - GRACE
    return from_micros(Interval.parse(interval).floor(now)).strftime("%Y-%m-%dT%H:%M:%S")


class MessageStream:
    """Messages of one subscription, decoded from JSON and otherwise untouched, on a connection of its own.

    Parameters
    ----------
    config : Config
    type_ : str
        As the exchange names it, such as ``ticker``.
    codes : iterable of str
    deliver : callable
        Called on the background loop with each message, with ``None`` for a break of the connection
        and with an error where it ends; must not block.
    """

    def __init__(self, config: Config, type_: str, codes: list[str], deliver: Callable[[Any], None]) -> None:
        self._config = config
        self._topics = [Topic(type_, code) for code in codes]
        self._deliver = deliver
        self._connection: WsConnection | None = None

    def open(self) -> None:
        """Connect and subscribe; returns at once."""
        event_loop.start(self._open)

    async def _open(self) -> None:
        from upbit_frames.exchange.transport.rate_limiter import limiter_for
        from upbit_frames.exchange.transport.websocket import SocketDialer

        clock = SystemClock()
        config = self._config
        dialer = SocketDialer(
            config.ws_url, clock=clock, limiter=limiter_for(config.ws_url, rate=config.rate), timeout=config.timeout
        )
        self._connection = WsConnection(dialer, self, clock=clock)
        self._connection.subscribe(self._topics)

    def close(self) -> None:
        """End it; may be called from any thread, and twice."""
        event_loop.start(self._close)

    async def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await asyncio.shield(connection.aclose())

    # --- events of the connection ------------------------------------------------------------------

    def opened(self, epoch: int) -> None:
        """Do nothing: messages follow."""

    def frame(self, frame: bytes, received: int) -> None:
        """Deliver what happens now; pyupbit requests no snapshots."""
        message = json.loads(frame)
        if message.get("stream_type") != "SNAPSHOT":
            self._deliver(message)

    def congested(self) -> bool:
        """Return False: the exchange does not wait."""
        return False

    def broken(self, error: UpbitFramesError) -> None:
        """Deliver the break."""
        self._deliver(None)

    def refused(self, error: ApiError) -> None:
        """Deliver the refusal as the exchange sends it."""
        self._deliver({"error": {"name": error.context.get("name", ""), "message": error.message}})

    def ended(self, error: UpbitFramesError | None) -> None:
        """Deliver why it ended."""
        self._deliver(error)
