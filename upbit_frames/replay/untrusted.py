"""Bounds on what is read from cassettes and tapes, which may come from anywhere.

Each is checked while reading, before the work it saves: that a file is a file, its size, how deep its
YAML nests, what its aliases stand for, and what its bodies inflate to. The C library that parses YAML
calls itself for every level and would overrun its stack; so its events are taken one by one, and the
values are built here.
"""

from __future__ import annotations

import os
import stat
import zlib
from pathlib import Path
from typing import IO, Any

from upbit_frames.errors import StoreError

__all__ = ["MAX_BODY", "MAX_CASSETTE", "Bounds", "exists", "inflate", "open_file", "plain_yaml"]

MAX_CASSETTE = 256 * 1024 * 1024
MAX_BODY = 64 * 1024 * 1024
MAX_DEPTH = 50
MAX_VALUES = 20_000_000
_ENCODINGS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_MERGE = "tag:yaml.org,2002:merge"
_MAP, _SEQ = "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"


class Bounds(ValueError):
    """A file that is larger, deeper or of another kind than anything this package writes."""


def exists(path: Path) -> bool:
    """Whether there is a file.

    Raises
    ------
    StoreError
        If that cannot be found out.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as wrong:
        raise StoreError(
            f"{path.name} cannot be looked at: {getattr(wrong, 'strerror', None) or wrong}",
            suggestion="check the setting 'cassette_dir' and the permissions of that folder",
            path=str(path),
        ) from wrong
    return True


def open_file(path: Path, limit: int | None = None) -> IO[bytes]:
    """Open a regular file for reading; a fifo, a device or a socket would be waited for without end.

    Raises
    ------
    Bounds
        If it is none, or larger than the limit.
    OSError
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            raise Bounds("it is no regular file")
        if limit is not None and facts.st_size > limit:
            raise Bounds(f"it has {facts.st_size:,} bytes, more than {limit:,}")
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def inflate(body: bytes, encodings: list[str]) -> bytes:
    """Undo the encodings of a body, the last one first.

    Raises
    ------
    Bounds
        If more than ``MAX_BODY`` bytes would come of it, or an encoding is not known.
    zlib.error
    """
    if len(encodings) > 3:
        raise Bounds(f"a body is encoded {len(encodings)} times")
    for name in reversed(encodings):
        if name in ("", "identity"):
            continue
        if name not in _ENCODINGS:
            raise Bounds(f"a body has the encoding {name!r}, known are gzip and deflate")
        window = _ENCODINGS[name]
        if name == "deflate" and body[:1] and body[0] & 15 != 8:  # some send it without its envelope
            window = -15
        decoder = zlib.decompressobj(window)
        plain = decoder.decompress(body, MAX_BODY + 1)
        if len(plain) > MAX_BODY:
            raise Bounds(f"a body inflates to more than {MAX_BODY:,} bytes")
        if not decoder.eof:
            raise Bounds("a compressed body is cut short")
        body = plain
    return body


def plain_yaml(text: str) -> Any:
    """The value of a YAML document: mappings, lists, and what plain scalars say; no other tag is read.

    Raises
    ------
    Bounds
        If it nests deeper than ``MAX_DEPTH``, has more than ``MAX_VALUES`` values where every alias counts
        as what it stands for, or uses a tag or key that makes no plain data.
    yaml.YAMLError
    """
    import yaml

    builder = _Builder(yaml)
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        builder.take(event)
    return builder.document


class _Builder:
    """Builds the value of one document from its events."""

    def __init__(self, yaml: Any) -> None:
        self._yaml = yaml
        self._resolver = yaml.resolver.Resolver()
        self._scalars = yaml.constructor.SafeConstructor()
        self._makers = yaml.constructor.SafeConstructor.yaml_constructors
        self._open: list[_Collection] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._plain: dict[str, Any] = {}
        self._values = 0
        self._documents = 0
        self.document: Any = None

    def take(self, event: Any) -> None:
        """Go on by one event."""
        events = self._yaml.events
        if isinstance(event, events.ScalarEvent):
            self._add(self._scalar(event), 1, event.anchor)
        elif isinstance(event, (events.MappingStartEvent, events.SequenceStartEvent)):
            mapping = isinstance(event, events.MappingStartEvent)
            if event.tag not in (None, "!", _MAP if mapping else _SEQ):
                raise Bounds(f"the tag {event.tag!r} makes no plain data")
            if len(self._open) >= MAX_DEPTH:
                raise Bounds(f"it nests deeper than {MAX_DEPTH} levels")
            self._open.append(_Collection({} if mapping else [], event.anchor))
        elif isinstance(event, events.CollectionEndEvent):
            done = self._open.pop()
            self._add(done.value, done.size, done.anchor)
        elif isinstance(event, events.AliasEvent):
            if event.anchor not in self._anchors:
                raise Bounds(f"the alias *{event.anchor} stands for nothing that is complete before it")
            self._add(*self._anchors[event.anchor], None)
        elif isinstance(event, events.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise Bounds("it holds more than one document")

    def _add(self, value: Any, size: int, anchor: str | None) -> None:
        self._values += 1
        if size > MAX_VALUES or self._values > MAX_VALUES:
            raise Bounds(f"it holds more than {MAX_VALUES:,} values")
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
        maker = self._makers.get(node.tag)
        if maker is None or node.tag in (_MAP, _SEQ):
            raise Bounds(f"the tag {node.tag!r} makes no plain data")
        value = maker(self._scalars, node)
        if event.tag is None:
            self._plain[event.value] = value
        return value


class _Collection:
    """A mapping or list that is not complete yet."""

    def __init__(self, value: Any, anchor: str | None) -> None:
        self.value = value
        self.anchor = anchor
        self.size = 1
        self._key: Any = self  # stands for: no key is waiting for its value

    def add(self, value: Any, size: int) -> None:
        """One more value, which may be the key of the next."""
        self.size += size
        if isinstance(self.value, list):
            self.value.append(value)
        elif self._key is self:
            if isinstance(value, (dict, list, set)):
                raise Bounds("a key is no plain value")
            self._key = value
        else:
            self.value[self._key] = value
            self._key = self
