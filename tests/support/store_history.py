"""What processes do with a store at once, as a log of calls and answers, and the rules the answers must obey (pure).

Every entry has ``begin`` and ``end``, of a clock that all processes share; without ``end`` the process was killed.
A minute is UNKNOWN, SILENT (covered, not traded) or has the version of the write that its row is from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import inf

__all__ = ["SILENT", "UNKNOWN", "Entry", "complaints"]

UNKNOWN, SILENT = -1, 0


@dataclass
class Entry:
    """A call and its answer.

    Attributes
    ----------
    kind : {"write", "clear", "read", "merge", "verify"}
    begin, end : float
        Nanoseconds; ``end`` is infinite where the call was never answered.
    low, high : int
        Minutes written.
    version : int
        Of a write.
    replace : bool
    seen : list of int
        What a read gave for each minute.
    """

    kind: str
    begin: float
    end: float = inf
    low: int = 0
    high: int = 0
    version: int = 0
    replace: bool = False
    seen: list[int] = field(default_factory=list)

    def holds(self, minute: int) -> bool:
        return self.low <= minute < self.high


def complaints(entries: Iterable[Entry]) -> list[str]:
    """List every answer that no order of the calls explains."""
    entries = list(entries)
    writes = [entry for entry in entries if entry.kind == "write"]
    clears = [entry for entry in entries if entry.kind == "clear"]
    reads = sorted((entry for entry in entries if entry.kind == "read" and entry.end < inf), key=lambda one: one.begin)
    return [
        complaint for read in reads for complaint in [*_impossible(read, writes, clears), *_torn(read, writes)]
    ] + _backwards(reads, writes, clears)


def _impossible(read: Entry, writes: Sequence[Entry], clears: Sequence[Entry]) -> list[str]:
    """A minute with a row that was replaced before the read began, or lacks one that was there."""
    versions = {write.version: write for write in writes}
    wrong = []
    for seen in {seen for seen in read.seen if seen > SILENT}:
        minutes = [minute for minute, other in enumerate(read.seen) if other == seen]
        write = versions.get(seen)
        if write is None or write.begin > read.end or not all(map(write.holds, minutes)):
            wrong.append(f"minutes {minutes} have version {seen}, which was not written there before")
            continue
        for later in [*clears, *(other for other in writes if other.replace)]:
            after = write.end < later.begin and later.end < read.begin
            if after and (later.kind == "clear" or any(map(later.holds, minutes))):
                wrong.append(f"minutes {minutes} have version {seen}, which was replaced or cleared")
    for write in writes:
        lost = write.end < read.begin and UNKNOWN in read.seen[write.low : write.high]
        if lost and not any(clear.end > write.begin and clear.begin < read.end for clear in clears):
            wrong.append(f"minutes are unknown, but version {write.version} was written")
    return wrong


def _torn(read: Entry, writes: Sequence[Entry]) -> list[str]:
    """A replacement that a single read saw in part."""
    versions = {write.version: write for write in writes}
    shown = {seen for seen in read.seen if seen > SILENT and seen in versions}
    wrong = []
    for write in (versions[seen] for seen in shown if versions[seen].replace):
        for minute in range(write.low, write.high):
            other = read.seen[minute]
            if other == UNKNOWN or (other in versions and versions[other].end < write.begin):
                wrong.append(f"minute {minute} has {other} beside version {write.version}, which replaced it")
    return wrong


def _backwards(reads: Sequence[Entry], writes: Sequence[Entry], clears: Sequence[Entry]) -> list[str]:
    """What a read knew, a later one does not; without a clear meanwhile, or in an earlier version."""
    versions = {write.version: write for write in writes}
    wrong = []
    ended = sorted(reads, key=lambda one: one.end)
    size = max((len(read.seen) for read in reads), default=0)
    known: list[float] = [-inf] * size  # begin of the last read that knew the minute
    newest: list[float] = [-inf] * size  # begin of the newest write that a read saw in it
    at = 0
    for read in reads:
        while at < len(ended) and ended[at].end < read.begin:
            for minute, seen in enumerate(ended[at].seen):
                if seen != UNKNOWN:
                    known[minute] = max(known[minute], ended[at].begin)
                if seen in versions:
                    newest[minute] = max(newest[minute], versions[seen].begin)
            at += 1
        for minute, seen in enumerate(read.seen):
            if seen == UNKNOWN and known[minute] > -inf:
                if not any(clear.end > known[minute] and clear.begin < read.end for clear in clears):
                    wrong.append(f"minute {minute} was known, and is unknown without a clear")
            elif seen in versions and versions[seen].end < newest[minute]:
                wrong.append(f"minute {minute} went back to version {seen}")
    return wrong
