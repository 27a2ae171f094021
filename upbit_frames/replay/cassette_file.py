"""Cassette files: vcrpy's format, read without trust and written whole or not at all.

The only module that knows vcrpy. Its loader makes nothing but plain data; its own search for a
request grows with the square of their number, so looking up is done elsewhere, by index.
"""

from __future__ import annotations

import contextlib
import os
import re
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from upbit_frames.core.intervals import to_micros
from upbit_frames.errors import CorruptFile, QueryError, StoreError, UsageError
from upbit_frames.replay.matching import Asked, region_of
from upbit_frames.replay.untrusted import MAX_CASSETTE, Bounds, inflate, open_file, plain_yaml

__all__ = ["META", "Interaction", "load", "need_vcr", "path_of", "recorded_at", "save"]

META = "upbit_frames"
"""Under which name our facts stand in the metadata of a file."""

NAME_MAX = 180
SEGMENT_MAX = 180
"""Bytes of a file's or folder's name: file systems allow 255, and a suffix and a process id come to it."""

EARLIEST, LATEST = datetime(2017, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_SEGMENT = re.compile(r"[^\W_][\w.\-+=@,\[\]() ]*")
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}


@dataclass
class Interaction:
    """One request and its answer, as they are in the file.

    Attributes
    ----------
    uri : str
    request_headers, headers : dict
        Of the request and of the answer.
    status : int
    body : bytes
    """

    uri: str
    status: int
    headers: dict[str, list[str]]
    body: bytes
    request_headers: dict[str, Any]

    @cached_property
    def asked(self) -> Asked:
        """What it asks."""
        return Asked.parse(self.uri, region_of(self.uri))


def path_of(folder: Path, name: str) -> Path:
    """The file of a cassette.

    Parameters
    ----------
    folder : pathlib.Path
    name : str
        Letters, digits and ``_ - . + = @ , [ ] ( )``; ``/`` makes sub-folders.

    Raises
    ------
    QueryError
        If the name would lead out of the folder or is no file name everywhere.
    """
    refusal = QueryError(
        f"{name!r} cannot name a cassette", suggestion="use letters, digits, '-', '_' and '.', with '/' for sub-folders"
    )
    if not isinstance(name, str) or not 0 < len(name) <= NAME_MAX:
        raise refusal
    segments = name.removesuffix(".yaml").split("/")
    for segment in segments:
        if len(os.fsencode(segment)) > SEGMENT_MAX:
            raise QueryError(
                f"{name!r} cannot name a cassette: {len(os.fsencode(segment))} bytes in UTF-8, "
                f"at most {SEGMENT_MAX} fit into a file name",
                suggestion="use a shorter name",
            )
        if not _SEGMENT.fullmatch(segment) or segment[-1] in ". " or segment.split(".")[0].lower() in _RESERVED:
            raise refusal
    path = folder.joinpath(*segments[:-1], f"{segments[-1]}.yaml")
    try:
        inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError) as wrong:  # links in a circle, a folder of no possible name
        raise StoreError(
            f"the cassette {name!r} has no place in {str(folder)!r}: {wrong}",
            suggestion="check the setting 'cassette_dir'",
            path=str(path),
        ) from wrong
    if not inside:  # a link inside the folder may lead out
        raise refusal
    return path


def need_vcr() -> Any:
    """Vcrpy's serializer module, or the error that says how to get it."""
    try:
        import vcr.filters
        import vcr.request
        import vcr.serialize
        import vcr.serializers.yamlserializer
    except ImportError as missing:
        raise UsageError(
            "cassettes need vcrpy 9.4 or later, which is not installed",
            suggestion="pip install 'upbit-frames[record]'",
        ) from missing
    return vcr


def load(path: Path) -> tuple[list[Interaction], dict[str, Any]]:
    """Interactions and facts of a cassette file, whoever recorded it.

    Nothing but plain data is made from it, within the bounds of :mod:`upbit_frames.replay.untrusted`.

    Raises
    ------
    CorruptFile
        If it is no cassette.
    StoreError
        If it cannot be opened.
    """
    need_vcr()
    import yaml

    try:
        with open_file(path, MAX_CASSETTE) as file:
            text = file.read().decode("utf-8")
    except Bounds as wrong:
        raise _corrupt(path, wrong) from wrong
    except UnicodeDecodeError as wrong:
        raise _corrupt(path, "it is no UTF-8 text") from wrong
    except OSError as failed:
        raise StoreError(
            f"the cassette {path.name} cannot be read: {failed.strerror or failed}",
            suggestion="check the permissions of the file and its folder",
            path=str(path),
        ) from failed
    try:
        document = plain_yaml(text)
        if not isinstance(document, dict) or not isinstance(document.get("interactions"), list):
            raise Bounds("it has no list 'interactions'; vcrpy before 1.0 wrote files like that")
        found = [_interaction(one) for one in document["interactions"]]
        facts = _facts(document.get("metadata"))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, zlib.error, yaml.YAMLError) as wrong:
        raise _corrupt(path, wrong) from wrong
    return found, facts


def _corrupt(path: Path, why: Exception | str) -> CorruptFile:
    text = f"{why} is missing" if isinstance(why, KeyError) else str(why) or repr(why)
    return CorruptFile(
        f"{path.name} is no cassette that can be read: {text.splitlines()[0]}",
        suggestion="record it again, or delete it",
        path=str(path),
    )


def _interaction(facts: Any) -> Interaction:
    request, response = facts["request"], facts["response"]
    uri, headers, body = request["uri"], _lists(response["headers"]), response["body"]["string"]
    if not isinstance(uri, str):
        raise Bounds(f"a request goes to {uri!r}, which is no URL")
    status = response["status"]["code"]
    if isinstance(status, bool) or not isinstance(status, int) or not 100 <= status <= 599:
        raise Bounds(f"an answer has the status {str(status)[:40]!r}")
    if isinstance(body, str):
        body = body.encode()
    if not isinstance(body, bytes | None):
        raise Bounds(f"an answer has a body of the type {type(body).__name__}")
    encodings = [part.strip().lower() for name in headers if name.lower() == "content-encoding"
                 for value in headers[name] for part in value.split(",")]  # fmt: skip
    kept = {name: values for name, values in headers.items() if not encodings or name.lower() != "content-encoding"}
    one = Interaction(uri, status, kept, inflate(body or b"", encodings), dict(_lists(request.get("headers") or {})))
    one.asked.text.encode()  # a URL that cannot be parsed or written is refused here, not in the middle of a call
    return one


def _facts(metadata: Any) -> dict[str, Any]:
    """Our notes; those that are there have to be what they say they are."""
    facts = metadata.get(META) if isinstance(metadata, dict) else None
    if facts is None:
        return {}
    if not isinstance(facts, dict):
        raise Bounds(f"its notes {META!r} are no mapping")
    for name in ("origin", "region", "version"):
        if not isinstance(facts.get(name, ""), str):
            raise Bounds(f"its note {name!r} is {str(facts[name])[:60]!r}, expected text")
    for name in ("now", "recorded_at"):
        if name in facts:
            moment = _moment(name, facts[name])
            facts[name] = facts[name] if isinstance(facts[name], str) else moment.isoformat()
    return facts


def _moment(name: str, text: Any) -> datetime:
    """A note that says when; YAML may have made a moment of it already."""
    try:
        moment = datetime.fromisoformat(str(text))
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        moment = LATEST
    if not EARLIEST <= moment < LATEST:
        raise Bounds(f"its note {name!r} is {str(text)[:60]!r}, expected a moment such as 2026-03-01T03:30:00Z")
    return moment


def _lists(headers: Any) -> dict[str, list[str]]:
    """Headers as lists of text; anything that is not plain is refused."""
    found = {}
    for name, values in headers.items():
        listed = values if isinstance(values, list) else [values]
        if any(isinstance(one, list | dict) for one in [name, *listed]):
            raise Bounds(f"the header {str(name)[:60]!r} has a value that is no text")
        found[str(name)] = [one.decode("latin-1") if isinstance(one, bytes) else str(one) for one in listed]
    return found


def save(path: Path, interactions: list[Interaction], facts: dict[str, Any]) -> None:
    """Write a cassette file in one step, its requests in an order that does not depend on chance."""
    vcr = need_vcr()
    import yaml

    class Readable(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
        """Bodies as blocks of lines."""

    def block(dumper: Any, text: str) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)

    Readable.add_representer(str, block)

    class Serializer:
        """What vcrpy expects of one."""

        @staticmethod
        def serialize(document: dict[str, Any]) -> str:
            return str(yaml.dump(document, Dumper=Readable, allow_unicode=True, width=100_000))

    ordered = sorted(interactions, key=lambda one: one.uri)  # stable: repeats keep their order
    document = {
        "requests": [vcr.request.Request("GET", one.uri, None, one.request_headers) for one in ordered],
        "responses": [
            {"status": {"code": one.status, "message": ""}, "headers": one.headers, "body": {"string": one.body}}
            for one in ordered
        ],
        "metadata": {META: facts},
    }
    text = vcr.serialize.serialize(document, Serializer)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as failed:
        raise StoreError(
            f"the cassette {path.name} cannot be written: {failed.strerror or failed}",
            suggestion="check the setting 'cassette_dir' and the room on that disk",
            path=str(path),
        ) from failed
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def recorded_at(interactions: list[Interaction], facts: dict[str, Any]) -> int | None:
    """The moment a cassette is about, in microseconds: its facts', else its newest answer's ``Date``."""
    from email.utils import parsedate_to_datetime

    with contextlib.suppress(KeyError, TypeError, ValueError, OverflowError):
        moment = datetime.fromisoformat(str(facts["now"]))
        return to_micros(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    dates = []
    for one in interactions:
        for name, values in one.headers.items():
            if name.lower() == "date":
                with contextlib.suppress(TypeError, ValueError, IndexError, OverflowError):
                    moment = parsedate_to_datetime(values[0])
                    moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
                    if EARLIEST <= moment < LATEST:
                        dates.append(to_micros(moment))
    return max(dates, default=None)
