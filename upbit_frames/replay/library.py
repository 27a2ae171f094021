"""A folder of cassettes and tapes: list them, check them, record one again."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from upbit_frames.core.config import current
from upbit_frames.core.endpoints import ENDPOINTS, Endpoint
from upbit_frames.core.intervals import from_micros
from upbit_frames.errors import CorruptFile, StoreError
from upbit_frames.exchange.wire.messages import control, decode
from upbit_frames.replay.cassette import Cassette
from upbit_frames.replay.cassette_file import load, recorded_moment
from upbit_frames.replay.json_layout import is_json
from upbit_frames.replay.loaded_tape import LoadedTape
from upbit_frames.replay.matching import ORIGIN_LABELS, origin_of, summary
from upbit_frames.replay.redaction import secrets
from upbit_frames.replay.tape_file import SUFFIX, tape_beside
from upbit_frames.replay.untrusted import exists
from upbit_frames.runtime import event_loop

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["cassettes", "problems", "record_again"]

COLUMNS = ["name", "origin", "now", "requests", "frames", "bytes", "covers", "error"]


def cassettes(folder: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """List the cassettes and tapes of a folder; a cassette and the tape of the same name are one row.

    Parameters
    ----------
    folder : path, optional
        Default: the setting ``cassette_dir``.

    Returns
    -------
    pandas.DataFrame
        Index ``name``; columns origin (``live``, ``stand-in exchange …``), now (datetime64, UTC:
        the recorded moment), requests (int: REST responses), frames (int: on the tape), bytes
        (int), covers (str: calls and streams), error (str, empty where it can be read).

    Examples
    --------
    >>> import upbit_frames as uf
    >>> list(uf.cassettes("no such folder").columns)
    ['origin', 'now', 'requests', 'frames', 'bytes', 'covers', 'error']
    """
    import pandas as pd

    root = current().cassette_dir if folder is None else Path(folder)
    frame = pd.DataFrame([_row(path, root) for path in sorted(_paths(root))], columns=COLUMNS)
    frame["now"] = pd.to_datetime(frame["now"], utc=True)
    return frame.set_index("name")


def _paths(root: Path) -> set[Path]:
    """Return the path of the cassette of every name, whether it exists or only its tape does."""
    tapes = (path.with_name(path.name.removesuffix(SUFFIX) + ".yaml") for path in root.rglob(f"*{SUFFIX}"))
    return {path for path in (*root.rglob("*.yaml"), *tapes) if not path.name.startswith(".")}


def _row(path: Path, root: Path) -> tuple[Any, ...]:
    files = [file for file in (path, tape_beside(path)) if exists(file)]
    name, size = path.relative_to(root).with_suffix("").as_posix(), sum(file.stat().st_size for file in files)
    try:
        interactions, metadata = load(path) if path in files else ([], {})
        tape = LoadedTape(tape_beside(path)) if files[-1] != path else None
    except (CorruptFile, StoreError) as error:
        return name, "", None, 0, 0, size, "", error.message
    moment = recorded_moment(interactions, metadata)
    if moment is None and tape is not None:
        moment = tape.started()
    origins = {metadata["origin"]} if "origin" in metadata else {origin_of(item.uri) for item in interactions}
    if tape is not None:
        origins |= {ORIGIN_LABELS.get(origin, origin) for origin in tape.header.origin.split(" and ")}
    when = None if moment is None else from_micros(moment)
    covers = summary(interaction.key for interaction in interactions)
    if tape is not None:
        covers = ", ".join(filter(None, [covers, *_counted(tape.streams())]))
    frames = 0 if tape is None else tape.frames
    return name, " and ".join(sorted(origins)), when, len(interactions), frames, size, covers, ""


def _counted(texts: list[str]) -> list[str]:
    return [f"{text} ×{count}" if count > 1 else text for text, count in sorted(Counter(texts).items())]


def problems(path: Path) -> list[str]:
    """Check a cassette and its tape: unreadable, cut short, secrets, content that is never replayed.

    Requests that a run leaves unplayed are listed by :attr:`Cassette.unplayed`.

    Returns
    -------
    list of str
        Empty where both are as they should be.
    """
    tape = tape_beside(path)
    if not exists(tape):
        return _cassette_problems(path)
    try:
        in_tape = _tape_problems(tape)
    except (CorruptFile, StoreError) as error:
        in_tape = [error.message]
    return [*_cassette_problems(path), *in_tape] if exists(path) else in_tape


def _tape_problems(path: Path) -> list[str]:
    tape = LoadedTape(path)
    messages = [] if tape.complete else [f"the tape {path.name} was cut short: {tape.frames} frames are replayed"]
    frames = [entry for entries in tape.connections.values() for entry in entries if entry.kind == "frame"]
    controls = [control(frame.data) for frame in frames]
    unknown = sum(message is not None and message.kind == "unknown" for message in controls)
    data = [frame for frame, message in zip(frames, controls, strict=True) if message is None]
    unknown += len(decode([frame.data for frame in data], [frame.at for frame in data])[1])
    if unknown:
        messages.append(f"{unknown} frames of {path.name} are not of the exchange's formats")
    return messages


def _cassette_problems(path: Path) -> list[str]:
    try:
        interactions, _ = load(path)
    except (CorruptFile, StoreError) as error:
        return [error.message]
    messages = []
    for interaction in interactions:
        key = interaction.key
        for secret in [*secrets(interaction.uri, interaction.request_headers), *secrets("", interaction.headers)]:
            messages.append(f"{key.text} carries a {secret}")
        if not key.known:
            messages.append(f"{key.text} is not a request of this package, so it is never played")
        elif 200 <= interaction.status < 300 and not is_json(interaction.body):
            messages.append(f"the response to {key.text} is not JSON")
    return messages


def record_again(path: Path) -> int:
    """Send every request of a cassette to the exchange of the settings, and save the responses.

    The moments requested stay the same, so candles of the past should come back as they were.
    The old file is replaced only when every request was answered.

    Returns
    -------
    int
        How many requests there are.
    """
    interactions, metadata = load(path)
    requests = [interaction for interaction in interactions if interaction.key.known]
    cassette = Cassette(path, "all")
    with cassette:
        cassette.pin(recorded_moment(interactions, metadata))
        transport = cassette.ports_for(current()).api.transport
        for request in requests:
            endpoint = Endpoint("recorded", request.key.path, _limit_group(request.key.path), "")
            params = dict(parse_qsl(urlsplit(request.uri).query, keep_blank_values=True))
            event_loop.run(transport.get, endpoint, params)
        cassette.log.loaded = []
    return len(requests)


def _limit_group(path: str) -> str:
    return next((endpoint.group for endpoint in ENDPOINTS.values() if endpoint.path == path), "candles")
