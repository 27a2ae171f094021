"""A frozen data set as one file, for a reviewer without network: packing and unpacking.

A bundle is a zip with ``bundle.json`` (what it holds, with the SHA-256 of every file), ``study.lock`` and, below
``store/``, the Parquet files of the local store that the calls of the lock read. Files with rows from Upbit's published
archive are left out unless they are asked for, because its terms forbid passing them on; the lock has their digests all
the same.

What comes out of a bundle is distrusted: only names that the store itself could have given are unpacked, only as many
bytes as the list says, and only files whose digest is right.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from upbit_frames._version import __version__
from upbit_frames.core.intervals import INTERVALS, Span
from upbit_frames.datasets.lock_file import Lock, read_lock, write_lock
from upbit_frames.errors import CorruptFile, StoreError, UpbitFramesError
from upbit_frames.runtime.file_replacement import replacing
from upbit_frames.store import encoding
from upbit_frames.store.base import Series
from upbit_frames.store.layout import file_name, parse_name, parts_of
from upbit_frames.store.snapshot import take_snapshot

if TYPE_CHECKING:
    from upbit_frames.store.parquet import ParquetStore

__all__ = ["BundleContent", "pack", "unpack"]

VERSION = 1
MANIFEST, LOCK, STORE = "bundle.json", "study.lock", "store"
MAX_MANIFEST = 64 * 2**20  # bytes
MAX_FILE = 4 * 2**30  # bytes; a month of trades of the largest market has a tenth of it
CHUNK = 2**20


@dataclass(frozen=True)
class BundleContent:
    """What a bundle holds.

    Attributes
    ----------
    files, bytes : int
        Parquet files, and their size.
    left_out : tuple of str
        Ranges that are not in it because their rows are from the published archive.
    """

    files: int
    bytes: int
    left_out: tuple[str, ...]


def pack(
    target: Path, lock: Lock, reads: Iterable[tuple[Series, Span]], store: ParquetStore, *, archive: bool
) -> BundleContent:
    """Write a bundle of what the calls of a lock read from a store, as ``lock_check.stored_reads`` says.

    Raises
    ------
    StoreError
        If the bundle cannot be written; a file of that name stays as it was.
    """
    try:
        # Parquet is compressed; deflating it again would only cost time.
        with replacing(target, mode=0o644) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as packed:
            content, files = _pack_files(packed, reads, store, archive)
            packed.writestr(_entry(LOCK), write_lock(lock), zipfile.ZIP_DEFLATED)
            manifest = {
                "version": VERSION,
                "written_with": __version__,
                "lock": lock.digest,
                "left_out": content.left_out,
                "files": files,
            }
            packed.writestr(_entry(MANIFEST), json.dumps(manifest, indent=1), zipfile.ZIP_DEFLATED)
    except OSError as error:
        raise StoreError(
            f"the bundle cannot be written: {error.strerror or error}",
            suggestion="choose a folder that can be written", path=os.fspath(target),
        ) from error  # fmt: skip
    return content


def _pack_files(
    packed: zipfile.ZipFile, reads: Iterable[tuple[Series, Span]], store: ParquetStore, archive: bool
) -> tuple[BundleContent, dict[str, dict[str, Any]]]:
    files: dict[str, dict[str, Any]] = {}
    left_out: list[str] = []
    for series, span in reads:
        snapshot = take_snapshot(store.path, [series], span)
        try:
            for path, covered in snapshot.parts[0].files:
                name = PurePosixPath(STORE, *parts_of(series), file_name(covered)).as_posix()
                if not archive and "archive" in _origins(path, series, covered):
                    left_out.append(f"{series} {Path(name).stem}")
                elif name not in files:
                    files[name] = _add(packed, name, Path(path))
        finally:
            snapshot.close()
    size = sum(entry["bytes"] for entry in files.values())
    return BundleContent(len(files), size, tuple(dict.fromkeys(left_out))), files


def _origins(path: str, series: Series, span: Span) -> set[str]:
    """Say where the rows of a file are from, by the file itself: the store may change meanwhile."""
    try:
        return encoding.origins_of(encoding.read_footer(path, series, span))
    except encoding.Damaged as error:
        raise CorruptFile(
            f"a file of {series} is damaged: {error}", suggestion="uf.cache.verify() sets it aside", path=path
        ) from error


def _entry(name: str) -> zipfile.ZipInfo:
    """Return a member without a time of its own: the same bundle, whenever it is packed."""
    return zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))


def _add(packed: zipfile.ZipFile, name: str, path: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    info = _entry(name)
    info.file_size = size = path.stat().st_size
    with path.open("rb") as source, packed.open(info, "w") as sink:
        while chunk := source.read(CHUNK):
            digest.update(chunk)
            sink.write(chunk)
    return {"bytes": size, "sha256": digest.hexdigest()}


def unpack(source: Path, folder: Path) -> tuple[Lock, dict[str, Any]]:
    """Unpack a bundle into an empty folder, every file checked; return its lock and its list.

    Raises
    ------
    CorruptFile
        If it is no bundle, holds anything else than its list says, or a digest is wrong; the folder is left to the
        caller to remove.
    StoreError
        If it was written by a newer version, or cannot be read or unpacked.
    """
    try:
        with zipfile.ZipFile(source) as packed:
            manifest = _manifest(packed)
            lock = read_lock(_small(packed, LOCK, MAX_MANIFEST), f"{source}:{LOCK}")
            if manifest["lock"] != lock.digest:
                raise _Tampered("the lock in it is another one")
            files = manifest["files"]
            expected = {MANIFEST, LOCK, *files}
            names = [info.filename for info in packed.infolist()]
            if sorted(names) != sorted(expected):
                strange = sorted(set(names) ^ expected)[:3] or ["a name that occurs twice"]
                raise _Tampered(f"its list and its content differ: {', '.join(strange)}")
            for name, entry in files.items():
                _unpack_file(packed, name, entry, folder)
    except (
        _Tampered,
        zipfile.BadZipFile,
        zlib.error,
        ValueError,
        KeyError,
        TypeError,
        EOFError,
        RecursionError,
    ) as error:
        raise CorruptFile(
            f"{source.name} is no intact bundle: {error}",
            suggestion="get it from its author again",
            path=os.fspath(source),
        ) from error
    except (OSError, NotImplementedError, RuntimeError) as error:
        raise StoreError(
            f"the bundle cannot be unpacked: {getattr(error, 'strerror', None) or error}",
            suggestion="check the path and the free space", path=os.fspath(source),
        ) from error  # fmt: skip
    return lock, manifest


class _Tampered(Exception):
    """What is wrong with the content of a bundle."""


def _small(packed: zipfile.ZipFile, name: str, limit: int) -> bytes:
    with packed.open(name) as source:
        data = source.read(limit + 1)
    if len(data) > limit:
        raise _Tampered(f"{name} is larger than {limit:,} bytes")
    return data


def _manifest(packed: zipfile.ZipFile) -> dict[str, Any]:
    manifest = json.loads(_small(packed, MANIFEST, MAX_MANIFEST))
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise _Tampered(f"{MANIFEST} has no list of files")
    if type(manifest.get("version")) is not int or manifest["version"] < 1:
        raise _Tampered(f"its version is {manifest.get('version')!r}")
    if manifest["version"] > VERSION:
        raise StoreError(
            f"a newer version of this package wrote the bundle (version {manifest['version']}, known up to {VERSION})",
            suggestion="update upbit-frames",
        )
    return manifest


def _unpack_file(packed: zipfile.ZipFile, name: str, entry: Mapping[str, Any], folder: Path) -> None:
    """Unpack one file; its name must be one that the store gives, so that it stays below the folder."""
    series = _series_of(name)
    size, digest = int(entry["bytes"]), hashlib.sha256()
    if not 0 <= size <= MAX_FILE:
        raise _Tampered(f"{name} would have {size:,} bytes")
    target = folder.joinpath(*parts_of(series), PurePosixPath(name).name)
    target.parent.mkdir(parents=True, exist_ok=True)
    with packed.open(name) as source, target.open("xb") as sink:
        while chunk := source.read(min(CHUNK, size + 1)):
            size -= len(chunk)
            if size < 0:
                raise _Tampered(f"{name} is larger than its list says")
            digest.update(chunk)
            sink.write(chunk)
    if size or digest.hexdigest() != entry["sha256"]:
        raise _Tampered(f"{name} is not the file that was packed")


def _series_of(name: str) -> Series:
    """Return the series of a file's name in a bundle, which must be exactly what packing writes."""
    for series in _possible_series(name):
        if name == PurePosixPath(STORE, *parts_of(series), PurePosixPath(name).name).as_posix():
            return series
    raise _Tampered(f"{name[:80]!r} is no name of a stored file")


def _possible_series(name: str) -> list[Series]:
    parts = name.split("/")
    if len(parts) not in (5, 6) or not parts[3].startswith("market=") or parse_name(parts[-1]) is None:
        return []
    market = parts[3].removeprefix("market=")
    try:
        if parts[1] != "candles":
            return [Series(parts[1], market)]
        return [Series("candles", market, interval) for interval in INTERVALS]
    except UpbitFramesError:
        return []
