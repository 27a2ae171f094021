"""Limits on what is read from cassettes and tapes, which may come from anywhere.

Each is checked while reading, before the work it saves: that a path is a regular file, its size, how
deep its YAML nests, what its aliases expand to, and what its bodies decompress to. The C library that
parses YAML recurses for every level and would overflow its stack; so its events are taken one by one,
and the values are built here.
"""

from __future__ import annotations

import os
import stat
import zlib
from pathlib import Path
from typing import IO, Any

from upbit_frames.errors import StoreError

__all__ = ["MAX_BODY", "MAX_CASSETTE", "MalformedFile", "exists", "inflate", "open_file", "plain_yaml"]

MAX_CASSETTE = 256 * 1024 * 1024  # bytes
MAX_BODY = 64 * 1024 * 1024  # bytes, decompressed
MAX_DEPTH = 50
MAX_VALUES = 20_000_000
_ENCODINGS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_MERGE = "tag:yaml.org,2002:merge"
_MAP, _SEQ = "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"


class MalformedFile(ValueError):
    """Content that is larger, deeper or of another type than anything this package writes."""


def exists(path: Path) -> bool:
    """Return whether there is a file.

    Raises
    ------
    StoreError
        If the folder cannot be searched.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        raise StoreError(
            f"cannot access {path.name}: {getattr(error, 'strerror', None) or error}",
            suggestion="check the setting 'cassette_dir' and the permissions of that folder",
            path=str(path),
        ) from error
    return True


def open_file(path: Path, limit: int | None = None) -> IO[bytes]:
    """Open a regular file for reading; reading a fifo, a device or a socket might never end.

    Raises
    ------
    MalformedFile
        If it is not a regular file, or larger than the limit.
    OSError
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise MalformedFile("it is not a regular file")
        if limit is not None and status.st_size > limit:
            raise MalformedFile(f"expected at most {limit:,} bytes, got {status.st_size:,}")
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def inflate(body: bytes, encodings: list[str]) -> bytes:
    """Undo the content encodings of a body, the last one first.

    Raises
    ------
    MalformedFile
        If it decompresses to more than ``MAX_BODY`` bytes, or an encoding is unknown.
    zlib.error
    """
    if len(encodings) > 3:
        raise MalformedFile(f"a body is encoded {len(encodings)} times")
    for name in reversed(encodings):
        if name in ("", "identity"):
            continue
        if name not in _ENCODINGS:
            raise MalformedFile(f"a body has the encoding {name!r}, expected gzip or deflate")
        window = _ENCODINGS[name]
        if name == "deflate" and body[:1] and body[0] & 15 != 8:  # some servers send it without the zlib header
            window = -15
        decoder = zlib.decompressobj(window)
        plain = decoder.decompress(body, MAX_BODY + 1)
        if len(plain) > MAX_BODY:
            raise MalformedFile(f"a body decompresses to more than {MAX_BODY:,} bytes")
        if not decoder.eof:
            raise MalformedFile("a compressed body is cut short")
        body = plain
    return body


def plain_yaml(text: str) -> Any:
    """Return the value of a YAML document of mappings, lists and plain scalars; other tags are refused.

    Raises
    ------
    MalformedFile
        If it nests deeper than ``MAX_DEPTH``, has more than ``MAX_VALUES`` values with every alias
        expanded, or uses a tag or key that is not plain data.
    yaml.YAMLError
    """
    import yaml

    builder = _Builder(yaml)
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        builder.add_event(event)
    return builder.document


class _Builder:
    """Builds the value of one document from its events."""

    def __init__(self, yaml: Any) -> None:
        self._yaml = yaml
        self._resolver = yaml.resolver.Resolver()
        self._scalars = yaml.constructor.SafeConstructor()
        self._constructors = yaml.constructor.SafeConstructor.yaml_constructors
        self._open: list[_Collection] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._plain: dict[str, Any] = {}
        self._values = 0
        self._documents = 0
        self.document: Any = None

    def add_event(self, event: Any) -> None:
        """Process the next event."""
        events = self._yaml.events
        if isinstance(event, events.ScalarEvent):
            self._add(self._scalar(event), 1, event.anchor)
        elif isinstance(event, (events.MappingStartEvent, events.SequenceStartEvent)):
            mapping = isinstance(event, events.MappingStartEvent)
            if event.tag not in (None, "!", _MAP if mapping else _SEQ):
                raise MalformedFile(f"the tag {event.tag!r} is not plain data")
            if len(self._open) >= MAX_DEPTH:
                raise MalformedFile(f"it nests deeper than {MAX_DEPTH} levels")
            self._open.append(_Collection({} if mapping else [], event.anchor))
        elif isinstance(event, events.CollectionEndEvent):
            done = self._open.pop()
            self._add(done.value, done.size, done.anchor)
        elif isinstance(event, events.AliasEvent):
            if event.anchor not in self._anchors:
                raise MalformedFile(f"the alias *{event.anchor} does not refer to a complete value before it")
            self._add(*self._anchors[event.anchor], None)
        elif isinstance(event, events.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise MalformedFile("it holds more than one document")

    def _add(self, value: Any, size: int, anchor: str | None) -> None:
        self._values += 1
        if size > MAX_VALUES or self._values > MAX_VALUES:
            raise MalformedFile(f"it holds more than {MAX_VALUES:,} values")
        if anchor is not None:
            self._anchors[anchor] = (value, size)
        if self._open:
            self._open[-1].add(value, size)
        else:
            self.document = value

    def _scalar(self, event: Any) -> Any:
        if event.tag is None and event.style:  # quoted, or a block of lines
            return event.value
        if event.tag is None and event.value in self._plain:
            return self._plain[event.value]
        node = self._yaml.nodes.ScalarNode(event.tag, event.value)
        if event.tag is None or event.tag == "!":
            node.tag = self._resolver.resolve(type(node), event.value, event.implicit)
        if node.tag in ("tag:yaml.org,2002:str", _MERGE):
            return event.value
        constructor = self._constructors.get(node.tag)
        if constructor is None or node.tag in (_MAP, _SEQ):
            raise MalformedFile(f"the tag {node.tag!r} is not plain data")
        value = constructor(self._scalars, node)
        if event.tag is None:
            self._plain[event.value] = value
        return value


class _Collection:
    """A mapping or list that is not complete yet."""

    def __init__(self, value: Any, anchor: str | None) -> None:
        self.value = value
        self.anchor = anchor
        self.size = 1
        self._key: Any = self  # a sentinel: no key is waiting for its value

    def add(self, value: Any, size: int) -> None:
        """Add a value, which in a mapping may be the key of the next one."""
        self.size += size
        if isinstance(self.value, list):
            self.value.append(value)
        elif self._key is self:
            if isinstance(value, (dict, list, set)):
                raise MalformedFile("a key is not a plain value")
            self._key = value
        else:
            self.value[self._key] = value
            self._key = self
