"""Markets that are known to have been renamed, redenominated or delisted, with the source of each fact (pure).

Only what was observed stands here. A rename keeps the whole history under the new code, and the exchange no longer
knows the old one; a redenomination changes prices and volumes of all earlier candles (upbit-api 12.4 to 12.6).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["DELISTED", "REDENOMINATIONS", "RENAMES", "Redenomination", "Rename", "renamed", "whereabouts"]

PROBED = "requests to api.upbit.com of 2026-09-13"


@dataclass(frozen=True)
class Rename:
    """A market, or a base currency in all of its markets, under a new name.

    Attributes
    ----------
    old, new : str
        Market codes (``"KRW-MATIC"``), or base currencies (``"TON"``) where the quote currency was not recorded.
    history_from : str or None
        ISO date of the first candle under the new code, which is older than the rename.
    noticed : str
        ISO date by which the rename had happened; the day itself is not known.
    source : str
    """

    old: str
    new: str
    history_from: str | None
    noticed: str = "2026-09-13"
    source: str = PROBED


@dataclass(frozen=True)
class Redenomination:
    """A market whose earlier candles were rewritten in new units.

    Attributes
    ----------
    market : str
    ratio : float
        Between the prices of one candle before and after, as observed; which way round was not recorded.
    noticed : str
        ISO date by which it had happened.
    source : str
    """

    market: str
    ratio: float
    noticed: str
    source: str


RENAMES = (
    Rename("KRW-MATIC", "KRW-POL", "2021-10-15"),
    Rename("KRW-EOS", "KRW-A", "2018-03-22"),
    Rename("KRW-STPT", "KRW-AWE", "2020-03-24"),
    Rename("TON", "TOKAMAK", None),
    Rename("BEAMX", "BEAM", None),
)
REDENOMINATIONS = (Redenomination("KRW-STRAX", 0.0999, "2026-09-13", PROBED),)
DELISTED = {
    f"KRW-{base}": "2026-09-13"
    for base in ("BTG", "DAWN", "EMC2", "IGNIS", "LOOM", "MFT", "NU", "OMG", "PCI", "SRM", "WEMIX", "XEM")
}
"""Markets that were listed once and are unknown to the exchange, with the date by which they were."""


def renamed(market: str) -> Rename | None:
    """Return the rename of an old code, with both codes of the market's quote currency; None where none is known.

    Examples
    --------
    >>> renamed("KRW-EOS").new
    'KRW-A'
    >>> renamed("BTC-BEAMX").new
    'BTC-BEAM'
    """
    quote, _, base = market.partition("-")
    for rename in RENAMES:
        if rename.old == market:
            return rename
        if rename.old == base:
            return Rename(market, f"{quote}-{rename.new}", rename.history_from, rename.noticed, rename.source)
    return None


def whereabouts(markets: Iterable[str]) -> str:
    """Say what is known of codes that the exchange does not know; empty where nothing is.

    Examples
    --------
    >>> whereabouts(["KRW-MATIC"])
    'KRW-MATIC is called KRW-POL now and keeps its history there'
    """
    texts = []
    for market in markets:
        rename = renamed(market)
        if rename is not None:
            texts.append(f"{market} is called {rename.new} now and keeps its history there")
        elif market in DELISTED:
            texts.append(f"{market} was listed once and was delisted by {DELISTED[market]}")
    return "; ".join(texts)
