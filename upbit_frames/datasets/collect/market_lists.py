"""The lists of markets that were ever fetched, one a UTC day, kept beside the store's rows.

``universe/v1/2026-11-24.json.gz`` is the first list that was fetched on that day, some kilobytes. No source serves old
lists, so nothing removes these files: not ``uf.cache.clear``, not ``prune``. Damaged ones are left out and counted:
their day is not known. ``universe/v1/rescaled_KRW-STRAX_2026-11-24.json`` is a redenomination that ``update`` noticed.
"""

from __future__ import annotations

import logging
import re
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from upbit_frames.core.intervals import iso
from upbit_frames.core.markets import parse_market
from upbit_frames.errors import InvalidMarket, StoreError
from upbit_frames.store import atomic_files as files
from upbit_frames.store.directories import open_below

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Kept", "Listed", "MarketKeeper", "MarketList", "MarketLists", "Rescaled", "decode", "encode", "list_of"]

logger = logging.getLogger("upbit_frames.datasets.collect")

FOLDERS = ("universe", "v1")
MOST_BYTES = 64_000_000  # of an inflated list; a real one has some hundred thousand
_LIST = re.compile(r"(\d{4}-\d\d-\d\d)\.json\.gz", re.ASCII)
_RESCALED = re.compile(r"rescaled_[A-Z0-9]+-[A-Z0-9]+_\d{4}-\d\d-\d\d\.json", re.ASCII)


class Listed(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a list says of one market."""

    korean_name: str | None = None
    english_name: str | None = None
    warning: bool = False
    cautions: tuple[str, ...] = ()


class MarketList(msgspec.Struct, frozen=True):
    """The markets that were listed at one moment.

    Attributes
    ----------
    at : int
        When the exchange said so, microseconds UTC.
    markets : dict of str to Listed
    version : int
    """

    at: int
    markets: dict[str, Listed]
    version: int = 1


class Rescaled(msgspec.Struct, frozen=True):
    """A redenomination that was noticed: stored candles and the exchange's differ by a constant factor.

    Attributes
    ----------
    market, interval : str
    factor : float
        The exchange's price divided by the stored one.
    first, last : str
        ISO times of the first and the last stored candle that differ.
    noticed : int
        Microseconds UTC.
    """

    market: str
    interval: str
    factor: float
    first: str
    last: str
    noticed: int
    version: int = 1


@dataclass(frozen=True)
class Kept:
    """Everything that is kept.

    Attributes
    ----------
    lists : tuple of MarketList
        Ascending in time.
    rescaled : tuple of Rescaled
        Ascending in time.
    damaged : tuple of str
        Names of files that could not be read.
    """

    lists: tuple[MarketList, ...] = ()
    rescaled: tuple[Rescaled, ...] = ()
    damaged: tuple[str, ...] = field(default=())


def list_of(table: pa.Table, at: int) -> MarketList:
    """Build the list of a table of markets."""
    names = ("korean_name", "english_name", "warning", "cautions")
    columns = zip(*(table[name].to_pylist() for name in names), strict=True)
    listed = (Listed(korean, english, bool(warned), tuple(flags or ())) for korean, english, warned, flags in columns)
    return MarketList(at, dict(zip(table["market"].to_pylist(), listed, strict=True)))


def encode(listing: MarketList) -> bytes:
    """Return the contents of a list's file: JSON, gzipped, the same bytes for the same list."""
    packer = zlib.compressobj(9, wbits=31)
    return packer.compress(msgspec.json.encode(listing, order="deterministic")) + packer.flush()


def decode(data: bytes, day: str) -> MarketList | None:
    """Read the contents of a list's file; None where they are damaged or of another day.

    Examples
    --------
    >>> kept = MarketList(1_772_323_200_000_000, {"KRW-BTC": Listed("비트코인", "Bitcoin")})
    >>> decode(encode(kept), "2026-03-01") == kept
    True
    >>> decode(encode(kept)[:-9], "2026-03-01") is None
    True
    """
    try:
        reader = zlib.decompressobj(31)
        text = reader.decompress(data, MOST_BYTES)
        if not reader.eof or reader.unused_data:
            return None
        listing = msgspec.json.decode(text, type=MarketList)
        if any(parse_market(code) != code for code in listing.markets):
            return None
        return listing if listing.version == 1 and iso(listing.at)[:10] == day else None
    except (zlib.error, msgspec.DecodeError, InvalidMarket, OverflowError):
        return None


class MarketLists:
    """The lists kept in one store's folder.

    Parameters
    ----------
    root : Path
        The store's folder.
    """

    def __init__(self, root: Path) -> None:
        self.folder = root.joinpath(*FOLDERS)
        self._root = root
        self._days: set[str] = set()  # that are known to be kept

    def keep(self, listing: MarketList) -> bool:
        """Keep a list, unless one of its day is kept already; whether it was written.

        Raises
        ------
        StoreError
            If it cannot be written.
        """
        day = iso(listing.at)[:10]
        if self.has(listing.at):
            return False
        self._write(f"{day}.json.gz", encode(listing))
        self._days.add(day)
        return True

    def has(self, at: int) -> bool:
        """Whether an undamaged list of the UTC day of a moment is kept."""
        day = iso(at)[:10]
        if day not in self._days and self._read(day) is not None:
            self._days.add(day)
        return day in self._days

    def note(self, event: Rescaled) -> None:
        """Keep that a market was redenominated, once a market and day."""
        name = f"rescaled_{event.market}_{iso(event.noticed)[:10]}.json"
        self._write(name, msgspec.json.encode(event))

    def read(self) -> Kept:
        """Read everything that is kept.

        Raises
        ------
        StoreError
            If the folder cannot be listed.
        """
        with files.explained("listing the kept lists of markets", self.folder):
            names = sorted(files.listing(self.folder))
        lists: list[MarketList] = []
        rescaled: list[Rescaled] = []
        damaged: list[str] = []
        for name in names:
            if match := _LIST.fullmatch(name):
                listing = self._read(match[1])
                damaged += [] if listing else [name]
                lists += [listing] if listing else []
            elif _RESCALED.fullmatch(name):
                event = self._read_event(name)
                damaged += [] if event else [name]
                rescaled += [event] if event else []
        return Kept(tuple(lists), tuple(sorted(rescaled, key=lambda change: change.noticed)), tuple(damaged))

    def _read(self, day: str) -> MarketList | None:
        try:
            return decode(files.read_small(self.folder / f"{day}.json.gz"), day)
        except (OSError, files.Irregular):
            return None

    def _read_event(self, name: str) -> Rescaled | None:
        try:
            return msgspec.json.decode(files.read_small(self.folder / name), type=Rescaled)
        except (OSError, files.Irregular, msgspec.DecodeError):
            return None

    def _write(self, name: str, data: bytes) -> None:
        with (
            files.explained("keeping a list of markets", self.folder),
            open_below(self._root, *FOLDERS, create=True) as folder,
        ):
            files.sweep(folder, folder.names())
            files.commit(folder, [(name, data)])


class MarketKeeper:
    """Keeps each fetched table of markets; a folder that cannot be written costs a line in the log, no answer.

    Parameters
    ----------
    lists : MarketLists
    """

    def __init__(self, lists: MarketLists) -> None:
        self.lists = lists
        self._failed = False

    def __call__(self, table: pa.Table, at: int) -> None:
        """Keep the list of a table that was true at a moment (microseconds UTC)."""
        try:
            self.lists.keep(list_of(table, at))
        except StoreError as error:
            if not self._failed:
                logger.warning("lists of markets are not kept, so uf.universe() will not know this day: %s", error)
            self._failed = True
