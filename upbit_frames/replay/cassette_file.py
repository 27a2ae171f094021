"""Cassette files: vcrpy's format, read without trust and written whole or not at all.

The only module that knows vcrpy. Its loader makes nothing but plain data; its own search for a
request grows with the square of their number, so looking up is done elsewhere, by index.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from upbit_frames.core.intervals import to_micros
from upbit_frames.errors import CorruptFile, QueryError, StoreError, UsageError
from upbit_frames.replay.matching import Asked, region_of

__all__ = ["META", "Interaction", "load", "need_vcr", "path_of", "recorded_at", "save"]

META = "upbit_frames"
"""Under which name our facts stand in the metadata of a file."""

NAME_MAX = 180
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

    @property
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
        if not _SEGMENT.fullmatch(segment) or segment[-1] in ". " or segment.split(".")[0].lower() in _RESERVED:
            raise refusal
    path = folder.joinpath(*segments[:-1], f"{segments[-1]}.yaml")
    if not path.resolve().is_relative_to(folder.resolve()):  # a link inside the folder may lead out
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

    Nothing but plain data is made from it: vcrpy's loader refuses every other YAML tag.

    Raises
    ------
    CorruptFile
        If it is no cassette.
    """
    vcr = need_vcr()
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        requests, responses, *metadata = vcr.serialize.deserialize(text, vcr.serializers.yamlserializer)
        found = []
        for request, response in zip(requests, responses, strict=True):
            plain = vcr.filters.decode_response(response)
            found.append(
                Interaction(
                    request.uri, int(plain["status"]["code"]), _lists(plain["headers"]),
                    plain["body"]["string"] or b"", dict(request.headers),
                )
            )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError, OSError, EOFError, yaml.YAMLError) as wrong:
        raise CorruptFile(
            f"{path.name} is no cassette that can be read: {str(wrong).splitlines()[0] if str(wrong) else wrong!r}",
            suggestion="record it again, or delete it",
            path=str(path),
        ) from wrong
    facts = metadata[0].get(META) if metadata and isinstance(metadata[0], dict) else None
    return found, facts if isinstance(facts, dict) else {}


def _lists(headers: Any) -> dict[str, list[str]]:
    return {str(name): [str(v) for v in (values if isinstance(values, list) else [values])]
            for name, values in headers.items()}  # fmt: skip


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

    with contextlib.suppress(KeyError, TypeError, ValueError):
        moment = datetime.fromisoformat(str(facts["now"]))
        return to_micros(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    dates = []
    for one in interactions:
        for name, values in one.headers.items():
            if name.lower() == "date":
                with contextlib.suppress(TypeError, ValueError, IndexError):
                    dates.append(to_micros(parsedate_to_datetime(values[0])))
    return max(dates, default=None)
