"""The quotation endpoints of the stand-in exchange: a request in, an answer out (upbit-api 2-5).

Owns no socket. An answer depends on the model, the virtual clock, the limits and the request.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from upbit_frames.testing.market.model import MarketModel
from upbit_frames.testing.server import rest_json as wire
from upbit_frames.testing.server.http_messages import Reply, Request
from upbit_frames.testing.server.limits import ORIGIN, Limits, Verdict
from upbit_frames.testing.server.rest_endpoints import Quotation, Refusal
from upbit_frames.testing.server.virtual_clock import VirtualClock

__all__ = ["NO_ROUTE", "Bodies", "RestApp", "common_headers"]

NO_ROUTE = wire.error("not_found", "no Route matched with those values")
_VARY = "origin,access-control-request-method,access-control-request-headers,accept-encoding"
_VARY_PLAIN = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


@dataclass
class Bodies:
    """Error bodies that were never captured from Upbit; ``{seconds}`` is how long a block lasts."""

    too_many: str = wire.error(429, "Too many API requests.")
    blocked: str = wire.error(418, "Too many API requests. Blocked for {seconds} seconds.")

    def of_block(self, seconds: float) -> bytes:
        """Return the body of a 418."""
        return self.blocked.replace("{seconds}", str(max(1, round(seconds)))).encode()


def common_headers(body: bytes, *, chunked: bool = True) -> list[tuple[str, str]]:
    """Return the headers of every response of an endpoint, without those of the limit."""
    return [
        ("Content-Type", "application/json;charset=UTF-8"),
        ("Cache-Control", "no-cache, no-store, max-age=0, must-revalidate"),
        ("Pragma", "no-cache"),
        ("Expires", "0"),
        ("ETag", f'W/"0{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'),
        ("Vary", _VARY if chunked else _VARY_PLAIN),
    ]


class RestApp:
    """Answers everything below ``/v1``.

    Parameters
    ----------
    model : MarketModel
    clock : VirtualClock
    limits : Limits
    bodies : Bodies
    region : {"kr", "sg", "id", "th"}
        Which of Upbit's exchanges it behaves like.
    flat_change : str
        What ``change_price`` of a day without change says: ``null`` as in old captures, or a number.
    seconds_reach : int
        How far back second candles go, in microseconds: three months.
    """

    def __init__(
        self,
        model: MarketModel,
        clock: VirtualClock,
        limits: Limits,
        bodies: Bodies,
        *,
        region: str = "kr",
        flat_change: str = "null",
        seconds_reach: int = 92 * 86_400_000_000,
    ) -> None:
        self.clock = clock
        self.limits = limits
        self.bodies = bodies
        self._quotation = Quotation(model, region, flat_change, seconds_reach)

    def handle(self, request: Request) -> Reply:
        """Return the response to a request."""
        route = self._quotation.route(request.path) if request.method == "GET" else None
        if route is None:
            return Reply(404, NO_ROUTE.encode(), [("Content-Type", "application/json; charset=utf-8")], chunked=False)
        group = ORIGIN if "origin" in request.headers else route.group
        verdict = self.limits.admit(group, request.caller, self.seconds())
        if verdict.status != 200:
            return self.refused(verdict)
        return self._answer(route.answer, request, verdict, chunked=route.chunked)

    def seconds(self) -> float:
        """Now, on the clock that the limits go by."""
        return time.monotonic() if self.limits.clock == "real" else self.clock.now() / 1e6

    def header(self, path: str) -> str:
        """Return ``Remaining-Req`` of a caller that has nothing left."""
        route = self._quotation.route(path)
        return self.limits.exhausted(route.group if route else "candles")

    def refused(self, verdict: Verdict) -> Reply:
        """Return the response to a call over the limit."""
        body = self.bodies.of_block(verdict.blocked) if verdict.status == 418 else self.bodies.too_many.encode()
        return self._reply(verdict.status, body, verdict, chunked=True)

    def _answer(
        self, answer: Callable[[dict[str, str], int], str], request: Request, verdict: Verdict, *, chunked: bool
    ) -> Reply:
        try:
            status, text = 200, answer(request.params(), self.clock.now())
        except Refusal as refusal:
            status, text = refusal.status, wire.error(refusal.status, refusal.message)
        return self._reply(status, text.encode(), verdict, chunked=chunked)

    @staticmethod
    def _reply(status: int, body: bytes, verdict: Verdict, *, chunked: bool) -> Reply:
        limit = [("Limit-By-Ip", "Yes"), ("Remaining-Req", verdict.header)]
        headers = common_headers(body, chunked=chunked) + limit
        return Reply(status, body, headers, chunked=chunked, remaining=verdict.remaining)
