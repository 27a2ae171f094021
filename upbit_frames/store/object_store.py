"""Stored files in an object store that a team shares: S3, Google Cloud, Azure, or a folder.

The layout below the prefix is that of the local store, so other engines can read it too. Object stores have neither
locks nor renames, and need none here: an object appears whole when its last byte is there, the name of a file says what
it covers, and a file that a larger one holds counts as a leftover. Publishing therefore only adds whole files, and
removes leftovers afterwards; a reader lists once, and lists again where a file is gone meanwhile.

What comes from there is distrusted like any file: names that the store does not use are passed over, and a file counts
only once its seal, its checksums and its rows have been verified on this machine.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from upbit_frames.core.intervals import Span
from upbit_frames.core.urls import S3_OPTIONS, check_store_url, redacted
from upbit_frames.errors import CorruptFile, StoreError, UsageError
from upbit_frames.runtime.file_replacement import replacing
from upbit_frames.store import encoding, layout
from upbit_frames.store.base import Series
from upbit_frames.store.layout import File

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ObjectStore"]

CONNECT_SECONDS = 3.0
REQUEST_SECONDS = 20.0
MAX_FILE = 2**30  # bytes; a month of trades of the largest market has a third of it


class ObjectStore:
    """Files of series below one URL. Safe to use from threads; every method blocks.

    Parameters
    ----------
    url : str
        As :func:`check_store_url` returns it. Credentials come from the environment, as pyarrow finds them.
    origin : str
        The exchange's folder name, empty for Upbit Korea: data of two exchanges never share one.

    Raises
    ------
    StoreError
        By every method, where the store cannot be reached or refuses; nothing is retried for ever.
    """

    def __init__(self, url: str, origin: str = "") -> None:
        self.url = check_store_url(url)
        self._origin = origin
        self._opened: tuple[Any, str] | None = None

    def __repr__(self) -> str:
        return f"ObjectStore({redacted(self.url)!r})"

    # --- listing and reading ---

    def files(self, series: Series) -> tuple[list[File], list[File]]:
        """List the effective files of a series and the leftovers, with one request."""
        from pyarrow import fs

        system, _ = self._system()
        with self._explained("listing"):
            listing = system.get_file_info(fs.FileSelector(self._folder(series), allow_not_found=True))
            names = [info.base_name for info in listing if info.type is fs.FileType.File]
        return layout.effective(names)

    def sizes(self, series: Series) -> dict[str, int]:
        """Return the size of every object of a series by name, but for foreign ones and what killed writers left."""
        from pyarrow import fs

        system, _ = self._system()
        with self._explained("listing"):
            listing = system.get_file_info(fs.FileSelector(self._folder(series), allow_not_found=True))
        sizes = {info.base_name: info.size for info in listing if info.type is fs.FileType.File}
        return {name: size for name, size in sizes.items() if layout.parse_name(name) is not None}

    def series(self) -> list[Series]:
        """List every series that has files, with one request for each thousand objects."""
        from pyarrow import fs

        system, root = self._system()
        with self._explained("listing"):
            listing = system.get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True))
        names: set[str] = set()
        for info in listing:
            if info.type is fs.FileType.File:
                names.add(PurePosixPath(info.path).relative_to(root).parent.as_posix())
        return layout.series_of_folders(names)

    def fetch(self, series: Series, file: File, target: Path) -> None:
        """Copy an object to a local file, which appears whole or not at all.

        Raises
        ------
        FileNotFoundError
            If it is gone.
        """
        system, _ = self._system()
        with (
            self._explained("reading", passing=FileNotFoundError),
            system.open_input_file(f"{self._folder(series)}/{file.name}") as source,
        ):
            size = source.size()
            if size > MAX_FILE:
                raise CorruptFile(f"{file.name} in the shared store has {size:,} bytes", path=redacted(self.url))
            data = source.read(size)
        try:
            with replacing(target, prefix=layout.TEMPORARY) as temporary:
                temporary.write_bytes(data)
        except OSError as error:
            raise StoreError(
                f"{error.strerror or error} while copying a file of the shared store", path=os.fspath(target)
            ) from error

    def read(self, series: Series, file: File, part: Span) -> tuple[pa.Table, set[str]]:
        """Read the rows of a file in a part of its range, verified, and where they are from.

        Raises
        ------
        FileNotFoundError
            If it is gone.
        CorruptFile
            If it is not a whole file of this series.
        """
        with tempfile.TemporaryDirectory(prefix="upbit-frames-") as folder:
            path = Path(folder) / file.name
            self.fetch(series, file, path)
            try:
                footer = encoding.read_footer(os.fspath(path), series, file.span)
                rows = encoding.read_part(os.fspath(path), series, file.span, part, reverify=True)
            except encoding.Damaged as error:
                raise CorruptFile(
                    f"{file.name} in the shared store is damaged: {error}",
                    suggestion="publish it again from an intact store", path=redacted(self.url),
                ) from error  # fmt: skip
            return rows, encoding.origins_of(footer)

    # --- publishing ---

    def put(self, series: Series, path: Path) -> int:
        """Add a whole local file; return its size."""
        data = path.read_bytes()
        system, _ = self._system()
        target = f"{self._folder(series)}/{path.name}"
        with self._explained("writing"):
            if self._renames:
                system.create_dir(self._folder(series), recursive=True)
                temporary = f"{self._folder(series)}/{layout.TEMPORARY}{os.getpid()}-{path.name}"
                with system.open_output_stream(temporary) as sink:
                    sink.write(data)
                system.move(temporary, target)
            else:
                with system.open_output_stream(target) as sink:
                    sink.write(data)  # in one piece: closing after half of it would leave half an object
        return len(data)

    def remove(self, series: Series, names: list[str]) -> None:
        """Remove objects; those that are gone already are no error."""
        system, _ = self._system()
        for name in names:
            with self._explained("removing"):
                try:
                    system.delete_file(f"{self._folder(series)}/{name}")
                except FileNotFoundError:
                    continue

    # --- the file system ---

    @property
    def _renames(self) -> bool:
        return self.url.startswith("file:")

    def _folder(self, series: Series) -> str:
        _, root = self._system()
        return "/".join([root, *layout.parts_of(series)])

    def _system(self) -> tuple[Any, str]:
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def _open(self) -> tuple[Any, str]:
        from pyarrow import fs

        parts = urlsplit(self.url)
        path = f"{parts.netloc}{unquote(parts.path)}".strip("/")
        with self._explained("opening"):
            if parts.scheme == "s3":
                options = {name: value for name, value in parse_qsl(parts.query) if name in S3_OPTIONS}
                user, _, host = parts.netloc.rpartition("@")
                if user:
                    key, _, secret = user.partition(":")
                    options |= {"access_key": unquote(key), "secret_key": unquote(secret)}
                    path = f"{host}{unquote(parts.path)}".strip("/")
                system: Any = fs.S3FileSystem(
                    **options, connect_timeout=CONNECT_SECONDS, request_timeout=REQUEST_SECONDS,
                    retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=2),
                )  # fmt: skip
                bucket = path.partition("/")[0]
                if system.get_file_info(bucket).type is fs.FileType.NotFound:  # else it would look empty
                    raise FileNotFoundError(f"there is no bucket {bucket}")
            elif parts.scheme == "file":
                system, path = fs.LocalFileSystem(), f"/{unquote(parts.path).strip('/')}"
            else:
                system, path = fs.FileSystem.from_uri(self.url)
        return system, "/".join(part for part in (path.rstrip("/"), self._origin) if part)

    @contextmanager
    def _explained(self, doing: str, passing: type[OSError] | None = None) -> Iterator[None]:
        """Turn what pyarrow raises into an error of this package that names the store."""
        try:
            yield
        except StoreError:
            raise
        except OSError as error:
            if passing is not None and isinstance(error, passing):
                raise
            text = redacted(str(error)).splitlines()[0][:300]
            raise StoreError(
                f"{doing} the shared store failed: {text}",
                suggestion="check the URL, the network, and the credentials in the environment",
                path=redacted(self.url),
            ) from error
        except (ImportError, AttributeError, NotImplementedError) as error:
            raise UsageError(
                f"this pyarrow cannot open {urlsplit(self.url).scheme}:// stores: {error}",
                suggestion="install a pyarrow wheel that can, or use another kind of store",
            ) from error
        except ValueError as error:
            raise StoreError(f"{doing} the shared store failed: {error}", path=redacted(self.url)) from error
