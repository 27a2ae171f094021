"""The catalogue of the published archive: which files it has, what they cost, plans as steps (pure).

Costs are in seconds: of a REST page by the request limit, of a file by its round trips and its
bytes on a modest line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from upbit_frames.archive.files import PUBLICATION_DELAY, TERMS, ArchiveFile
from upbit_frames.core.availability import SEAL_GRACE
from upbit_frames.core.intervals import INTERVALS, Span
from upbit_frames.core.route import Step

__all__ = [
    "Download",
    "Listed",
    "NotPublished",
    "Portion",
    "Published",
    "file_cost",
    "folders_worth_listing",
    "saving_hint",
    "to_steps",
]

FILE_REQUESTS = 2
"""A file and its checksum."""

FILE_SECONDS = 0.1
"""Cost of a file beside its bytes: two round trips, six of them in parallel."""

BYTES_PER_SECOND = 4_000_000
"""A modest line. Measured lines are faster; the slower the line is assumed to be, the more the
plan prefers the days that are really missing to a month that holds them."""

CANDLE_BYTES = 26
"""Zipped bytes of a candle: 25.2 to 27.3 were measured with a real month of KRW-BTC 1m."""

TRADE_BYTES = 18
"""Zipped bytes of a trade: 15 to 19 in the stand-in's files."""

TRADES_A_DAY = 100_000
"""Trades of a busy market's day, for estimates where no listing has the size."""

LIST_FROM = 3
"""Number of files in a folder from which its listing is worth a request; fewer are simply tried."""

_DAY = INTERVALS["1d"]


class Listed(NamedTuple):
    """The entry of a file in a listing: bytes, and when it was published (us UTC, None unknown)."""

    size: int
    modified: int | None


@dataclass(frozen=True)
class Download:
    """A verified file.

    Attributes
    ----------
    key : str
    path : pathlib.Path
        Where it lies until it is discarded.
    sha256 : str
        Its digest, hexadecimal in lower case, equal to the published digest.
    size : int
        Bytes.
    requests : int
        Requests used, the checksum's included.
    kept : bool
        Whether an earlier run had downloaded it already.
    """

    key: str
    path: Path
    sha256: str
    size: int
    requests: int
    kept: bool = False


@dataclass(frozen=True)
class NotPublished:
    """The archive does not have the file, at least not yet: the answer was 403 or 404."""

    key: str
    status: int
    requests: int


@dataclass(frozen=True)
class Published:
    """What is known about the archive at a moment.

    Attributes
    ----------
    now : int
        The server's time, microseconds.
    folders : mapping of str to mapping of str to Listed
        Folders that were listed, each with its files by key. Files absent from a listing do not
        exist; other folders are assumed to have what the publication rule promises.
    refused : frozenset of str
        Keys that were requested and not served, or not usable.
    """

    now: int
    folders: Mapping[str, Mapping[str, Listed]] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()

    def has(self, file: ArchiveFile) -> bool:
        """Return whether the file is or should be available.

        Its period must be over in any case, and a file written before its period was over is
        not final.
        """
        if file.key in self.refused or file.answers.empty or self.now < file.period.end + SEAL_GRACE:
            return False
        due = self.now >= file.period.end + PUBLICATION_DELAY
        listed = self.folders.get(file.folder)
        if listed is None:
            return due
        entry = listed.get(file.key)
        return entry is not None and (due if entry.modified is None else entry.modified >= file.period.end)

    def size(self, file: ArchiveFile) -> int:
        """Return the bytes of the file, listed or estimated."""
        entry = self.folders.get(file.folder, {}).get(file.key)
        if entry is not None:
            return entry.size
        if file.interval is not None:
            return CANDLE_BYTES * file.slots
        return TRADE_BYTES * TRADES_A_DAY * ((file.period.end - file.period.start) // _DAY.step)

    def listing(self, folder: str, files: Mapping[str, Listed]) -> Published:
        """Return the catalogue with the listing of a folder added."""
        return replace(self, folders={**self.folders, folder: files})

    def without(self, *keys: str) -> Published:
        """Return the catalogue with files marked as missing or unusable."""
        return replace(self, refused=self.refused | set(keys))


@dataclass(frozen=True)
class Portion:
    """Missing ranges served together by one source.

    Attributes
    ----------
    channel : {"archive", "rest", "none"}
    spans : tuple of Span
        The missing ranges it serves; several for a file of whose period parts are stored already.
    reason : str
    file : ArchiveFile or None
    requests, bytes, rows : int
    seconds : float
        Estimates.
    """

    channel: str
    spans: tuple[Span, ...]
    reason: str
    file: ArchiveFile | None = None
    requests: int = 0
    bytes: int = 0
    rows: int = 0
    seconds: float = 0.0


def file_cost(published: Published, file: ArchiveFile) -> float:
    """Estimate the seconds that a file takes."""
    return FILE_SECONDS + published.size(file) / BYTES_PER_SECOND


def folders_worth_listing(portions: Iterable[Portion], published: Published) -> list[str]:
    """Return the folders of which a plan uses so many files that a listing saves requests.

    List them, add the listings to ``published`` and plan again, until no folder is returned.
    """
    files: dict[str, int] = {}
    for portion in portions:
        if portion.file is not None and portion.file.folder not in published.folders:
            files[portion.file.folder] = files.get(portion.file.folder, 0) + 1
    return sorted(folder for folder, count in files.items() if count >= LIST_FROM)


def to_steps(portions: Iterable[Portion], market: str) -> list[Step]:
    """Convert portions to steps of a plan; adjacent portions of the same kind become a single step."""
    # A file that serves several ranges is counted with the first of them.
    ranges = [
        (span, portion if number == 0 else replace(portion, requests=0, bytes=0, rows=0, seconds=0.0))
        for portion in portions
        for number, span in enumerate(portion.spans)
    ]
    steps: list[Step] = []
    for span, part in sorted(ranges, key=lambda pair: pair[0]):
        last = steps[-1] if steps else None
        if last and (last.channel, last.reason, last.end) == (part.channel, part.reason, span.start):
            steps[-1] = replace(
                last, end=span.end, rows=last.rows + part.rows, requests=last.requests + part.requests,
                bytes=last.bytes + part.bytes, seconds=last.seconds + part.seconds,
            )  # fmt: skip
        else:
            steps.append(
                Step(part.channel, part.reason, *span, part.rows, part.requests, part.bytes, part.seconds, market)
            )
    return steps


def saving_hint(
    without: Iterable[Portion | Step], with_archive: Iterable[Portion | Step], *, least: float = 10.0
) -> str:
    """Describe what the archive would save, with its terms; empty where the saving is small.

    Parameters
    ----------
    without, with_archive : iterable of Portion or Step
        The plans without and with the archive.
    least : float
        Seconds it must save to be mentioned, unless it has data that no other source has.
    """
    old, new = list(without), list(with_archive)
    unavailable_before, unavailable = (sum(part.channel == "none" for part in plan) for plan in (old, new))
    before, after = (sum(part.seconds for part in plan) for plan in (old, new))
    requests_before, requests = (sum(part.requests for part in plan) for plan in (old, new))
    if unavailable_before > unavailable:
        saves = "has data that the API does not serve any more"
    elif before - after >= least:
        saves = (
            f"needs {requests:,} requests and about {after:,.0f} s instead of {requests_before:,} and {before:,.0f} s"
        )
    else:
        return ""
    return (
        f"Upbit's published archive {saves}. If its terms suit you, turn it on with uf.configure(archive=True). {TERMS}"
    )
