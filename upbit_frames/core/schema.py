"""The one schema of each kind of table, with unit, meaning and source of every column.

Everything that makes or reads a table takes its Arrow schema from here: the normaliser, the
store, the frames, the documentation (``uf.schema``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from upbit_frames.errors import QueryError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["COMPLETE", "FILLED", "KINDS", "SCHEMA_VERSION", "Column", "arrow_schema", "describe", "schema"]

SCHEMA_VERSION = 1
"""Version of the columns of stored data: their names, types, units and meaning.

It grows by one with every change that an older version would misread: a column renamed, removed, of
another type or unit, or added. The store's folders carry it (``candles/v1/…``), and so does each file
under its checksum, so an older version never meets files of a newer schema, and a file of another
schema in the wrong folder is damage. A newer version reads the folders of all earlier schemas; the
rows of a series are rewritten in the new schema when they are next merged. A small store of each
schema is kept with the tests, read and updated by every later version.
"""

# Short names of the Arrow types used; resolved late so that importing this costs nothing.
_TIME, _FLOAT, _INT, _TEXT, _BOOL, _MARKET, _DATE, _FLOATS = (
    "timestamp[us, UTC]", "double", "int64", "string", "bool", "dictionary<string>", "date32", "list<double>",
)  # fmt: skip


@dataclass(frozen=True)
class Column:
    """One column: name, Arrow type, unit, meaning, and the field of Upbit it comes from."""

    name: str
    type: str
    unit: str
    meaning: str
    source: str

    def field(self) -> pa.Field:
        """The Arrow field; unit, meaning and source stand in its metadata."""
        import pyarrow as pa

        about = {"unit": self.unit, "meaning": self.meaning, "source": self.source}
        return pa.field(self.name, _arrow_type(self.type), metadata=about)


_QUOTE, _BASE = "quote currency (KRW for KRW-*)", "base amount"

KINDS: dict[str, tuple[Column, ...]] = {
    "candles": (
        Column("time", _TIME, "UTC", "start of the period", "candle_date_time_utc"),
        Column("open", _FLOAT, _QUOTE, "first trade's price", "opening_price"),
        Column("high", _FLOAT, _QUOTE, "highest price", "high_price"),
        Column("low", _FLOAT, _QUOTE, "lowest price", "low_price"),
        Column("close", _FLOAT, _QUOTE, "last trade's price", "trade_price"),
        Column("volume", _FLOAT, _BASE, "amount traded", "candle_acc_trade_volume"),
        Column("value", _FLOAT, _QUOTE, "sum of price times amount (거래대금)", "candle_acc_trade_price"),
    ),
    "trades": (
        Column("time", _TIME, "UTC", "when the trade happened", "timestamp"),
        Column("price", _FLOAT, _QUOTE, "price", "trade_price"),
        Column("volume", _FLOAT, _BASE, "amount", "trade_volume"),
        Column("value", _FLOAT, _QUOTE, "price times amount (거래대금)", "trade_price * trade_volume"),
        Column("side", _TEXT, "", "taker's side: bid = a buyer took an ask", "ask_bid"),
        Column("sequential_id", _INT, "", "unique id of the trade; null from the archive", "sequential_id"),
        Column("seq", _INT, "", "number inside a day's archive file; null from REST", "seq (archive)"),
    ),
    "bars": (
        Column("time", _TIME, "UTC", "first trade's time", "timestamp"),
        Column("open", _FLOAT, _QUOTE, "first trade's price", "trade_price"),
        Column("high", _FLOAT, _QUOTE, "highest price", "trade_price"),
        Column("low", _FLOAT, _QUOTE, "lowest price", "trade_price"),
        Column("close", _FLOAT, _QUOTE, "last trade's price", "trade_price"),
        Column("volume", _FLOAT, _BASE, "amount traded", "trade_volume"),
        Column("value", _FLOAT, _QUOTE, "sum of price times amount (거래대금)", "trade_price * trade_volume"),
        Column("end", _TIME, "UTC", "last trade's time, inclusive", "timestamp"),
        Column("trades", _INT, "", "number of trades", ""),
        Column("buy_volume", _FLOAT, _BASE, "amount that takers bought (side bid)", "trade_volume"),
    ),
    "flow": (
        Column("time", _TIME, "UTC", "start of the period", ""),
        Column("trades", _INT, "", "number of trades", ""),
        Column("buy_volume", _FLOAT, _BASE, "amount that takers bought (side bid)", "trade_volume"),
        Column("sell_volume", _FLOAT, _BASE, "amount that takers sold (side ask)", "trade_volume"),
        Column("delta", _FLOAT, _BASE, "buy_volume minus sell_volume", "trade_volume"),
        Column("buy_value", _FLOAT, _QUOTE, "value of what takers bought", "trade_price * trade_volume"),
        Column("sell_value", _FLOAT, _QUOTE, "value of what takers sold", "trade_price * trade_volume"),
        Column("vwap", _FLOAT, _QUOTE, "value over volume of all trades", "trade_price * trade_volume"),
    ),
    "ticker": (
        Column("market", _MARKET, "", "market code", "market"),
        Column("time", _TIME, "UTC", "when the last trade happened", "trade_timestamp"),
        Column("price", _FLOAT, _QUOTE, "last trade's price", "trade_price"),
        Column("volume", _FLOAT, _BASE, "last trade's amount", "trade_volume"),
        Column("open", _FLOAT, _QUOTE, "first price since 00:00 UTC", "opening_price"),
        Column("high", _FLOAT, _QUOTE, "highest since 00:00 UTC", "high_price"),
        Column("low", _FLOAT, _QUOTE, "lowest since 00:00 UTC", "low_price"),
        Column("prev_close", _FLOAT, _QUOTE, "close of the previous UTC day", "prev_closing_price"),
        Column("change", _TEXT, "", "RISE, EVEN or FALL against prev_close", "change"),
        Column("change_price", _FLOAT, _QUOTE, "price minus prev_close, signed", "signed_change_price"),
        Column("change_rate", _FLOAT, "fraction", "change_price over prev_close, signed", "signed_change_rate"),
        Column("value", _FLOAT, _QUOTE, "traded since 00:00 UTC (거래대금)", "acc_trade_price"),
        Column("value_24h", _FLOAT, _QUOTE, "traded in the last 24 h", "acc_trade_price_24h"),
        Column("volume_day", _FLOAT, _BASE, "traded since 00:00 UTC", "acc_trade_volume"),
        Column("volume_24h", _FLOAT, _BASE, "traded in the last 24 h", "acc_trade_volume_24h"),
        Column("high_52w", _FLOAT, _QUOTE, "highest in 52 weeks", "highest_52_week_price"),
        Column("high_52w_date", _DATE, "UTC date", "day of that high", "highest_52_week_date"),
        Column("low_52w", _FLOAT, _QUOTE, "lowest in 52 weeks", "lowest_52_week_price"),
        Column("low_52w_date", _DATE, "UTC date", "day of that low", "lowest_52_week_date"),
        Column("updated", _TIME, "UTC", "when Upbit created this row", "timestamp"),
    ),
    "orderbook": (
        Column("market", _MARKET, "", "market code", "market"),
        Column("level", _INT, "", "0 is the best price", "position in orderbook_units"),
        Column("ask_price", _FLOAT, _QUOTE, "offered price; null where the side is shorter", "ask_price"),
        Column("ask_size", _FLOAT, _BASE, "offered amount", "ask_size"),
        Column("bid_price", _FLOAT, _QUOTE, "bid price; null where the side is shorter", "bid_price"),
        Column("bid_size", _FLOAT, _BASE, "bid amount", "bid_size"),
        Column("total_ask_size", _FLOAT, _BASE, "sum of the ask side as Upbit states it", "total_ask_size"),
        Column("total_bid_size", _FLOAT, _BASE, "sum of the bid side as Upbit states it", "total_bid_size"),
        Column("grouping", _FLOAT, _QUOTE, "price grouping applied; 0 = none", "level"),
        Column("time", _TIME, "UTC", "last change of the book", "timestamp"),
    ),
    "books": (
        Column("time", _TIME, "UTC", "last change of the book", "timestamp"),
        Column("received_at", _TIME, "UTC", "when it arrived at the machine that recorded it, by its clock", ""),
        Column("ask_price", _FLOATS, _QUOTE, "offered prices, best first; up to thirty", "ask_price"),
        Column("ask_size", _FLOATS, _BASE, "offered amounts", "ask_size"),
        Column("bid_price", _FLOATS, _QUOTE, "bid prices, best first; up to thirty", "bid_price"),
        Column("bid_size", _FLOATS, _BASE, "bid amounts", "bid_size"),
        Column("total_ask_size", _FLOAT, _BASE, "sum of the ask side as Upbit states it", "total_ask_size"),
        Column("total_bid_size", _FLOAT, _BASE, "sum of the bid side as Upbit states it", "total_bid_size"),
    ),
    "markets": (
        Column("market", _MARKET, "", "market code", "market"),
        Column("korean_name", _TEXT, "", "Korean name; null outside Korea", "korean_name"),
        Column("english_name", _TEXT, "", "English name", "english_name"),
        Column("warning", _BOOL, "", "investment warning (유의)", "market_event.warning"),
        Column("cautions", "list<string>", "", "names of the caution flags set", "market_event.caution"),
    ),
    "instruments": (
        Column("market", _MARKET, "", "market code", "market"),
        Column("quote_currency", _TEXT, "", "currency of the prices", "quote_currency"),
        Column("tick_size", _FLOAT, _QUOTE, "smallest price step at today's price", "tick_size"),
        Column("supported_levels", _FLOATS, _QUOTE, "price groupings of the order book", "supported_levels"),
    ),
}

# Columns that candles have only on request: with gaps="fill", and resampled with edges="flag".
FILLED = Column("filled", _BOOL, "", "no trade in the period; a flat candle at the previous close", "")
COMPLETE = Column("complete", _BOOL, "", "the whole period lies in what was resampled", "")


def _arrow_type(name: str) -> Any:
    import pyarrow as pa

    return {
        _TIME: pa.timestamp("us", tz="UTC"),
        _FLOAT: pa.float64(),
        _INT: pa.int64(),
        _TEXT: pa.string(),
        _BOOL: pa.bool_(),
        _MARKET: pa.dictionary(pa.int32(), pa.string()),
        _DATE: pa.date32(),
        _FLOATS: pa.list_(pa.float64()),
        "list<string>": pa.list_(pa.string()),
    }[name]


@cache
def arrow_schema(kind: str, columns: tuple[str, ...] | None = None) -> pa.Schema:
    """Return the Arrow schema of a kind or of some columns of it; units and meanings stand in the fields' metadata."""
    import pyarrow as pa

    known = {column.name: column for column in KINDS[kind]}
    fields = [known[name].field() for name in (known if columns is None else columns)]
    return pa.schema(fields, metadata={"upbit_frames.kind": kind, "upbit_frames.core.schema": str(SCHEMA_VERSION)})


def describe(kind: str) -> list[dict[str, str]]:
    """The columns of a kind as rows: column, type, unit, meaning, source."""
    return [
        {"column": c.name, "type": c.type, "unit": c.unit, "meaning": c.meaning, "source": c.source}
        for c in KINDS[kind]
    ]


def schema(kind: str) -> pd.DataFrame:
    """The columns of a kind of table, for people.

    Parameters
    ----------
    kind : {"candles", "trades", "ticker", "orderbook", "books", "markets", "instruments"}

    Returns
    -------
    pandas.DataFrame
        Index ``column``; columns type (Arrow), unit, meaning, source (the field of Upbit's answer).

    Raises
    ------
    QueryError
        If there is no such kind.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> uf.schema("candles").loc["value", "source"]
    'candle_acc_trade_price'
    """
    import pandas as pd

    if kind not in KINDS:
        raise QueryError(f"there is no kind of table called {kind!r}", suggestion=f"there are {', '.join(KINDS)}")
    return pd.DataFrame(describe(kind)).set_index("column")
