"""What is known about the published archive, what its files cost, and how a plan is told (pure).

Everything is weighed in one currency, seconds: a REST page costs what the request limit allows, a
file costs its round trips and its bytes on a modest line.
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
"""What one file takes beside its bytes: two round trips, of which six files share the waiting."""

BYTES_PER_SECOND = 4_000_000
"""A modest line. Measured lines are faster; the slower the line is thought to be, the more the
plan prefers the days that are really missing to a month that holds them."""

CANDLE_BYTES = 26
"""Zipped bytes of a candle: 25.2 to 27.3 were measured with a real month of KRW-BTC 1m."""

TRADE_BYTES = 18
"""Zipped bytes of a trade: 15 to 19 in the stand-in's files."""

TRADES_A_DAY = 100_000
"""Trades of a busy market's day, for estimates where no listing tells the size."""

LIST_FROM = 3
"""Files of one folder from which on its listing is worth a request; fewer are simply tried."""

_DAY = INTERVALS["1d"]


class Listed(NamedTuple):
    """What a listing says about one file: bytes, and when it was put there (us, None unknown)."""

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
        Its digest, hexadecimal in small letters, equal to the published one.
    size : int
        Bytes.
    requests : int
        What it took, the checksum included.
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
    """What is known about the archive now.

    Attributes
    ----------
    now : int
        The server's time, microseconds.
    folders : mapping of str to mapping of str to Listed
        Folders that were listed, each with its files by key. What a listed folder does not show
        is not there; other folders are assumed to have what the publication rule promises.
    refused : frozenset of str
        Keys that were asked for and not served, or not usable.
    """

    now: int
    folders: Mapping[str, Mapping[str, Listed]] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()

    def has(self, file: ArchiveFile) -> bool:
        """Whether the file may be counted on.

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
        """Bytes of the file, listed or estimated."""
        entry = self.folders.get(file.folder, {}).get(file.key)
        if entry is not None:
            return entry.size
        if file.interval is not None:
            return CANDLE_BYTES * file.slots
        return TRADE_BYTES * TRADES_A_DAY * ((file.period.end - file.period.start) // _DAY.step)

    def listing(self, folder: str, files: Mapping[str, Listed]) -> Published:
        """The same after a folder was listed."""
        return replace(self, folders={**self.folders, folder: files})

    def without(self, *keys: str) -> Published:
        """The same after some files turned out not to be there or not to be usable."""
        return replace(self, refused=self.refused | set(keys))


@dataclass(frozen=True)
class Portion:
    """Part of what is missing, and who answers it.

    Attributes
    ----------
    channel : {"archive", "rest", "none"}
    spans : tuple of Span
        The missing ranges it answers; several for a file between whose rows something is
        stored already.
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
    """Seconds a file is thought to take."""
    return FILE_SECONDS + published.size(file) / BYTES_PER_SECOND


def folders_worth_listing(portions: Iterable[Portion], published: Published) -> list[str]:
    """Folders of which the plan takes so many files that looking first saves requests.

    List them, add the answers to ``published`` and plan again, until nothing is left to list.
    """
    files: dict[str, int] = {}
    for portion in portions:
        if portion.file is not None and portion.file.folder not in published.folders:
            files[portion.file.folder] = files.get(portion.file.folder, 0) + 1
    return sorted(folder for folder, count in files.items() if count >= LIST_FROM)


def to_steps(portions: Iterable[Portion], market: str) -> list[Step]:
    """The portions as steps of a plan; neighbours of one kind become one step."""
    # A file that answers several ranges is counted with the first of them.
    single = [
        (span, one if number == 0 else replace(one, requests=0, bytes=0, rows=0, seconds=0.0))
        for one in portions
        for number, span in enumerate(one.spans)
    ]
    steps: list[Step] = []
    for span, one in sorted(single, key=lambda pair: pair[0]):
        last = steps[-1] if steps else None
        if last and (last.channel, last.reason, last.end) == (one.channel, one.reason, span.start):
            steps[-1] = replace(
                last, end=span.end, rows=last.rows + one.rows, requests=last.requests + one.requests,
                bytes=last.bytes + one.bytes, seconds=last.seconds + one.seconds,
            )  # fmt: skip
        else:
            steps.append(Step(one.channel, one.reason, *span, one.rows, one.requests, one.bytes, one.seconds, market))
    return steps


def saving_hint(
    without: Iterable[Portion | Step], with_archive: Iterable[Portion | Step], *, least: float = 10.0
) -> str:
    """What the archive would save, in one text with its terms; empty where it is not worth saying.

    Parameters
    ----------
    without, with_archive : iterable of Portion or Step
        The plans without and with it.
    least : float
        Seconds it must save to be mentioned, unless it has what no one else has.
    """
    old, new = list(without), list(with_archive)
    lost = sum(1 for portion in old if portion.channel == "none") > sum(1 for one in new if one.channel == "none")
    before, after = (sum(one.seconds for one in plan) for plan in (old, new))
    asked, would = (sum(one.requests for one in plan) for plan in (old, new))
    if lost:
        saves = "has data that the API does not serve any more"
    elif before - after >= least:
        saves = f"needs {would:,} requests and about {after:,.0f} s instead of {asked:,} and {before:,.0f} s"
    else:
        return ""
    return (
        f"Upbit's published archive {saves}. If its terms suit you, turn it on with uf.configure(archive=True). {TERMS}"
    )
