"""A folder of cassettes: what is in it, what is wrong with it, and recording it again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from upbit_frames import _bridge, recorded
from upbit_frames.cassette_file import load, recorded_at
from upbit_frames.config import current
from upbit_frames.endpoints import Endpoint
from upbit_frames.engine import engine_for
from upbit_frames.errors import CorruptFile
from upbit_frames.intervals import from_micros
from upbit_frames.recording import Cassette

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["cassettes", "problems", "record_again"]


def cassettes(folder: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """What cassettes there are.

    Parameters
    ----------
    folder : path, optional
        Default: the setting ``cassette_dir``.

    Returns
    -------
    pandas.DataFrame
        Index ``name``; columns origin (``live``, ``stand-in exchange …``), now (datetime64, UTC:
        the moment it is about), requests (int), bytes (int), covers (str: which calls), error (str,
        empty where the file can be read).

    Examples
    --------
    >>> import upbit_frames as uf
    >>> list(uf.cassettes("no such folder").columns)
    ['origin', 'now', 'requests', 'bytes', 'covers', 'error']
    """
    import pandas as pd

    root = current().cassette_dir if folder is None else Path(folder)
    rows = [_row(path, root) for path in sorted(root.rglob("*.yaml")) if not path.name.startswith(".")]
    frame = pd.DataFrame(rows, columns=["name", "origin", "now", "requests", "bytes", "covers", "error"])
    frame["now"] = pd.to_datetime(frame["now"], utc=True)
    return frame.set_index("name")


def _row(path: Path, root: Path) -> tuple[Any, ...]:
    name, size = path.relative_to(root).with_suffix("").as_posix(), path.stat().st_size
    try:
        interactions, facts = load(path)
    except CorruptFile as wrong:
        return name, "", None, 0, size, "", wrong.message
    moment = recorded_at(interactions, facts)
    origin = facts.get("origin") or " and ".join(sorted({recorded.origin_of(one.uri) for one in interactions}))
    when = None if moment is None else from_micros(moment)
    covers = recorded.covered_calls(one.asked for one in interactions)
    return name, origin, when, len(interactions), size, covers, ""


def problems(path: Path) -> list[str]:
    """What is wrong with a cassette: unreadable, secrets in it, answers nobody will ever play.

    Whether a run leaves requests unplayed is told by :attr:`Cassette.unplayed`.
    """
    try:
        interactions, _ = load(path)
    except CorruptFile as wrong:
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
            _bridge.run(ports.rest.get, endpoint, dict(parse_qsl(urlsplit(one.uri).query, keep_blank_values=True)))
        tape._tape.loaded = []
    return len(asked)
