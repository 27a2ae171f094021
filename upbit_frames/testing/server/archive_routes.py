"""The archive's two hosts as paths of the exchange's HTTP server."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import unquote

from upbit_frames.testing.market.model import MarketModel
from upbit_frames.testing.server.http_messages import App, Reply, Request

if TYPE_CHECKING:
    from upbit_frames.testing.server.archive_app import ArchiveApp

__all__ = ["ArchiveBridge"]


class ArchiveBridge:
    """Creates the archive on the first request to it, and translates requests and replies.

    Parameters
    ----------
    model : MarketModel
    now : function () -> int
    """

    FILES: ClassVar[str] = "/archive"
    LISTING: ClassVar[str] = "/archive-listing"

    def __init__(self, model: MarketModel, now: Callable[[], int]) -> None:
        self._model = model
        self._now = now

    @cached_property
    def app(self) -> ArchiveApp:
        """The archive itself."""
        from upbit_frames.testing.server.archive_app import ArchiveApp, ModelSource

        return ArchiveApp(ModelSource(self._model), self._now)

    def apps(self) -> list[tuple[str, App]]:
        """Return the path prefixes it serves, the longer first."""
        return [(self.LISTING, self), (self.FILES, self)]

    def handle(self, request: Request) -> Reply:
        """Return a listing, a file or a checksum."""
        if request.path.startswith(self.LISTING):
            reply = self.app.handle(request.path, {"prefix": "", **request.params()})
        else:
            reply = self.app.handle(unquote(request.path.removeprefix(self.FILES)))
        return Reply(
            reply.status,
            reply.body,
            [("Content-Type", reply.content_type)],
            chunked=False,
            drop_after=reply.drop_after,
            delay=reply.delay,
        )
