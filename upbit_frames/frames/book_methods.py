"""The methods of ``df.uf`` for order books."""

from __future__ import annotations

import os

import pandas as pd

from upbit_frames.core.arguments import flag
from upbit_frames.errors import QueryError
from upbit_frames.frames import books
from upbit_frames.frames.frame_content import FrameContent

__all__ = ["BookMethods"]


class BookMethods(FrameContent):
    """What recorded order books say; for frames as ``uf.books`` gives them."""

    def _books(self) -> pd.DataFrame:
        if self._kind != "books":
            raise QueryError(
                f"this needs order books, and the frame holds {self._content}",
                suggestion="uf.books(market, …) reads them",
            )
        return self._frame

    def mid(self) -> pd.Series:
        """Return the middle between best ask and best bid.

        Returns
        -------
        pandas.Series
            float64, in the quote currency, with the frame's index; NaN where a side is empty or unknown.

        Raises
        ------
        QueryError
            If the frame holds no order books; so do the methods below.

        Examples
        --------
        >>> row = {"ask_price_0": [102.0], "ask_size_0": [1.0], "bid_price_0": [100.0], "bid_size_0": [3.0]}
        >>> pd.DataFrame(row).uf.mid().tolist()
        [101.0]
        """
        return books.mid(self._books())

    def spread(self, *, bps: bool = False) -> pd.Series:
        """Return best ask minus best bid.

        Parameters
        ----------
        bps : bool
            In hundredths of a percent of the mid, not in the quote currency.

        Returns
        -------
        pandas.Series

        Examples
        --------
        >>> row = {"ask_price_0": [102.0], "ask_size_0": [1.0], "bid_price_0": [100.0], "bid_size_0": [3.0]}
        >>> pd.DataFrame(row).uf.spread().tolist()
        [2.0]
        """
        return books.spread(self._books(), bps=flag("bps", bps))

    def microprice(self) -> pd.Series:
        """Return best ask and best bid, each weighted with the amount on the other side.

        Returns
        -------
        pandas.Series

        Examples
        --------
        >>> row = {"ask_price_0": [102.0], "ask_size_0": [1.0], "bid_price_0": [100.0], "bid_size_0": [3.0]}
        >>> pd.DataFrame(row).uf.microprice().tolist()
        [101.5]
        """
        return books.microprice(self._books())

    def imbalance(self, levels: int | None = None) -> pd.Series:
        """Return how much more is bid than offered: bid minus ask over both, from -1 to 1.

        Parameters
        ----------
        levels : int, optional
            Of so many price levels of each side. Default: all that the frame has.

        Returns
        -------
        pandas.Series

        Examples
        --------
        >>> row = {"ask_price_0": [102.0], "ask_size_0": [1.0], "bid_price_0": [100.0], "bid_size_0": [3.0]}
        >>> pd.DataFrame(row).uf.imbalance(levels=1).tolist()
        [0.5]
        """
        return books.imbalance(self._books(), levels)

    def depth(self, bps: float) -> pd.DataFrame:
        """Return the amounts within a distance of the mid.

        Parameters
        ----------
        bps : float
            Hundredths of a percent of the mid, inclusive.

        Returns
        -------
        pandas.DataFrame
            Columns bid and ask (float64, base currency) and complete (bool): whether the levels reach so far on both
            sides. Where they do not, the amounts are the least there was.

        Examples
        --------
        >>> row = {"ask_price_0": [102.0], "ask_size_0": [1.0], "bid_price_0": [100.0], "bid_size_0": [3.0]}
        >>> pd.DataFrame(row).uf.depth(200)[["bid", "ask"]].values.tolist()
        [[3.0, 1.0]]
        """
        return books.depth(self._books(), bps)

    def to_hftbacktest(self, path: str | os.PathLike[str]) -> int:
        """Write the changes from book to book as hftbacktest reads them, an ``.npz`` with the array ``data``.

        Parameters
        ----------
        path : path

        Returns
        -------
        int
            The number of events.

        Raises
        ------
        QueryError
            If the frame lacks ``received_at`` or a time zone.

        Notes
        -----
        Times are nanoseconds and never run backwards; ``exch_ts`` is when the book changed, ``local_ts`` when it
        arrived. The first book, and the first after a range that was not recorded, come as a snapshot. A price that
        leaves the levels of the frame has quantity 0: read ``levels=30`` for all that were recorded.

        Examples
        --------
        >>> uf.books("KRW-BTC", "2026-03-01", levels=30).uf.to_hftbacktest("btc.npz")  # doctest: +SKIP
        """
        frame = self._books()
        return books.write_hftbacktest(frame, os.fspath(path), self.meta.get("missing") or [])
