"""The files of a snapshot as a file system of Arrow, which keeps the snapshot for as long as a dataset refers to it."""

from __future__ import annotations

from typing import Any, NoReturn

import pyarrow.fs as fs

from upbit_frames.store.snapshot import Snapshot

__all__ = ["SnapshotFiles"]


class SnapshotFiles(fs.FileSystemHandler):  # type: ignore[misc]
    """Read-only access to the local file system, with a reference to a snapshot.

    Parameters
    ----------
    snapshot : Snapshot
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._local = fs.LocalFileSystem(use_mmap=True)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SnapshotFiles) and other.snapshot is self.snapshot

    def __hash__(self) -> int:
        return id(self.snapshot)

    def get_type_name(self) -> str:
        """Name the file system."""
        return "upbit-frames-snapshot"

    def normalize_path(self, path: str) -> str:
        """Return the path as it is."""
        return path

    def get_file_info(self, paths: list[str]) -> Any:
        """Describe files."""
        return self._local.get_file_info(paths)

    def get_file_info_selector(self, selector: Any) -> Any:
        """Describe the files of a folder."""
        return self._local.get_file_info(selector)

    def open_input_file(self, path: str) -> Any:
        """Open a file for random access."""
        return self._local.open_input_file(path)

    def open_input_stream(self, path: str) -> Any:
        """Open a file to read it once."""
        return self._local.open_input_stream(path, compression=None)

    def _refuse(self, *_: object) -> NoReturn:
        raise PermissionError("stored files are read through a dataset, never changed")

    copy_file = create_dir = delete_dir = delete_dir_contents = delete_file = delete_root_dir_contents = _refuse
    move = open_append_stream = open_output_stream = _refuse
