"""Cassette files: vcrpy's format, read without trust and written completely or not at all.

The only module that uses vcrpy, and only its serializer: vcrpy's own replay searches all requests for
every request, so matching is done by index in :mod:`upbit_frames.replay.interactions`.

The file's ``version`` is vcrpy's. Ours are the keys below ``metadata: upbit_frames``, and the rule for
them: every key is optional, so files of vcrpy itself are replayed; unknown keys are ignored, so a newer
file is; a key keeps its meaning for ever, a new meaning gets a new key. ``version`` there is the package
that wrote the file, for people only: nothing is decided by it.
"""

from __future__ import annotations

import contextlib
import os
import re
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from upbit_frames.core.intervals import to_micros
from upbit_frames.errors import CorruptFile, QueryError, StoreError, UsageError
from upbit_frames.replay.interactions import Interaction
from upbit_frames.replay.untrusted import MAX_CASSETTE, MalformedFile, inflate, open_file, plain_yaml
from upbit_frames.runtime.file_replacement import replacing

__all__ = ["METADATA_KEY", "cassette_path", "load", "recorded_moment", "require_vcr", "save"]

METADATA_KEY = "upbit_frames"
"""The key of this package in the metadata of a file."""

NAME_MAX = 180
SEGMENT_MAX = 180
"""Bytes of a file's or folder's name: file systems allow 255, and a suffix and a process id are appended."""

EARLIEST, LATEST = datetime(2017, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_SEGMENT = re.compile(r"[^\W_][\w.\-+=@,\[\]() ]*")
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}


def cassette_path(folder: Path, name: str) -> Path:
    """Return the file of a cassette.

    Parameters
    ----------
    folder : pathlib.Path
    name : str
        Letters, digits and ``_ - . + = @ , [ ] ( )``; ``/`` makes sub-folders.

    Raises
    ------
    QueryError
        If the name would lead out of the folder, or is not a file name on every system.
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
                f"{name!r} cannot name a cassette: a file name has at most {SEGMENT_MAX} bytes in UTF-8, "
                f"got {len(os.fsencode(segment))}",
                suggestion="use a shorter name",
            )
        if not _SEGMENT.fullmatch(segment) or segment[-1] in ". " or segment.split(".")[0].lower() in _RESERVED:
            raise refusal
    path = folder.joinpath(*segments[:-1], f"{segments[-1]}.yaml")
    try:
        inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle, an impossible folder
        raise StoreError(
            f"the cassette {name!r} cannot be in the folder {str(folder)!r}: {error}",
            suggestion="check the setting 'cassette_dir'",
            path=str(path),
        ) from error
    if not inside:  # a link inside the folder may lead out
        raise refusal
    return path


def require_vcr() -> Any:
    """Return vcrpy's package; raise UsageError with the command to install it where it is missing."""
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
    """Return the interactions and our metadata of a cassette file, of any origin.

    Only plain data is read, within the limits of :mod:`upbit_frames.replay.untrusted`.

    Raises
    ------
    CorruptFile
        If it is not a cassette.
    StoreError
        If it cannot be opened.
    """
    require_vcr()
    import yaml

    try:
        with open_file(path, MAX_CASSETTE) as file:
            text = file.read().decode("utf-8")
    except MalformedFile as error:
        raise _corrupt(path, error) from error
    except UnicodeDecodeError as error:
        raise _corrupt(path, "it is not UTF-8 text") from error
    except OSError as error:
        raise StoreError(
            f"cannot read the cassette {path.name}: {error.strerror or error}",
            suggestion="check the permissions of the file and its folder",
            path=str(path),
        ) from error
    try:
        document = plain_yaml(text)
        if not isinstance(document, dict) or not isinstance(document.get("interactions"), list):
            raise MalformedFile("expected a list 'interactions', which files of vcrpy before 1.0 do not have")
        interactions = [_interaction(item) for item in document["interactions"]]
        metadata = _metadata(document.get("metadata"))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, zlib.error, yaml.YAMLError) as error:
        raise _corrupt(path, error) from error
    return interactions, metadata


def _corrupt(path: Path, reason: Exception | str) -> CorruptFile:
    text = f"{reason} is missing" if isinstance(reason, KeyError) else str(reason) or repr(reason)
    return CorruptFile(
        f"cannot read the cassette {path.name}: {text.splitlines()[0]}",
        suggestion="record it again, or delete it",
        path=str(path),
    )


def _interaction(item: Any) -> Interaction:
    request, response = item["request"], item["response"]
    uri, headers, body = request["uri"], _lists(response["headers"]), response["body"]["string"]
    if not isinstance(uri, str):
        raise MalformedFile(f"expected the URL of a request, got {uri!r}")
    status = response["status"]["code"]
    if isinstance(status, bool) or not isinstance(status, int) or not 100 <= status <= 599:
        raise MalformedFile(f"expected a status from 100 to 599, got {str(status)[:40]!r}")
    if isinstance(body, str):
        body = body.encode()
    if not isinstance(body, bytes | None):
        raise MalformedFile(f"expected a body of text or bytes, got {type(body).__name__}")
    encodings = [part.strip().lower() for name in headers if name.lower() == "content-encoding"
                 for value in headers[name] for part in value.split(",")]  # fmt: skip
    kept = {name: values for name, values in headers.items() if not encodings or name.lower() != "content-encoding"}
    interaction = Interaction(
        uri, status, kept, inflate(body or b"", encodings), dict(_lists(request.get("headers") or {}))
    )
    interaction.key.text.encode()  # refuses a URL that cannot be parsed here, not in the middle of a call
    return interaction


def _metadata(document: Any) -> dict[str, Any]:
    """Return our keys of a file's metadata; raise if one that is present has another type than ours."""
    metadata = document.get(METADATA_KEY) if isinstance(document, dict) else None
    if metadata is None:
        return {}
    if not isinstance(metadata, dict):
        raise MalformedFile(f"expected a mapping as the metadata {METADATA_KEY!r}")
    for name in ("origin", "region", "version"):
        if not isinstance(metadata.get(name, ""), str):
            raise MalformedFile(f"expected text as the metadata {name!r}, got {str(metadata[name])[:60]!r}")
    for name in ("now", "recorded_at"):
        if name in metadata:
            moment = _moment(name, metadata[name])
            metadata[name] = metadata[name] if isinstance(metadata[name], str) else moment.isoformat()
    return metadata


def _moment(name: str, text: Any) -> datetime:
    """Parse a moment of the metadata; YAML may have parsed it already."""
    try:
        moment = _utc(datetime.fromisoformat(str(text)))
    except (ValueError, OverflowError):
        moment = LATEST
    if not EARLIEST <= moment < LATEST:
        raise MalformedFile(
            f"expected a moment such as 2026-03-01T03:30:00Z as the metadata {name!r}, got {str(text)[:60]!r}"
        )
    return moment


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _lists(headers: Any) -> dict[str, list[str]]:
    """Return headers as lists of text; raise for a value that is not plain."""
    lists = {}
    for name, values in headers.items():
        values = values if isinstance(values, list) else [values]
        if any(isinstance(value, list | dict) for value in [name, *values]):
            raise MalformedFile(f"expected text as the header {str(name)[:60]!r}")
        lists[str(name)] = [value.decode("latin-1") if isinstance(value, bytes) else str(value) for value in values]
    return lists


def save(path: Path, interactions: list[Interaction], metadata: dict[str, Any]) -> None:
    """Write a cassette file in one step, ordered by URI so that the order of arrival does not show.

    Raises
    ------
    StoreError
        If it cannot be written; a file that was there stays as it was.
    """
    text = _serialized(interactions, metadata)
    try:
        with replacing(path, mode=0o644) as temporary:  # it is meant for version control
            temporary.write_bytes(text.encode("utf-8"))
    except OSError as error:
        raise StoreError(
            f"cannot write the cassette {path.name}: {error.strerror or error}",
            suggestion="check the setting 'cassette_dir' and the free space on that disk",
            path=str(path),
        ) from error


def _serialized(interactions: list[Interaction], metadata: dict[str, Any]) -> str:
    vcr = require_vcr()
    import yaml

    class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
        """Writes bodies as blocks of lines."""

    def block(dumper: Any, text: str) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)

    Dumper.add_representer(str, block)

    class Serializer:
        """The interface that vcrpy expects."""

        @staticmethod
        def serialize(document: dict[str, Any]) -> str:
            return str(yaml.dump(document, Dumper=Dumper, allow_unicode=True, width=100_000))

    ordered = sorted(interactions, key=lambda interaction: interaction.uri)  # stable: repeats keep their order
    requests = [vcr.request.Request("GET", item.uri, None, item.request_headers) for item in ordered]
    responses = [
        {"status": {"code": item.status, "message": ""}, "headers": item.headers, "body": {"string": item.body}}
        for item in ordered
    ]
    document = {"requests": requests, "responses": responses, "metadata": {METADATA_KEY: metadata}}
    return str(vcr.serialize.serialize(document, Serializer))


def recorded_moment(interactions: list[Interaction], metadata: dict[str, Any]) -> int | None:
    """Return the moment of a recording, microseconds UTC: its metadata's, else that of its newest ``Date`` header."""
    from email.utils import parsedate_to_datetime

    with contextlib.suppress(KeyError, TypeError, ValueError, OverflowError):
        moment = datetime.fromisoformat(str(metadata["now"]))
        return to_micros(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    moments = []
    for interaction in interactions:
        for name, values in interaction.headers.items():
            if name.lower() == "date":
                with contextlib.suppress(TypeError, ValueError, IndexError, OverflowError):
                    moment = _utc(parsedate_to_datetime(values[0]))
                    if EARLIEST <= moment < LATEST:
                        moments.append(to_micros(moment))
    return max(moments, default=None)
