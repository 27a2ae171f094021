"""A whole exchange on loopback: its own thread, event loop, clock, limits, faults and log."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from upbit_frames.core.config import Config
from upbit_frames.core.intervals import Span
from upbit_frames.errors import UsageError
from upbit_frames.testing.market.listings import Listing, default_listings
from upbit_frames.testing.market.model import MarketModel
from upbit_frames.testing.market.sources import CandleFile, Source, read_candle_file
from upbit_frames.testing.server import faults as wrong
from upbit_frames.testing.server.archive_routes import ArchiveBridge
from upbit_frames.testing.server.faults import Fault, Faults
from upbit_frames.testing.server.http_messages import App, LoggedRequest, Reply, Request
from upbit_frames.testing.server.http_server import HttpServer
from upbit_frames.testing.server.limits import Limits, Verdict
from upbit_frames.testing.server.rest_app import Bodies, RestApp
from upbit_frames.testing.server.virtual_clock import DEFAULT_NOW, VirtualClock

if TYPE_CHECKING:
    from upbit_frames.testing.server.archive_app import ArchiveApp

__all__ = ["Exchange", "Service"]

T = TypeVar("T")
Markets = Iterable[str | Listing | Source] | Mapping[str, str | Path]
_START_SECONDS = 30.0


class Service(Protocol):
    """Something else that runs on the exchange's loop, such as its streams."""

    async def start(self) -> None:
        """Begin, on the exchange's running loop."""

    async def stop(self) -> None:
        """End, closing every socket."""


class Exchange:
    """A stand-in for Upbit on this machine; a context manager.

    Parameters
    ----------
    seed : int
        What happens on its markets; the same seed gives the same trades.
    now : int or str or datetime
        Where its clock stands: microseconds since the epoch, or text or datetime (UTC unless it
        says otherwise). The clock stands still until it is moved or started.
    markets : iterable of str, Listing or Source, or mapping of code to path, optional
        What is listed. A str picks a default market. A mapping serves files of real
        candles (:class:`CandleFile`). Default: fifteen markets of every character.
    extra : int
        That many further, modest markets.
    region : {"kr", "sg", "id", "th"}
        Which of Upbit's exchanges it behaves like.
    delay : float
        Seconds added to every round trip, half before the request counts and half after.
    limits : Limits or bool
        How calls are limited; False for not at all.
    maintenance : sequence of Span, optional
        When nothing is traded anywhere. Default: seeded, a few hours in some months.
    flat_change : str
        What ``change_price`` of a day without change says.
    host, port : str, int
        Where REST and archive listen; 0 takes a free port.

    Attributes
    ----------
    market : MarketModel
        The truth behind every answer, up to the clock's now.
    clock : VirtualClock
    limits : Limits
    bodies : Bodies
        What 429 and 418 say.
    faults : Faults
    requests : list of LoggedRequest
        Every request, in order of arrival.
    archive, streams
        The archive app and the stream server where they are part of the package, else None.

    Examples
    --------
    >>> import httpx
    >>> with Exchange(seed=7, now="2026-03-01T03:30:00Z") as exchange:
    ...     reply = httpx.get(f"{exchange.rest_url}/v1/candles/minutes/1?market=KRW-BTC&count=2")
    >>> [row["candle_date_time_utc"] for row in reply.json()]
    ['2026-03-01T03:29:00', '2026-03-01T03:28:00']
    """

    def __init__(
        self,
        seed: int = 7,
        now: int | str | datetime = DEFAULT_NOW,
        markets: Markets | None = None,
        *,
        extra: int = 0,
        region: str = "kr",
        delay: float = 0.0,
        limits: Limits | bool = True,
        maintenance: Sequence[Span] | None = None,
        flat_change: str = "null",
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.clock = VirtualClock(now)
        self.region = region
        self.market = MarketModel(seed, _listings(markets, region, extra), maintenance=maintenance, now=self.clock.now)
        self.limits = limits if isinstance(limits, Limits) else Limits(enabled=limits)
        self.bodies = Bodies()
        self.faults = Faults()
        self.requests: list[LoggedRequest] = []
        self.delay = delay
        self.host = host
        self._port = port
        self._rest = RestApp(self.market, self.clock, self.limits, self.bodies, region=region, flat_change=flat_change)
        self._archive = ArchiveBridge(self.market, self.clock.now)
        self.apps: list[tuple[str, App]] = self._archive.apps()
        self.streams: Any = None
        self._http = HttpServer(self._respond, lambda: self.clock.now() // 1_000_000)
        self._broken: Exception | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    # --- where it is --------------------------------------------------------------------------

    @property
    def rest_url(self) -> str:
        """What to give as ``rest_url``."""
        return f"http://{self.host}:{self._http.port}"

    @property
    def ws_url(self) -> str:
        """What to give as ``ws_url``; empty while there are no streams."""
        return str(self.streams.url) if self.streams is not None else ""

    @property
    def archive_url(self) -> str:
        """What to give as ``archive_url``."""
        return f"{self.rest_url}{self._archive.FILES}"

    @property
    def archive_listing_url(self) -> str:
        """What to give as ``archive_listing_url``."""
        return f"{self.rest_url}{self._archive.LISTING}"

    @property
    def archive(self) -> ArchiveApp:
        """The archive: its faults, corrections and log."""
        return self._archive.app

    def settings(self) -> dict[str, str]:
        """Return the settings that lead a client here."""
        urls = {
            "region": self.region,
            "rest_url": self.rest_url,
            "ws_url": self.ws_url,
            "archive_url": self.archive_url,
            "archive_listing_url": self.archive_listing_url,
        }
        return {name: value for name, value in urls.items() if value}

    def config(self, **overrides: Any) -> Config:
        """Return a :class:`~upbit_frames.config.Config` that leads a client here.

        Everything else is as the environment has it, unless given.
        """
        return Config.from_env(**{**self.settings(), **overrides})

    def env(self) -> dict[str, str]:
        """Return the same as environment variables, for other processes."""
        return {f"UPBIT_FRAMES_{name.upper()}": value for name, value in self.settings().items()}

    # --- life ---------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if error is None and self._broken is not None:
            raise self._broken

    def start(self) -> None:
        """Listen, in a thread of its own."""
        if self._thread is not None:
            raise UsageError("this exchange is running already", suggestion="stop it first, or create another exchange")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stand-in exchange", daemon=True)
        self._thread.start()
        try:
            self.call(self._start())
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Break every connection and end the thread; may be called twice."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        try:
            self.call(self._stop())
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
            self._loop = self._thread = None

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the exchange's loop and wait for it."""
        if self._loop is None:
            work.close()
            raise UsageError("this exchange is not running", suggestion="use it inside its with block")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_START_SECONDS)

    async def _start(self) -> None:
        await self._http.start(self.host, self._port)
        self.streams = _streams(self)
        if self.streams is not None:
            await self.streams.start()

    async def _stop(self) -> None:
        if self.streams is not None:
            await self.streams.stop()
        await self._http.stop()
        loop = asyncio.get_running_loop()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await loop.shutdown_asyncgens()
        await loop.shutdown_default_executor()

    def admit(self, group: str, caller: str = "127.0.0.1") -> Verdict:
        """Count a call of a limit group, as services other than REST have to."""
        return self.limits.admit(group, caller, self._rest.seconds())

    # --- answering ----------------------------------------------------------------------------

    async def _respond(self, request: Request) -> Reply:
        if self.delay:
            await asyncio.sleep(self.delay / 2)
        request = replace(request, arrival=time.monotonic())
        try:
            reply = await self._reply(request)
        except Exception as broken:  # noqa: BLE001 - raised at the end of the with block
            self._broken = broken
            reply = Reply(500, b"the stand-in exchange itself failed", chunked=False, fault="defect")
        sent = 0 if reply.silent or reply.drop_after == -1 else reply.status
        self.requests.append(
            LoggedRequest(
                request.path,
                request.params(),
                sent,
                request.arrival,
                reply.remaining,
                reply.fault,
                self.clock.now(),
                request.headers,
            )
        )
        if self.delay:
            await asyncio.sleep(self.delay / 2)
        return reply

    async def _reply(self, request: Request) -> Reply:
        for prefix, app in self.apps:
            if request.path.startswith(prefix):
                # Making a file of the archive takes a while; the other hosts go on meanwhile.
                return await asyncio.to_thread(app.handle, request)
        fault = self.faults.pick(request)
        if fault is None:
            return self._rest.handle(request)
        return self._faulty(fault, request)

    def _faulty(self, fault: Fault, request: Request) -> Reply:
        if fault.kind in ("429", "418"):
            seconds = fault.number("seconds", 60.0) if fault.kind == "418" else 0.0
            if fault.options.get("block"):
                self.limits.block(request.caller, self._rest.seconds() + seconds)
            reply = self._rest.refused(Verdict(int(fault.kind), self._rest.header(request.path), 0, seconds))
            return replace(reply, fault=fault.kind)
        instead = wrong.refusal(fault)
        if instead is not None:
            status, body, kind = instead
            return Reply(status, body, [("Content-Type", kind)], chunked=False, fault=fault.kind)
        return wrong.spoil(fault, self._rest.handle(request))


def _listings(markets: Markets | None, region: str, extra: int) -> list[Listing | Source]:
    """Return the listings that the argument ``markets`` means."""
    default = {listing.market: listing for listing in default_listings(region)}
    added = default_listings(region, extra)[len(default) :]
    if markets is None:
        return [*default.values(), *added]
    if isinstance(markets, Mapping):
        return [*(_file(code, path, default) for code, path in markets.items()), *added]
    listings: list[Listing | Source] = []
    for market in markets:
        if not isinstance(market, str):
            listings.append(market)
        elif market in default:
            listings.append(default[market])
        else:
            raise UsageError(
                f"{market!r} is not among the default markets",
                suggestion=f"use {', '.join(default)}, or give a Listing or a source",
            )
    return [*listings, *added]


def _file(code: str, path: str | Path, default: Mapping[str, Listing]) -> Source:
    """Return a market of that code over a file of real candles, listed since its first row."""
    time_us, ohlcv = read_candle_file(path)
    first = int(time_us[0])
    base = default.get(code) or Listing(code, code, code, float(ohlcv[0, 0]) / 1e8, 2_000, 100_000)
    return CandleFile(replace(base, listed=first, grown=0, delisted=None, silences=()), path)


def _streams(exchange: Exchange) -> Any:
    """Return the stream server, where websockets is installed."""
    name = "upbit_frames.testing.server.ws_server"
    return import_module(name).WsServer(exchange) if find_spec(name) else None
