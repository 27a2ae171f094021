"""How a frozen data set is cited."""

from __future__ import annotations

import os
from dataclasses import dataclass
from html import escape
from pathlib import Path

from upbit_frames.core.intervals import from_micros
from upbit_frames.datasets.lock_file import Lock
from upbit_frames.datasets.pins import load_lock

__all__ = ["Citation", "cite"]

NAMED = 3  # markets that a sentence names


@dataclass(frozen=True)
class Citation:
    """A sentence and a BibTeX entry for one lock.

    Attributes
    ----------
    sentence : str
    bibtex : str
    """

    sentence: str
    bibtex: str

    def __str__(self) -> str:
        return f"{self.sentence}\n\n{self.bibtex}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<p>{escape(self.sentence)}</p><pre>{escape(self.bibtex)}</pre>"


def cite(path: str | os.PathLike[str]) -> Citation:
    """Write a sentence and a BibTeX entry for the data that a lock describes.

    Parameters
    ----------
    path : str or path
        A lock that :func:`upbit_frames.pinned` wrote.

    Returns
    -------
    Citation
        With ``sentence`` and ``bibtex``; printed, it is both.

    Raises
    ------
    StoreError, CorruptFile
        If there is no lock, or it cannot be read.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> print(uf.cite("study.lock"))  # doctest: +SKIP
    """
    lock = load_lock(Path(path))
    day = from_micros(lock.now)
    version = lock.versions.get("upbit-frames", "unknown")
    rows = sum(call.rows for call in lock.calls.values())
    short = lock.digest.removeprefix("sha256:")[:12]
    content = _content(lock)
    sentence = (
        f"Market data of Upbit: {content}, {rows:,} rows, as served on {day:%Y-%m-%d} "
        f"and read with upbit-frames {version} (data set {lock.digest})."
    )
    bibtex = "\n".join(
        [
            f"@misc{{upbit-{day:%Y}-{short},",
            "  author = {{Upbit (Dunamu Inc.)}},",
            f"  title = {{Market data of Upbit: {content}}},",
            f"  year = {{{day:%Y}}},",
            f"  note = {{{rows:,} rows, as served on {day:%Y-%m-%d}, read with upbit-frames {version}; {lock.digest}}}",
            "}",
        ]
    )
    return Citation(sentence, bibtex)


def _content(lock: Lock) -> str:
    """Name kinds, markets and months: ``candles 1m of KRW-BTC, KRW-ETH and 28 others, 2025-01 to 2026-02``."""
    kinds = dict.fromkeys(f"{call.name} {call.request.get('interval', '')}".strip() for call in lock.calls.values())
    markets = list(dict.fromkeys(part.market for call in lock.calls.values() for part in call.parts if part.market))
    months = sorted({part.month for call in lock.calls.values() for part in call.parts if part.month[0].isdigit()})
    names = ", ".join(markets[:NAMED]) + (f" and {len(markets) - NAMED} others" if len(markets) > NAMED else "")
    text = ", ".join(kinds) + (f" of {names}" if names else "")
    if not months:
        return text
    return text + (f", {months[0]}" if len(months) == 1 else f", {months[0]} to {months[-1]}")
