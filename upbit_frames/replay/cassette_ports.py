"""The ports of an open cassette: recorded responses, fixed time, an empty store, and no archive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from upbit_frames.core.config import Config
from upbit_frames.errors import NotRecorded, UsageError
from upbit_frames.exchange.transport.interceptor import RawResponse
from upbit_frames.exchange.transport.rate_limiter import limiter_for
from upbit_frames.replay.interactions import Interaction, InteractionLog
from upbit_frames.replay.json_layout import pretty_json
from upbit_frames.replay.matching import RequestKey, origin_of
from upbit_frames.replay.redaction import kept_headers, masked_body, public_uri
from upbit_frames.router.ports import Ports
from upbit_frames.runtime.fixed_clock import FixedServerTime, PinnedClock
from upbit_frames.store.memory import MemoryStore

if TYPE_CHECKING:
    from upbit_frames.archive.importer import Archive
    from upbit_frames.exchange.transport.rest import RestTransport

__all__ = ["CassettePorts", "open_ports"]


@dataclass
class CassettePorts(Ports):
    """Ports without the archive: its files are too large for a cassette, and their terms forbid passing them on."""

    def archive_for(self, source: str) -> Archive | None:
        """Return None; raise UsageError if the archive was requested explicitly."""
        if source == "archive":
            raise UsageError(
                "a cassette records REST only, not the published archive",
                suggestion="leave source='archive' out while a cassette is open",
            )
        return None


class _Interceptor:
    """Replays what the log holds, and records what it does not, as far as the log allows."""

    def __init__(self, log: InteractionLog, region: str, not_recorded: Callable[[RequestKey], NotRecorded]) -> None:
        self._log = log
        self._region = region
        self._not_recorded = not_recorded

    def replay(self, url: str) -> RawResponse | None:
        """Return the recorded response; None if the request is to be sent and recorded.

        Raises
        ------
        NotRecorded
            If there is none and nothing may be recorded.
        """
        key = RequestKey.parse(url, self._region)
        interaction = self._log.take(key)
        if interaction is None:
            if self._log.protected:
                raise self._not_recorded(key)
            return None
        headers = tuple((name, value) for name, values in interaction.headers.items() for value in values)
        return RawResponse(interaction.status, headers, interaction.body)

    def record(self, url: str, response: RawResponse) -> None:
        """Add a response of the exchange to the log, without cookies, addresses and keys."""
        body = response.body if 200 <= response.status < 300 else masked_body(response.body)
        interaction = Interaction(
            public_uri(url, self._region), response.status, kept_headers(response.headers),
            pretty_json(body), {"Accept": ["application/json"]},
        )  # fmt: skip
        self._log.add(interaction, origin_of(url), self._region)


def open_ports(
    config: Config, now: int, log: InteractionLog, not_recorded: Callable[[RequestKey], NotRecorded]
) -> tuple[CassettePorts, RestTransport]:
    """Build the ports of a cassette whose time stands at ``now``, and the transport below them, to be closed.

    Parameters
    ----------
    config : Config
    now : int
        Microseconds since the epoch, UTC.
    log : InteractionLog
    not_recorded : callable (RequestKey) -> NotRecorded
        Makes the error for a request that is neither recorded nor may be sent.
    """
    from upbit_frames.exchange.rest_api import RestApi
    from upbit_frames.exchange.transport.rest import RestTransport

    clock = PinnedClock(now, waits=False)
    server_time = FixedServerTime(clock, 0)
    transport = RestTransport(
        config.rest_url,
        clock=PinnedClock(now, waits=True),
        server_time=server_time,
        limiter=limiter_for(config.rest_url, rate=config.rate),
        timeout=config.timeout,
        interceptor=_Interceptor(log, config.region, not_recorded),
    )
    # One at a time, so that requests do not depend on the order in which responses come.
    ports = CassettePorts(
        RestApi(transport), MemoryStore(), clock, server_time, rate=config.rate, concurrency=1, streams=False
    )
    return ports, transport
