"""Files of Upbit's published archive: listed, downloaded, verified, kept until they are stored.

Nothing leaves here that does not have the SHA-256 published beside it. A verified file stays in
the work folder until whoever asked for it says that it is stored, so a run that was killed
downloads nothing again but what was in flight.
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

from upbit_frames._version import __version__
from upbit_frames.archive.catalog import Download, Listed, NotPublished
from upbit_frames.archive.download_dir import WorkFolder
from upbit_frames.core.intervals import to_micros
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
from upbit_frames.exchange.transport.retry import RetryPolicy
from upbit_frames.runtime.clock import Clock
from upbit_frames.runtime.telemetry import telemetry

__all__ = ["ArchiveTransport"]

T = TypeVar("T")

CONNECTIONS = 6  # clients of the archive are known to use 5 to 32 without harm
LONGEST_WAIT = 30.0  # seconds that a Retry-After is obeyed for
FILE_MOST = 1 << 30  # the largest files, a month of second candles, have some tens of megabytes
LISTING_MOST = 16 << 20
CHECKSUM_MOST = 4096
PIECE = 1 << 20

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
        Work folder; made when first needed. Several processes may share it.
    timeout : float
        Seconds to wait for a connection, and for each piece of an answer.
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
        self._connections = connections
        self._retry = retry or RetryPolicy(attempts=4)
        self._room = asyncio.Semaphore(connections)
        self._http: httpx.AsyncClient | None = None

    def _client(self) -> httpx.AsyncClient:
        # Made on first use, because it belongs to the loop it is used on.
        if self._http is None:
            self._http = httpx.AsyncClient(
                timeout=httpx.Timeout(self._timeout, pool=None),
                limits=httpx.Limits(max_connections=self._connections, max_keepalive_connections=self._connections),
                headers={"User-Agent": f"upbit-frames/{__version__}", "Accept-Encoding": "identity"},
                follow_redirects=False,
            )
        return self._http

    async def aclose(self) -> None:
        """Close the connections."""
        if self._http is not None:
            http, self._http = self._http, None
            await http.aclose()

    # --- asking ---------------------------------------------------------------------------------

    async def list(self, folder: str) -> dict[str, Listed]:
        """The files right inside a folder, by key; empty if there is no such folder.

        Raises
        ------
        ApiError, TransportError, SchemaError
            If the listing cannot be had or read.
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
                f"the archive's listing is not what was expected: {error}",
                suggestion="nothing was stored; ask again later, or use source='rest'",
                url=self.listing_url,
                sample=body[:200].decode("utf-8", "replace"),
            ) from error
        return {
            entry.key: Listed(max(0, entry.size), _moment(entry.lastModified))
            for entry in entries
            if entry.type == "FILE" and entry.key.startswith(folder + "/")
        }

    async def digest(self, key: str) -> str | NotPublished:
        """The SHA-256 published for a file; a changed one tells that the file was corrected."""
        try:
            return (await self._checksum(key, fresh=True))[0]
        except _Refused as refused:
            return NotPublished(key, refused.status, 1)

    async def fetch(self, key: str, expected: str | None = None) -> Download | NotPublished:
        """Have a file in the work folder, verified.

        Parameters
        ----------
        key : str
        expected : str, optional
            Its digest where it is known already; saves asking for the checksum.

        Returns
        -------
        Download or NotPublished

        Raises
        ------
        ChecksumMismatch
            If the file is not the one its checksum belongs to, not even at the second try.
        ApiError, TransportError, SchemaError
            If the archive cannot be asked, after all attempts.
        """
        requests = 0
        async with self._room:
            for fresh in (False, True):
                try:
                    if expected is None:
                        expected, asked = await self._checksum(key, fresh=fresh)
                        requests += asked
                    place = self._work.place(key, expected)
                    kept = await self._work.intact(place, expected)
                    if kept is not None:
                        return Download(key, place, expected, kept, requests, kept=True)
                    found, size, asked = await self._download(key, place, expected, fresh=fresh)
                    requests += asked
                except _Refused as refused:
                    return NotPublished(key, refused.status, requests + 1)
                if found == expected:
                    return Download(key, place, expected, size, requests)
                # The file may have been corrected between the two answers, or one of them may
                # be an old copy: both are asked for anew, once.
                wanted, expected = expected, None
        raise ChecksumMismatch(
            "the published file does not have the published checksum",
            suggestion="nothing of it was stored; ask again later, or use source='rest'",
            url=self._url(key),
            expected=wanted,
            found=found,
        )

    async def discard(self, download: Download) -> None:
        """Let go of a file that was stored."""
        await self._work.remove(download.path)

    # --- one request ----------------------------------------------------------------------------

    async def _checksum(self, key: str, *, fresh: bool) -> tuple[str, int]:
        url = self._url(key) + ".checksum"
        body, asked = await self._small(url, CHECKSUM_MOST, headers=_headers(fresh))
        match = _DIGEST.fullmatch(body)
        if match is None:
            raise SchemaError(
                "the published checksum is not a SHA-256 digest",
                suggestion="nothing was stored; ask again later, or use source='rest'",
                url=url,
                sample=body[:200].decode("utf-8", "replace"),
            )
        return match[1].decode().lower(), asked

    async def _small(self, url: str, most: int, **options: Any) -> tuple[bytes, int]:
        async def read(response: httpx.Response) -> bytes:
            body = bytearray()
            async for piece in response.aiter_bytes():
                body += piece
                _check_size(len(body), most, url)
            return bytes(body)

        return await self._retried(url, read, options)

    async def _download(self, key: str, place: Path, expected: str, *, fresh: bool) -> tuple[str, int, int]:
        """Digest, bytes and requests of the file, which lies in its place if the digest is right."""
        url = self._url(key)

        async def read(response: httpx.Response) -> tuple[str, int]:
            _check_size(int(response.headers.get("content-length") or 0), FILE_MOST, url)
            async with self._work.part() as part:
                async for piece in response.aiter_bytes(PIECE):
                    _check_size(part.size + len(piece), FILE_MOST, url)
                    await part.write(piece)
                if part.digest == expected:
                    await part.move(place)
                return part.digest, part.size

        (found, size), asked = await self._retried(url, read, {"headers": _headers(fresh)})
        return found, size, asked

    async def _retried(self, url: str, read: Callable[[httpx.Response], Awaitable[T]], options: Any) -> tuple[T, int]:
        """What ``read`` makes of the answer, and how many requests it took."""
        attempt, paused = 1, 0.0
        while True:
            status, size, sent = None, 0, self._clock.monotonic()
            try:
                async with self._client().stream("GET", url, **options) as response:
                    status = response.status_code
                    try:
                        _check_status(response, url)
                        return await read(response), attempt
                    finally:
                        size = response.num_bytes_downloaded
            except httpx.TimeoutException as error:
                failure: UpbitFramesError = Timeout(
                    "the archive did not answer in time", suggestion="ask again, or raise the timeout setting", url=url
                )
                cause: Exception = error
            except httpx.RequestError as error:
                failure = ConnectionFailed(
                    f"the connection to the archive failed: {error or type(error).__name__}",
                    suggestion="check the network and ask again",
                    url=url,
                )
                cause = error
            except (ServerError, RateLimited) as error:
                failure, cause = error, error
            finally:
                telemetry.request("archive", status, self._clock.monotonic() - sent, attempt, size, paused)
            if attempt >= self._retry.attempts:
                raise failure from (None if cause is failure else cause)
            asked_for = min(LONGEST_WAIT, failure.context.get("retry_after", 0.0))
            paused = max(self._retry.pause(attempt), asked_for)
            await self._clock.sleep(paused)
            attempt += 1

    def _url(self, key: str) -> str:
        return f"{self.archive_url}/{_safe(key)}"


# --- answers ------------------------------------------------------------------------------------


def _check_status(response: httpx.Response, url: str) -> None:
    if response.status_code == 200:
        return
    if response.status_code in (403, 404):
        raise _Refused(response.status_code)
    raise _refusal(response.status_code, url, response.headers.get("retry-after"))


def _refusal(status: int, url: str, retry_after: str | None = None) -> ApiError:
    kind = ServerError if status >= 500 else RateLimited if status == 429 else ApiError
    seconds = float(retry_after) if retry_after and retry_after.isdigit() else None
    return kind(
        f"the archive answered with status {status}",
        suggestion="ask again later, or use source='rest'",
        url=url,
        status=status,
        retry_after=seconds,
    )


def _check_size(size: int, most: int, url: str) -> None:
    if size > most:
        raise SchemaError(
            f"the archive's answer is larger than {most:,} bytes",
            suggestion="nothing was stored; check what stands between you and the archive",
            url=url,
        )


def _headers(fresh: bool) -> dict[str, str]:
    """Ask caches on the way for a new copy where the first one did not fit."""
    return {"Cache-Control": "no-cache"} if fresh else {}


def _safe(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} is no key of the archive")
    return key


def _moment(text: str | None) -> int | None:
    """Microseconds of an ISO time; None where there is none to be understood."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return to_micros(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
