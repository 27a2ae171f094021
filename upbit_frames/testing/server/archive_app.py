"""The published archive of the stand-in exchange: listing, files and checksums (upbit-api 11).

It owns no socket: :meth:`ArchiveApp.handle` turns a path and a query into a reply, for the server of
the exchange's hosts. The files are generated from the same market as the candles and trades over REST,
on the first request, and are published the day after by the clock of the exchange. Faults spoil files
in ways that a client must notice.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from upbit_frames.archive.files import (
    CANDLE_COLUMNS,
    TRADE_COLUMNS,
    ArchiveFile,
    day_file,
    month_file,
    since,
)
from upbit_frames.core.intervals import INTERVALS, Interval, from_micros, to_micros
from upbit_frames.testing.market.price_ticks import SCALE

if TYPE_CHECKING:
    from upbit_frames.testing.market.model import MarketModel

__all__ = ["FAULTS", "ArchiveApp", "ArchiveSource", "Fault", "ModelSource", "Reply"]

PUBLISHED_AFTER = 3_600_000_000
"""Files are published an hour after their period, as the real archive does."""

CACHE_MOST = 64 << 20
_BY_ARCHIVE_NAME = {
    interval.archive: interval
    for interval in INTERVALS.values()
    if interval.archive and interval.name not in ("1w", "1M")
}
_STEM = re.compile(r"[A-Z0-9]+-[A-Z0-9]+_(?:trade|candle-(?P<interval>\w+))_(?P<stamp>\d{8}|\d{6})\.zip")

FAULTS = (
    "404", "403", "500", "slow", "drop", "html", "cut", "wrong_checksum", "bomb", "wrong_columns", "other_day",
    "duplicate", "no_rows",
)  # fmt: skip
"""Refused, failing or hanging; a connection that breaks inside the file; a page instead of the
file; a zip that ends early, with its own checksum; a checksum of something else; and zips with
the right checksum whose content is a bomb, has other columns, rows of another day, a row twice or none at all.
"""


class ArchiveSource(Protocol):
    """What the archive is generated from."""

    def listed(self) -> Mapping[str, int]:
        """Return the markets with a file in the archive, and since when they trade (microseconds)."""

    def candle_rows(self, market: str, interval: Interval, start: int, end: int) -> Iterable[tuple[int, ...]]:
        """Yield (time in us, open, high, low, close, volume, value) of ``[start, end)``; numbers in 1e-8."""

    def trade_rows(self, market: str, start: int, end: int) -> Iterable[tuple[int, int, int, str]]:
        """Yield (time in ms, price, volume, ASK or BID) of ``[start, end)``; numbers in 1e-8."""


class ModelSource:
    """The source of the archive: the market behind the stand-in exchange.

    Parameters
    ----------
    model : MarketModel
    """

    def __init__(self, model: MarketModel) -> None:
        self._model = model

    def listed(self) -> dict[str, int]:
        """Return the markets that are listed now: the archive has no delisted markets."""
        return {listing.market: listing.listed for listing in self._model.markets()}

    def candle_rows(self, market: str, interval: Interval, start: int, end: int) -> Iterator[tuple[int, ...]]:
        """Yield the candles of a range."""
        candles = self._model.candles(market, interval, start, end)
        columns = [column.tolist() for column in (candles.time, candles.open, candles.high, candles.low, candles.close)]
        return zip(*columns, candles.volume, candles.value, strict=True)

    def trade_rows(self, market: str, start: int, end: int) -> Iterator[tuple[int, int, int, str]]:
        """Yield the trades of a range."""
        trades = self._model.trades(market, start, end)
        sides = ["BID" if bid else "ASK" for bid in trades.bid.tolist()]
        return zip(trades.ms.tolist(), trades.price.tolist(), trades.volume.tolist(), sides, strict=True)


class Reply(NamedTuple):
    """A response. The connection is closed after ``drop_after`` bytes; it begins ``delay`` seconds late."""

    status: int
    content_type: str
    body: bytes
    drop_after: int | None = None
    delay: float = 0.0


@dataclass
class Fault:
    """A fault of the files that it matches.

    Attributes
    ----------
    kind : str
        From ``FAULTS``.
    match : str
        Part of the key; empty matches every file.
    times : int or None
        How many responses it spoils; None: all.
    served : int
        How many it has spoiled.
    """

    kind: str
    match: str = ""
    times: int | None = None
    served: int = 0

    def wants(self, key: str) -> bool:
        """Return whether it spoils that key now."""
        return self.match in key and (self.times is None or self.served < self.times)


@dataclass
class ArchiveApp:
    """The archive's two hosts, without their sockets.

    Attributes
    ----------
    source : ArchiveSource
    now : function () -> int
        The virtual clock, microseconds.
    faults : list of Fault
    requests : list of (path, status)
        Requests, in order.
    corrections : dict of str to int
        Files that were published again: how often. Their content is the same, their bytes differ.
    """

    source: ArchiveSource
    now: Callable[[], int]
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, int]] = field(default_factory=list)
    corrections: dict[str, int] = field(default_factory=dict)
    _cache: OrderedDict[str, bytes] = field(default_factory=OrderedDict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def fault(self, kind: str, match: str = "", times: int | None = None) -> Fault:
        """Spoil files from now on; see ``FAULTS``."""
        if kind not in FAULTS:
            raise ValueError(f"kind must be one of {', '.join(FAULTS)}, got {kind!r}")
        fault = Fault(kind, match, times)
        self.faults.append(fault)
        return fault

    def correct(self, key: str) -> None:
        """Publish a file again with other bytes, as Upbit may do without notice."""
        with self._lock:
            self.corrections[key] = self.corrections.get(key, 0) + 1
            self._cache.pop(key, None)

    # --- the two hosts --------------------------------------------------------------------------

    def handle(self, path: str, query: Mapping[str, str] | None = None) -> Reply:
        """Return the reply to GET of a path: the listing if there is a ``prefix``, else a file."""
        with self._lock:
            if query is not None and "prefix" in query:
                reply = self.listing(query["prefix"])
                path = f"{path}?prefix={query['prefix']}"
            else:
                reply = self.file(path.strip("/"))
            self.requests.append((path, reply.status))
            return reply

    def listing(self, prefix: str) -> Reply:
        """Return the listing of a folder."""
        prefix = prefix.strip("/")
        rows = [
            {"key": key, "size": size, "lastModified": modified, "type": "DIRECTORY" if modified is None else "FILE"}
            for key, size, modified in self._entries(prefix)
        ]
        return Reply(200, "application/json", json.dumps(rows).encode())

    def file(self, path: str) -> Reply:
        """Return a zip or its checksum."""
        key = path.removesuffix(".checksum")
        file = self._published(key)
        if file is None:
            return Reply(404, "application/xml", b"<Error><Code>NoSuchKey</Code></Error>")
        fault = next((fault for fault in self.faults if fault.wants(key)), None)
        wants_checksum = path != key
        if fault is None:
            data = self._bytes(file)
        else:
            refused = self._refused(fault, wants_checksum)
            if refused is not None:
                return refused
            data = self._spoiled(fault.kind, file)
            if not wants_checksum:
                fault.served += 1
        if wants_checksum:
            other = fault is not None and fault.kind == "wrong_checksum"
            digest = hashlib.sha256(b"something else" if other else data).hexdigest()
            return Reply(200, "text/plain", f"{digest}  {file.stem}.zip\n".encode())
        drops = fault is not None and fault.kind == "drop"
        return Reply(200, "application/zip", data, drop_after=len(data) // 2 if drops else None)

    # --- published files ------------------------------------------------------------------------

    def _published(self, key: str) -> ArchiveFile | None:
        """Return the file of a key, if it is published by now."""
        name = key.rpartition("/")[2]
        match = _STEM.fullmatch(name)
        market = name.partition("_")[0]
        if match is None or market not in self.source.listed():
            return None
        interval = _BY_ARCHIVE_NAME.get(match["interval"] or "")
        if match["interval"] and interval is None:
            return None
        try:
            moment = _moment(match["stamp"])
        except ValueError:
            return None
        file = (month_file if len(match["stamp"]) == 6 else day_file)(market, interval, moment)
        return file if file.key == key and self._is_published(file) else None

    def _is_published(self, file: ArchiveFile) -> bool:
        begins = max(since(file.interval), self.source.listed()[file.market])
        return file.period.end > begins and self.now() >= file.period.end + PUBLISHED_AFTER

    def _entries(self, prefix: str) -> list[tuple[str, int, str | None]]:
        """Return (key, size, last modified or None for a folder) of the entries right below a prefix."""
        parts = prefix.split("/") if prefix else []
        markets = sorted(self.source.listed())
        kind = parts[0] if parts else ""
        levels: list[Sequence[str]] = [("candle", "trade"), markets, ("daily", "monthly")]
        if kind == "candle":
            levels.append(sorted(str(name) for name in _BY_ARCHIVE_NAME))
        levels.append([str(year) for year in range(2017, from_micros(self.now()).year + 1)])
        if any(part not in level for part, level in zip(parts, levels, strict=False)):
            return []
        if len(parts) < len(levels):
            return [("/".join([*parts, name]), 0, None) for name in levels[len(parts)]]
        if len(parts) > len(levels):
            return []
        return self._files(parts)

    def _files(self, parts: list[str]) -> list[tuple[str, int, str | None]]:
        interval = _BY_ARCHIVE_NAME[parts[3]] if parts[0] == "candle" else None
        of = month_file if parts[2] == "monthly" else day_file
        moment = _moment(parts[-1] + "01")
        entries: list[tuple[str, int, str | None]] = []
        while from_micros(moment).year == int(parts[-1]):
            file = of(parts[1], interval, moment)
            if self._is_published(file):
                written = from_micros(file.period.end + PUBLISHED_AFTER).isoformat().replace("+00:00", "Z")
                # The size of a file that was not generated yet is estimated: generating a year of files
                # to list them would take too long.
                size = len(self._cache[file.key]) if file.key in self._cache else 26 * file.slots
                entries += [(file.key, size, written), (file.key + ".checksum", 64, written)]
            moment = file.period.end
        return entries

    # --- file content --------------------------------------------------------------------------

    def _bytes(self, file: ArchiveFile) -> bytes:
        data = self._cache.get(file.key)
        if data is None:
            data = zipped(file.member, self._text(file), comment=b"c" * self.corrections.get(file.key, 0))
            self._cache[file.key] = data
            while sum(map(len, self._cache.values())) > CACHE_MOST and len(self._cache) > 1:
                self._cache.popitem(last=False)
        return data

    def _text(self, file: ArchiveFile) -> str:
        return "\n".join([",".join(CANDLE_COLUMNS if file.interval else TRADE_COLUMNS), *self._lines(file)]) + "\n"

    def _lines(self, file: ArchiveFile) -> list[str]:
        start, end = file.answers
        if file.interval is None:
            trades = enumerate(self.source.trade_rows(file.market, start, end))
            return [
                f"{seq},{ms},{decimal(volume)},{decimal(price)},{side}" for seq, (ms, price, volume, side) in trades
            ]
        rows = list(self.source.candle_rows(file.market, INTERVALS[file.interval], start, end))
        times = np.array([row[0] for row in rows], "datetime64[us]")
        stamps: list[str] = np.datetime_as_string(times, unit="s").tolist()
        return [
            ",".join((stamp, *map(decimal, (open_, high, low, close, value, volume))))
            for stamp, (_, open_, high, low, close, volume, value) in zip(stamps, rows, strict=True)
        ]

    # --- faults ---------------------------------------------------------------------------------

    def _refused(self, fault: Fault, wants_checksum: bool) -> Reply | None:
        if fault.kind in ("404", "403", "500"):
            fault.served += 1
            return Reply(int(fault.kind), "application/xml", b"<Error/>")
        if fault.kind == "slow" and not wants_checksum:
            fault.served += 1
            return Reply(503, "text/plain", b"", delay=3600.0)
        if fault.kind == "html" and not wants_checksum:
            fault.served += 1
            return Reply(200, "text/html", b"<html><body>Under maintenance</body></html>")
        return None

    def _spoiled(self, kind: str, file: ArchiveFile) -> bytes:
        if kind == "cut":
            data = self._bytes(file)
            return data[: len(data) // 2]
        if kind == "bomb":
            return zipped(file.member, ",".join(CANDLE_COLUMNS) + "\n" * 5_000_000)
        if kind == "wrong_columns":
            return zipped(file.member, self._text(file).replace("open,", "first,", 1).replace("price,", "cost,", 1))
        if kind == "other_day":
            of = month_file if file.monthly else day_file
            interval = INTERVALS[file.interval] if file.interval else None
            other = of(file.market, interval, file.period.start - 1)
            return zipped(file.member, self._text(other))
        if kind == "duplicate":
            text = self._text(file)
            return zipped(file.member, text + text.splitlines()[-1] + "\n")
        if kind == "no_rows":
            return zipped(file.member, self._text(file).splitlines()[0] + "\n")
        return self._bytes(file)


def decimal(number: int) -> str:
    """Return a number in units of 1e-8 as the exchange spells it.

    Examples
    --------
    >>> decimal(150_000_000)
    '1.50000000'
    """
    whole, part = divmod(number, SCALE)
    return f"{whole}.{part:08d}"


def zipped(member: str, text: str, comment: bytes = b"") -> bytes:
    """Return a zip with a single member; the same text always gives the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(member, (1980, 1, 1, 0, 0, 0)), text, zipfile.ZIP_DEFLATED)
        archive.comment = comment
    return buffer.getvalue()


def _moment(stamp: str) -> int:
    """Return the microseconds of ``YYYYMM`` or ``YYYYMMDD``."""
    day = int(stamp[6:8]) if len(stamp) == 8 else 1
    return to_micros(datetime(int(stamp[:4]), int(stamp[4:6]), day, tzinfo=UTC))
