"""Files of Upbit's published archive: listed, downloaded, verified, kept until they are stored.

Only files with the SHA-256 published beside them are handed out. A verified file stays in the
work folder until the caller discards it after storing its rows, so a run that was killed downloads
again only what was in flight.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec

from upbit_frames.archive.catalog import Download, Listed, NotPublished
from upbit_frames.archive.download_dir import WorkFolder
from upbit_frames.core.intervals import to_micros
from upbit_frames.core.urls import redacted
from upbit_frames.errors import (
    ApiError,
    ChecksumMismatch,
    ConnectionFailed,
    RateLimited,
    SchemaError,
    ServerError,
    Timeout,
    UpbitFramesError,
)
from upbit_frames.exchange.transport import headers as heads
from upbit_frames.exchange.transport.http import Connections, Incoming, answering, open_client
from upbit_frames.exchange.transport.retry import RetryPolicy
from upbit_frames.runtime.clock import Clock
from upbit_frames.runtime.task_group import first_error
from upbit_frames.runtime.telemetry import telemetry

__all__ = ["ArchiveTransport"]

T = TypeVar("T")

CONNECTIONS = 6  # clients of the archive are known to use 5 to 32 without harm
LONGEST_WAIT = 30.0  # seconds that a Retry-After is obeyed for
FILE_MOST = 1 << 30  # the largest files, a month of second candles, have some tens of megabytes
LISTING_MOST = 16 << 20
CHECKSUM_MOST = 4096
PIECE = 1 << 20
SLOWEST = 8192  # bytes a second

_KEY = re.compile(r"[A-Za-z0-9_-]+(?:[./][A-Za-z0-9_-]+)*")
_DIGEST = re.compile(rb"\s*(?:\xef\xbb\xbf)?([0-9a-fA-F]{64})(?:\s.*)?", re.DOTALL)


class _Entry(msgspec.Struct):
    key: str
    size: int
    type: str
    lastModified: str | None = None  # noqa: N815, the name on the wire


class _Refused(Exception):
    """403 or 404."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class ArchiveTransport:
    """The archive's two hosts.

    Parameters
    ----------
    archive_url, listing_url : str
        Where the files are, and where they are listed.
    clock : Clock
        Waits between attempts.
    folder : pathlib.Path
        Work folder; created when first needed. Several processes may share it.
    timeout : float
        Seconds for connecting, and for a whole answer; a file that comes faster than ``SLOWEST`` has
        as long as it needs.
    connections : int
        Files under way at once.
    retry : RetryPolicy
    """

    def __init__(
        self,
        archive_url: str,
        listing_url: str,
        *,
        clock: Clock,
        folder: Path,
        timeout: float = 10.0,
        connections: int = CONNECTIONS,
        retry: RetryPolicy | None = None,
    ) -> None:
        self.archive_url = archive_url.rstrip("/")
        self.listing_url = listing_url
        self._work = WorkFolder(folder)
        self._clock = clock
        self._timeout = timeout
        self._retry = retry or RetryPolicy(attempts=4)
        self._room = asyncio.Semaphore(connections)
        self._http = Connections(lambda: open_client(timeout, connections, {"Accept-Encoding": "identity"}))

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        return self._http.idle

    async def aclose(self) -> None:
        """Close the connections; the next request opens new ones."""
        await self._http.aclose()

    # --- asking ---------------------------------------------------------------------------------

    async def list(self, folder: str) -> dict[str, Listed]:
        """List the files directly in a folder, by key; empty if there is no such folder.

        Raises
        ------
        ApiError, TransportError, SchemaError
            If the listing is unavailable or cannot be read.
        """
        try:
            body, _ = await self._small(self.listing_url, LISTING_MOST, params={"prefix": _safe(folder)})
        except _Refused as refused:
            if refused.status == 404:
                return {}
            raise _refusal(refused.status, self.listing_url) from None
        try:
            entries = msgspec.json.decode(body, type=list[_Entry])
        except msgspec.MsgspecError as error:
            raise SchemaError(
                f"the archive's listing is not a JSON array of entries with key, size and type: {error}",
                suggestion="nothing was stored; retry later, or use source='rest'",
                url=redacted(self.listing_url),
                sample=body[:200].decode("utf-8", "replace"),
            ) from error
        return {
            entry.key: Listed(max(0, entry.size), _moment(entry.lastModified))
            for entry in entries
            if entry.type == "FILE" and entry.key.startswith(folder + "/")
        }

    async def digest(self, key: str) -> str | NotPublished:
        """Fetch the SHA-256 published for a file; it changes when the file is corrected."""
        try:
            return (await self._checksum(key, fresh=True))[0]
        except _Refused as refused:
            return NotPublished(key, refused.status, 1)

    async def fetch(self, key: str, expected: str | None = None) -> Download | NotPublished:
        """Download a file to the work folder and verify it.

        Parameters
        ----------
        key : str
        expected : str, optional
            Its digest where it is known already; saves the request for the checksum.

        Returns
        -------
        Download or NotPublished

        Raises
        ------
        ChecksumMismatch
            If the file does not match its checksum, not even at the second attempt.
        ApiError, TransportError, SchemaError
            If the archive is unavailable after all attempts.
        """
        requests = 0
        async with self._room:
            for fresh in (False, True):
                try:
                    if expected is None:
                        expected, attempts = await self._checksum(key, fresh=fresh)
                        requests += attempts
                    place = self._work.place(key, expected)
                    kept = await self._work.intact(place, expected)
                    if kept is not None:
                        return Download(key, place, expected, kept, requests, kept=True)
                    actual, size, attempts = await self._download(key, place, expected, fresh=fresh)
                    requests += attempts
                except _Refused as refused:
                    return NotPublished(key, refused.status, requests + 1)
                if actual == expected:
                    return Download(key, place, expected, size, requests)
                # The file may have been corrected between the two answers, or a cache may have
                # served an old copy of either: both are fetched again, past the caches.
                wanted, expected = expected, None
        raise ChecksumMismatch(
            "the published file does not have the published checksum",
            suggestion="nothing of it was stored; retry later, or use source='rest'",
            url=redacted(self._url(key)),
            expected=wanted,
            found=actual,
        )

    async def discard(self, download: Download) -> None:
        """Delete a file whose rows are stored."""
        await self._work.remove(download.path)

    # --- one request ----------------------------------------------------------------------------

    async def _checksum(self, key: str, *, fresh: bool) -> tuple[str, int]:
        url = self._url(key) + ".checksum"
        body, attempts = await self._small(url, CHECKSUM_MOST, headers=_headers(fresh))
        match = _DIGEST.fullmatch(body)
        if match is None:
            raise SchemaError(
                "the published checksum is not a SHA-256 digest",
                suggestion="nothing was stored; retry later, or use source='rest'",
                url=redacted(url),
                sample=body[:200].decode("utf-8", "replace"),
            )
        return match[1].decode().lower(), attempts

    async def _small(self, url: str, most: int, **options: Any) -> tuple[bytes, int]:
        return await self._retried(url, lambda incoming: incoming.body(most), options)

    async def _download(self, key: str, place: Path, expected: str, *, fresh: bool) -> tuple[str, int, int]:
        """Download a file and move it to its place if the digest is right; return digest, bytes and requests."""
        url = self._url(key)

        async def read(incoming: Incoming) -> tuple[str, int]:
            _check_size(heads.content_length(incoming.headers.get("content-length")) or 0, FILE_MOST, url)
            async with self._work.part() as part:
                waiting = bytearray()
                async for piece in incoming.pieces(FILE_MOST):
                    waiting += piece
                    if len(waiting) >= PIECE:
                        await part.write(bytes(waiting))
                        waiting.clear()
                await part.write(bytes(waiting))
                if part.digest == expected:
                    await part.move(place)
                return part.digest, part.size

        (digest, size), attempts = await self._retried(url, read, {"headers": _headers(fresh)})
        return digest, size, attempts

    async def _retried(self, url: str, read: Callable[[Incoming], Awaitable[T]], options: Any) -> tuple[T, int]:
        """Return the result of ``read`` on the answer, and how many requests it took."""
        attempt, paused = 1, 0.0
        while True:
            status, size, sent = None, 0, self._clock.monotonic()
            try:
                with self._http.client() as client:
                    async with answering(
                        client, url, timeout=self._timeout, public_url=redacted(url), slowest=SLOWEST, **options
                    ) as incoming:
                        status = incoming.status
                        try:
                            _check_status(incoming, url, self._clock.now())
                            return await read(incoming), attempt
                        finally:
                            size = incoming.size
            except httpx.TimeoutException as error:
                failure: UpbitFramesError = Timeout(
                    f"the archive's answer was not complete within {self._timeout:g} s, and too slow to wait for",
                    suggestion="try again, or raise the setting 'timeout'",
                    url=redacted(url),
                )
                failure.__cause__ = error
            except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, UnicodeError) as error:
                failure = self._broken(error, url)
            except ExceptionGroup as group:  # of several addresses
                failure = self._broken(first_error(group), url)
            except (ServerError, RateLimited) as error:
                failure = error
            finally:
                telemetry.request("archive", status, self._clock.monotonic() - sent, attempt, size, paused)
            if attempt >= self._retry.attempts:
                raise failure
            retry_after = min(LONGEST_WAIT, failure.context.get("retry_after", 0.0))
            paused = max(self._retry.pause(attempt), retry_after)
            await self._clock.sleep(paused)
            attempt += 1

    @staticmethod
    def _broken(cause: BaseException, url: str) -> ConnectionFailed:
        error = ConnectionFailed(
            f"the connection to the archive failed: {redacted(str(cause)) or type(cause).__name__}",
            suggestion="check the network and try again",
            url=redacted(url),
        )
        error.__cause__ = cause
        return error

    def _url(self, key: str) -> str:
        return f"{self.archive_url}/{_safe(key)}"


# --- answers ------------------------------------------------------------------------------------


def _check_status(incoming: Incoming, url: str, now: int) -> None:
    if incoming.status == 200:
        return
    if incoming.status in (403, 404):
        raise _Refused(incoming.status)
    raise _refusal(incoming.status, url, heads.retry_after(incoming.headers.get("retry-after"), now))


def _refusal(status: int, url: str, retry_after: float | None = None) -> ApiError:
    kind = ServerError if status >= 500 else RateLimited if status == 429 else ApiError
    return kind(
        f"the archive answered with status {status}",
        suggestion="retry later, or use source='rest'",
        url=redacted(url),
        status=status,
        retry_after=retry_after,
    )


def _check_size(size: int, most: int, url: str) -> None:
    if size > most:
        raise SchemaError(
            f"the archive's answer is larger than {most:,} bytes",
            suggestion="nothing was stored; a proxy or captive portal may be altering responses: check HTTPS_PROXY",
            url=redacted(url),
        )


def _headers(fresh: bool) -> dict[str, str]:
    """Return the header that makes caches fetch a new copy, where the first did not match."""
    return {"Cache-Control": "no-cache"} if fresh else {}


def _safe(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} is not a key of the archive")
    return key


def _moment(text: str | None) -> int | None:
    """Return the microseconds of an ISO time; None where it cannot be parsed."""
    try:
        moment = datetime.fromisoformat(text or "")
    except (ValueError, OverflowError):
        return None
    return to_micros(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
