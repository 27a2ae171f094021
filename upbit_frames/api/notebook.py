"""For people in notebooks: where a frame came from, at a glance, and nested event loops on request.

Nothing here is needed for the ordinary calls: they work in a running loop as they are, because
all network work runs on a loop of its own.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from upbit_frames.core import html
from upbit_frames.core.config import current
from upbit_frames.core.text import counted, moment_text
from upbit_frames.errors import QueryError, UsageError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Provenance", "enable_nested", "provenance"]


def __dir__() -> list[str]:
    return sorted(__all__)


NESTERS = ("nest_asyncio2", "nest_asyncio")
"""In order of preference: the first is kept up, the second is archived and breaks
``asyncio.run(loop_factory=…)``."""

COLOURS = {"store": "#2e7d32", "rest": "#1565c0", "archive": "#6a1b9a", "live": "#ef6c00", "none": "#b71c1c"}


def enable_nested() -> str:
    """Let your own ``asyncio.run(main())`` run inside a notebook cell.

    It patches asyncio for the whole process, so nothing does it unasked; calls of this package do
    not need it.

    Returns
    -------
    str
        Which package did it: ``nest_asyncio2`` where installed, else ``nest_asyncio``.

    Raises
    ------
    UsageError
        If neither is installed.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> uf.notebook.enable_nested()  # doctest: +SKIP
    'nest_asyncio2'
    """
    for name in NESTERS:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        module.apply()
        return name
    raise UsageError(
        "neither nest_asyncio2 nor nest_asyncio is installed",
        suggestion="pip install 'upbit-frames[notebook]', or await the coroutine in the cell: await main()",
    )


@dataclass(frozen=True)
class Provenance:
    """Where a frame came from, printed as a table.

    Attributes
    ----------
    meta : dict
        ``attrs["upbit_frames"]`` of the frame.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> df = uf.candles("KRW-BTC", "1d", count=5)  # doctest: +SKIP
    >>> uf.notebook.provenance(df).requests  # doctest: +SKIP
    1
    """

    meta: dict[str, Any]

    @property
    def requests(self) -> int:
        """HTTP requests the frame took."""
        return sum(step["requests"] for step in self.meta["route"])

    def _title(self) -> str:
        market = self.meta.get("market", "")
        names = market if isinstance(market, str) else ", ".join(market[:4]) + (" …" if len(market) > 4 else "")
        words = [names, str(self.meta.get("interval", "")), str(self.meta.get("kind", ""))]
        return " ".join(word for word in words if word)

    def __repr__(self) -> str:
        tz = current().tz
        lines = [f"{self._title()}: {self._summary(tz)}"]
        lines += [
            f"  {step['channel']:<8} {moment_text(step['start'], tz)} → {moment_text(step['end'], tz)}  "
            f"{counted(step['rows'], 'row', 10)}  {counted(step['requests'], 'request', 5)}  {step['reason']}"
            for step in self.meta["route"]
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        tz = current().tz
        rows = [
            (
                html.badge(step["channel"], COLOURS.get(step["channel"], "#555555")), moment_text(step["start"], tz),
                moment_text(step["end"], tz), step["rows"], step["requests"], step["reason"],
            )
            for step in self.meta["route"]
        ]  # fmt: skip
        steps = html.table(("channel", "start", "end", "rows", "requests", "why"), rows, unit="step")
        return html.paragraph(self._summary(tz), strong=self._title()) + steps

    def _summary(self, tz: str) -> str:
        return f"{counted(self.requests, 'request')}, fetched {moment_text(self.meta['fetched_at'], tz)}"


def provenance(frame: pd.DataFrame) -> Provenance:
    """Return where a frame came from: which source served each range, and why.

    Parameters
    ----------
    frame : pandas.DataFrame
        As this package returned it.

    Raises
    ------
    QueryError
        If the frame does not know, because it is not of this package or pandas dropped its ``attrs``.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> uf.notebook.provenance(uf.candles("KRW-BTC"))  # doctest: +SKIP
    """
    meta = frame.attrs.get("upbit_frames")
    if not isinstance(meta, dict) or "route" not in meta:
        raise QueryError(
            "this frame does not say where it came from",
            suggestion="only frames returned by upbit_frames do, and pandas.concat of different ones forgets",
        )
    return Provenance(meta)
