"""Files of the published archive → Arrow (pure; upbit-api 11).

Bytes stream from the zip through Arrow's CSV reader, so the text is never held as a whole. The
result has the same schema as the same rows from REST. Anything that is not exactly what a file
of that market, interval and period can hold is refused with a :class:`SchemaError`; there is no
such thing as a partly accepted file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upbit_frames.archive.files import CANDLE_COLUMNS, TRADE_COLUMNS, ArchiveFile, file_of
from upbit_frames.archive.zip_reader import Member, refusal
from upbit_frames.core.candle_checks import NUMBERS, is_valid, violations
from upbit_frames.core.intervals import Interval, Span
from upbit_frames.core.schema import arrow_schema

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

__all__ = ["candles_zip", "trades_zip"]

_NUMBERS = ("open", "high", "low", "close", "acc_trade_volume", "acc_trade_price")  # in the order of the schema
_BLOCK = 1 << 20  # bytes of text parsed at a time
_ROW_MOST = 256  # a row of seven numbers has about a hundred bytes
_TRADES_MOST = 4 << 30


def candles_zip(data: bytes | Path, market: str, interval: Interval, period: Span) -> pa.Table:
    """Read the candles of a published file.

    Parameters
    ----------
    data : bytes or pathlib.Path
        The zip, or where it is.
    market : str
    interval : Interval
        Up to one day.
    period : Span
        The UTC day or calendar month the file is for.

    Returns
    -------
    pyarrow.Table
        Schema ``candles``: ascending by time, every time inside the period and on the interval's
        grid, none twice. A period without a trade has no row.

    Raises
    ------
    SchemaError
        If the file is anything else.
    """
    import numpy as np
    import pyarrow as pa

    file = file_of(market, interval, period)
    types = {name: pa.float64() for name in CANDLE_COLUMNS} | {"date_time_utc": pa.timestamp("us")}
    raw = _read_csv(data, file, CANDLE_COLUMNS, types, most=4096 + _ROW_MOST * file.slots, rows=file.slots)
    times = _numpy(raw["date_time_utc"].cast("int64"))
    if not _rising(times):
        order = np.argsort(times, kind="stable")
        raw, times = raw.take(order), times[order]
    _refuse_rows((times < period.start) | (times >= period.end), raw, file, f"a candle outside of {period}")
    _refuse_rows(times % interval.step != 0, raw, file, f"a time that starts no {interval.name} candle")
    _refuse_rows(_repeats(times), raw, file, "the same candle twice")
    _check_numbers(raw, file)
    return pa.Table.from_arrays(
        [
            raw["date_time_utc"].cast(arrow_schema("candles").field("time").type),  # the text was UTC
            *(raw[name] for name in _NUMBERS),
        ],
        schema=arrow_schema("candles"),
    )


def trades_zip(data: bytes | Path, market: str, period: Span) -> pa.Table:
    """Read the trades of a published file.

    Parameters
    ----------
    data : bytes or pathlib.Path
        The zip, or where it is.
    market : str
    period : Span
        The UTC day or calendar month the file is for.

    Returns
    -------
    pyarrow.Table
        Schema ``trades``: ascending by (time, seq), every time inside the period.
        ``sequential_id`` is null, because the archive does not have it.

    Raises
    ------
    SchemaError
        If the file is anything else.
    """
    import numpy as np
    import pyarrow as pa

    file = file_of(market, None, period)
    types = {
        "seq": pa.int64(),
        "timestamp": pa.int64(),
        "volume": pa.float64(),
        "price": pa.float64(),
        "ask_bid": pa.dictionary(pa.int32(), pa.string()),
    }
    raw = _read_csv(data, file, TRADE_COLUMNS, types, most=_TRADES_MOST, rows=None)
    millis, seq = _numpy(raw["timestamp"]), _numpy(raw["seq"])
    low, high = file.period.start // 1000, file.period.end // 1000
    _refuse_rows((millis < low) | (millis >= high), raw, file, f"a trade outside of {file.period}")
    if len(raw) and not _sorted_pairs(millis, seq):
        order = np.lexsort((seq, millis))
        raw, millis, seq = raw.take(order), millis[order], seq[order]
    _refuse_rows(_repeats(millis, seq), raw, file, "the same trade twice")
    price, volume = _numpy(raw["price"]), _numpy(raw["volume"])
    with np.errstate(invalid="ignore", over="ignore"):  # nan and inf are what is looked for
        value = price * volume
        fine = (price > 0) & (volume >= 0) & np.isfinite(value)
    _refuse_rows(~fine, raw, file, "a price or volume that no trade can have")
    return pa.Table.from_arrays(
        [
            pa.array(millis * 1000).cast(arrow_schema("trades").field("time").type),
            raw["price"],
            raw["volume"],
            pa.array(value),
            _sides(raw["ask_bid"], file),
            pa.nulls(len(raw), pa.int64()),
            raw["seq"],
        ],
        schema=arrow_schema("trades"),
    )


# --- reading ------------------------------------------------------------------------------------


def _read_csv(
    data: bytes | Path,
    file: ArchiveFile,
    columns: Sequence[str],
    types: dict[str, Any],
    *,
    most: int,
    rows: int | None,
) -> pa.Table:
    """Read the required columns of the file's CSV, in any order, each as a single chunk."""
    import pyarrow as pa
    from pyarrow import csv

    with Member(data, file.member, most, market=file.market, interval=file.interval) as member:
        names = member.header()
        if len(set(names)) != len(names) or not set(columns) <= set(names):
            raise refusal(
                f"the file must have the columns {', '.join(columns)}, but has {', '.join(names)}"[:400],
                **_file_context(file), path="header",
            )  # fmt: skip
        first = member.read(_BLOCK)
        if not first.strip():
            return pa.schema([(name, types[name]) for name in columns]).empty_table()
        member.put_back(first)
        convert = csv.ConvertOptions(
            column_types=types,
            include_columns=list(columns),
            null_values=[],  # an empty field is an error, not a value
            timestamp_parsers=[csv.ISO8601],
        )
        read = csv.ReadOptions(column_names=names, block_size=_BLOCK, use_threads=False)
        # Support for quotes costs a seventh of the parsing, and numbers need none. A quoted field
        # in a later block is refused as not being a number.
        parse = csv.ParseOptions(quote_char='"' if b'"' in first else False)
        batches, seen = [], 0
        try:
            with csv.open_csv(
                pa.PythonFile(member, mode="r"), read_options=read, parse_options=parse, convert_options=convert
            ) as reader:
                for batch in reader:
                    batches.append(batch)
                    seen += len(batch)
                    if rows is not None and seen > rows:
                        raise refusal(
                            f"the file has more than the {rows:,} rows its period can hold", **_file_context(file)
                        )
        except pa.ArrowInvalid as error:
            raise refusal(f"the file cannot be read as a table: {error}"[:400], **_file_context(file)) from error
    return pa.Table.from_batches(batches).combine_chunks()


def _numpy(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    """Return a column of a single chunk and without nulls as an array, without copying."""
    chunk = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return chunk.to_numpy(zero_copy_only=True)  # type: ignore[no-any-return]


def _file_context(file: ArchiveFile) -> dict[str, Any]:
    return {"file": file.member, "market": file.market, "interval": file.interval}


# --- checking -----------------------------------------------------------------------------------


def _check_numbers(raw: pa.Table, file: ArchiveFile) -> None:
    columns = dict(zip(NUMBERS, (_numpy(raw[name]) for name in _NUMBERS), strict=True))
    if not is_valid(*columns.values()).all():
        for violation in violations(columns):
            _refuse_rows(violation.wrong, raw, file, f"{violation.column}: {violation.rule}")


def _sides(column: pa.ChunkedArray, file: ArchiveFile) -> pa.Array:
    """Convert ASK and BID to the spelling of the schema."""
    import pyarrow as pa
    import pyarrow.compute as pc

    encoded = column.combine_chunks()
    if len(encoded) == 0:
        return pa.array([], pa.string())
    strange = set(encoded.dictionary.to_pylist()) - {"ASK", "BID"}
    if strange:
        raise refusal(f"ask_bid must be ASK or BID, but {sorted(strange)[0]!r:.100} occurs", **_file_context(file))
    return pc.utf8_lower(encoded.dictionary).take(encoded.indices)


def _rising(times: np.ndarray[Any, Any]) -> bool:
    return bool((times[1:] >= times[:-1]).all())


def _sorted_pairs(first: np.ndarray[Any, Any], second: np.ndarray[Any, Any]) -> bool:
    rises = first[1:] > first[:-1]
    return bool((rises | ((first[1:] == first[:-1]) & (second[1:] >= second[:-1]))).all())


def _repeats(*columns: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return which rows equal the row before in all of the sorted columns."""
    import numpy as np

    same: np.ndarray[Any, Any] = np.zeros(len(columns[0]), dtype=bool)
    same[1:] = True
    for column in columns:
        same[1:] &= column[1:] == column[:-1]
    return same


def _refuse_rows(bad: np.ndarray[Any, Any], raw: pa.Table, file: ArchiveFile, fault: str) -> None:
    """Raise for the first invalid row, if there is any."""
    import numpy as np

    if not bad.any():
        return
    row = raw.slice(int(np.argmax(bad)), 1).to_pylist()[0]
    sample = ", ".join(f"{name}={value}" for name, value in row.items())
    raise refusal(
        f"the file has {fault} ({int(bad.sum()):,} of {len(bad):,} rows)", sample=sample, **_file_context(file)
    )
