"""A folder of cassettes and tapes: what is in it, what is wrong with it, and recording it again."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from upbit_frames.api.engine import engine_for
from upbit_frames.core.config import current
from upbit_frames.core.endpoints import Endpoint
from upbit_frames.core.intervals import from_micros
from upbit_frames.errors import CorruptFile, StoreError
from upbit_frames.exchange.wire.messages import control, decode
from upbit_frames.replay import matching as recorded
from upbit_frames.replay.cassette import ORIGINS, Cassette
from upbit_frames.replay.cassette_file import load, recorded_at
from upbit_frames.replay.tape_file import SUFFIX, tape_beside
from upbit_frames.replay.tape_session import Loaded
from upbit_frames.replay.untrusted import exists
from upbit_frames.runtime import event_loop as _bridge

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["cassettes", "problems", "record_again"]


def cassettes(folder: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """What cassettes and tapes there are; those of one name belong together.

    Parameters
    ----------
    folder : path, optional
        Default: the setting ``cassette_dir``.

    Returns
    -------
    pandas.DataFrame
        Index ``name``; columns origin (``live``, ``stand-in exchange …``), now (datetime64, UTC:
        the moment it is about), requests (int: answers of REST), frames (int: on the tape), bytes
        (int), covers (str: which calls and streams), error (str, empty where it can be read).

    Examples
    --------
    >>> import upbit_frames as uf
    >>> list(uf.cassettes("no such folder").columns)
    ['origin', 'now', 'requests', 'frames', 'bytes', 'covers', 'error']
    """
    import pandas as pd

    root = current().cassette_dir if folder is None else Path(folder)
    rows = [_row(path, root) for path in sorted(_paths(root))]
    frame = pd.DataFrame(rows, columns=["name", "origin", "now", "requests", "frames", "bytes", "covers", "error"])
    frame["now"] = pd.to_datetime(frame["now"], utc=True)
    return frame.set_index("name")


def _paths(root: Path) -> set[Path]:
    """Where the cassette of each name is, or would be."""
    tapes = (path.with_name(path.name.removesuffix(SUFFIX) + ".yaml") for path in root.rglob(f"*{SUFFIX}"))
    return {path for path in (*root.rglob("*.yaml"), *tapes) if not path.name.startswith(".")}


def _row(path: Path, root: Path) -> tuple[Any, ...]:
    files = [one for one in (path, tape_beside(path)) if exists(one)]
    name, size = path.relative_to(root).with_suffix("").as_posix(), sum(one.stat().st_size for one in files)
    try:
        interactions, facts = load(path) if path in files else ([], {})
        frames = Loaded(tape_beside(path)) if files[-1] != path else None
    except (CorruptFile, StoreError) as wrong:
        return name, "", None, 0, 0, size, "", wrong.message
    moment = recorded_at(interactions, facts)
    if moment is None and frames is not None:
        moment = frames.started()
    origins = {facts["origin"]} if "origin" in facts else {recorded.origin_of(one.uri) for one in interactions}
    if frames is not None:
        origins |= {ORIGINS.get(one, one) for one in frames.head.origin.split(" and ")}
    when = None if moment is None else from_micros(moment)
    covers = recorded.covered_calls(one.asked for one in interactions)
    if frames is not None:
        covers = ", ".join(filter(None, [covers, *_times(frames.streams())]))
    count = 0 if frames is None else frames.frames
    return name, " and ".join(sorted(origins)), when, len(interactions), count, size, covers, ""


def _times(texts: list[str]) -> list[str]:
    return [f"{one} ×{count}" if count > 1 else one for one, count in sorted(Counter(texts).items())]


def problems(path: Path) -> list[str]:
    """What is wrong with a cassette and its tape: unreadable, cut short, secrets, what nobody will ever play.

    Whether a run leaves requests unplayed is told by :attr:`Cassette.unplayed`.
    """
    beside = tape_beside(path)
    taped = exists(beside)
    try:
        found = _on_tape(beside) if taped else []
    except (CorruptFile, StoreError) as wrong:
        found = [wrong.message]
    return found if taped and not exists(path) else [*_on_cassette(path), *found]


def _on_tape(path: Path) -> list[str]:
    tape = Loaded(path)
    found = [] if tape.complete else [f"the tape {path.name} was cut short: it plays {tape.frames} frames"]
    frames = [one for track in tape.connections.values() for one in track if one.kind == "frame"]
    said = [(one, control(one.data)) for one in frames]
    strange = sum(1 for _, what in said if what is not None and what.kind == "unknown")
    data = [one for one, what in said if what is None]
    strange += len(decode([one.data for one in data], [one.at for one in data])[1])
    if strange:
        found.append(f"{strange} frames of {path.name} are none of the exchange's")
    return found


def _on_cassette(path: Path) -> list[str]:
    try:
        interactions, _ = load(path)
    except (CorruptFile, StoreError) as wrong:
        return [wrong.message]
    found = []
    for one in interactions:
        asked = one.asked
        for secret in [*recorded.secrets(one.uri, one.request_headers), *recorded.secrets("", one.headers)]:
            found.append(f"{asked.text} carries a {secret}")
        if not asked.known:
            found.append(f"{asked.text} is nothing this package asks, so it is never played")
        elif 200 <= one.status < 300 and not recorded.is_json(one.body):
            found.append(f"the answer to {asked.text} is not JSON")
    return found


def record_again(path: Path) -> int:
    """Ask the exchange of the settings everything a cassette holds, and store what it says now.

    The moments asked about stay the same, so candles of the past should come back as they were.
    The old file is replaced only when every request was answered. Returns how many there are.
    """
    interactions, facts = load(path)
    asked = [one for one in interactions if one.asked.known]
    tape = Cassette(path, "all")
    with tape:
        tape._now = recorded_at(interactions, facts)
        ports = engine_for(current()).ports
        for one in asked:
            place = one.asked.path
            endpoint = Endpoint("recorded", place, recorded.group_of(place), "")
            _bridge.run(
                ports.api.transport.get, endpoint, dict(parse_qsl(urlsplit(one.uri).query, keep_blank_values=True))
            )
        tape._tape.loaded = []
    return len(asked)
