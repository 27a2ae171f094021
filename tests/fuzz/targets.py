"""What reads data from elsewhere, each as a function of bytes, with seeds that it accepts.

A target returns, or raises one of the package's errors; anything else is a defect. ``test_targets.py`` damages the
seeds the same way every time, ``run_atheris.py`` lets a coverage-guided fuzzer do it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from upbit_frames.archive.csv_tables import candles_zip, trades_zip
from upbit_frames.archive.files import ArchiveFile, day_file
from upbit_frames.core.bar_grid import parse_grid
from upbit_frames.core.intervals import INTERVALS, Span, to_micros
from upbit_frames.core.market_selection import parse_selection
from upbit_frames.core.query import CandleQuery, TradeQuery
from upbit_frames.core.schema import arrow_schema
from upbit_frames.datasets.bundle import unpack
from upbit_frames.datasets.digests import DIGITS, Part
from upbit_frames.datasets.lock_file import Lock, LockedCall, read_lock, write_lock
from upbit_frames.errors import UpbitFramesWarning
from upbit_frames.exchange import wire
from upbit_frames.exchange.wire.message_tables import to_table
from upbit_frames.exchange.wire.messages import control, decode, type_of
from upbit_frames.replay.cassette_file import cassette_path, load
from upbit_frames.replay.tape_file import read_tape
from upbit_frames.store import encoding
from upbit_frames.store.base import Series
from upbit_frames.store.layout import file_name, folder_of, parse_name, parts_of, series_of_folders
from upbit_frames.store.parquet import ParquetStore

__all__ = ["LOCK", "TARGETS", "Target"]

HERE = Path(__file__).resolve().parent
RECORDINGS = HERE.parent / "replay" / "formats"
DAY = to_micros(datetime(2026, 2, 3, tzinfo=UTC))
MINUTE = INTERVALS["1m"]
SPAN = Span(DAY, DAY + 30 * MINUTE.step)
SERIES = Series("candles", "KRW-BTC", "1m")


@dataclass(frozen=True)
class Target:
    """A reader of bytes.

    Attributes
    ----------
    read : callable
    seeds : tuple of bytes
        All are accepted.
    tries : int
        How many damaged ones a test run takes: less for what touches the disk.
    real : str or None
        Glob of the real captures it can start from.
    """

    read: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    tries: int = 1_000
    real: str | None = None


def seed(*names: str) -> tuple[bytes, ...]:
    return tuple((HERE / "seeds" / name).read_bytes() for name in names)


# --- the exchange -----------------------------------------------------------------------------------


def frames(data: bytes) -> None:
    """A frame alone, and between intact ones, as a table and as a message about the connection."""
    control(data)
    for rows, refused in (decode([data], [DAY]), decode([FRAME, data, FRAME], [DAY] * 3)):
        assert len(refused) <= 1
        for row in rows:
            to_table(type_of(row), [row])


FRAMES = seed(
    *(
        f"frame.{type_}.{spelling}.json"
        for type_ in ("ticker", "trade", "orderbook", "candle.1m")
        for spelling in ("default", "simple")
    )
)
FRAME = FRAMES[2]


def bodies(name: str, read: Callable[[bytes], object], real: str = "rest/*/*.json") -> Target:
    return Target(read, seed(f"{name}.json"), real=real)


# --- the published archive --------------------------------------------------------------------------

CANDLE_CSV = b"""date_time_utc,open,high,low,close,acc_trade_price,acc_trade_volume
2026-02-03T00:00:00,100.5,103.25,99.125,101.0,12345.5,0.25
2026-02-03T00:02:00,100.5,103.25,99.125,101.0,12345.5,0.25
"""
TRADE_CSV = b"""seq,timestamp,volume,price,ask_bid
17700768000000000,1770076800000,0.5,100.0,BID
17700768000000001,1770076801000,0.25,101.0,ASK
"""


def packed(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def archive_zip(data: bytes, *, file: ArchiveFile) -> pa.Table:
    if file.interval is None:
        return trades_zip(data, file.market, file.period)
    return candles_zip(data, file.market, MINUTE, file.period)


def archive_csv(data: bytes, *, file: ArchiveFile) -> pa.Table:
    return archive_zip(packed(**{file.member: data}), file=file)


CANDLE_FILE, TRADE_FILE = day_file("KRW-BTC", MINUTE, DAY), day_file("KRW-BTC", None, DAY)


# --- files ------------------------------------------------------------------------------------------


@contextmanager
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="uf-fuzz-"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def cassette(data: bytes) -> None:
    with folder() as inside:
        path = inside / "a.yaml"
        path.write_bytes(data)
        load(path)


def tape(data: bytes) -> None:
    with folder() as inside:
        path = inside / "a.jsonl.gz"
        path.write_bytes(data)
        _, entries = read_tape(path)
        for _ in entries:
            pass


def tape_lines(data: bytes) -> None:
    tape(gzip.compress(data, 1))


def stored_file(data: bytes) -> pa.Table:
    """A file under a right name in a store: the rows that were written, or none."""
    encoding._forget_all()
    with folder() as inside, warnings.catch_warnings():
        warnings.simplefilter("ignore", UpbitFramesWarning)
        place = folder_of(inside, SERIES)
        place.mkdir(parents=True)
        (place / file_name(SPAN)).write_bytes(data)
        store = ParquetStore(inside)
        store.verify()
        store.count(SERIES, SPAN)
        rows = store.read(SERIES, SPAN)
        assert rows.equals(candles(3)) or rows.equals(candles(0))
        return rows


def candles(count: int) -> pa.Table:
    times = pa.array([DAY + minute * MINUTE.step for minute in range(count)], pa.int64())
    prices = [pa.array([100.0] * count)] * 6
    return pa.Table.from_arrays([times.cast(pa.timestamp("us", tz="UTC")), *prices], schema=arrow_schema("candles"))


def footer(data: bytes) -> pa.Table:
    """A sound Parquet file whose metadata is anything."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, candles(3).schema.remove_metadata(), store_schema=False) as writer:
        writer.write_table(candles(3).cast(candles(3).schema.remove_metadata()))
        writer.add_key_value_metadata({encoding.META: data})
    return stored_file(bytes(encoding.seal(sink.getvalue())))


STORED = bytes(encoding.encode(SERIES, candles(3), SPAN, "rest", DAY))
META = pq.read_metadata(io.BytesIO(STORED)).metadata[encoding.META]
PARTS = (Part("KRW-BTC", "2024-01", 744, "0" * DIGITS), Part("KRW-ETH", "2024-02", 696, "a" * DIGITS))
CALL = LockedCall("candles", {"interval": "1h", "market": ["KRW-BTC", "KRW-ETH"]}, PARTS, {"rest": 1440})
LOCK = Lock(1_704_067_200_000_000, {CALL.key: CALL}, {"upbit_frames": "1.0"})
STORED_NAME = "/".join(["store", *parts_of(SERIES), file_name(SPAN)])
MANIFEST = {
    "version": 1,
    "written_with": "0.1.0",
    "lock": LOCK.digest,
    "left_out": [],
    "files": {STORED_NAME: {"bytes": len(STORED), "sha256": hashlib.sha256(STORED).hexdigest()}},
}


def lock(data: bytes) -> None:
    read_lock(data, "a.lock")


def bundle(data: bytes) -> None:
    with folder() as inside:
        (inside / "a.zip").write_bytes(data)
        unpack(inside / "a.zip", inside / "out")
        files = [path.relative_to(inside / "out") for path in inside.rglob("*.parquet")]
        assert all(parse_name(path.name) for path in files)


def bundle_manifest(data: bytes) -> None:
    bundle(packed(**{"bundle.json": data, "study.lock": write_lock(LOCK).encode(), STORED_NAME: STORED}))


# --- names and arguments ----------------------------------------------------------------------------


def names(data: bytes) -> None:
    name = data.decode("utf-8", "surrogateescape")
    span = parse_name(name)
    assert span is None or (0 <= span.start < span.end and file_name(span) == name)
    series_of_folders([name])
    place = HERE / "no-such-folder"
    assert cassette_path(place, name).is_relative_to(place)


def arguments(data: bytes) -> list[Any]:
    """Read nine arguments, separated by a line end: JSON where it is JSON, text otherwise."""
    values: list[Any] = []
    for text in data.decode("utf-8", "replace").split("\n"):
        try:
            values.append(json.loads(text))
        except (ValueError, RecursionError):
            values.append(text)
    return [*values, *[None] * 9][:9]


def query(data: bytes) -> None:
    market, interval, start, end, count, source, columns, tz, base = arguments(data)
    given = {"start": start, "end": end, "count": count, "source": source, "columns": columns, "tz": tz}
    CandleQuery.build(market, interval, base=base, now=lambda: DAY, **given)


def trade_query(data: bytes) -> None:
    market, _, start, end, count, source, columns, tz, _ = arguments(data)
    given = {"start": start, "end": end, "count": count, "source": source, "columns": columns, "tz": tz}
    TradeQuery.build(market, now=lambda: DAY, **given)


def selection(data: bytes) -> None:
    market, interval, quote, tz, base, *_ = arguments(data)
    parse_selection(market, quote)
    parse_grid(interval, base, tz)


QUERIES = (
    b'KRW-BTC\n1m\n2026-01-01\n2026-02-01\nnull\nauto\n["close"]\nAsia/Seoul\nnull',
    b'["KRW-BTC", "KRW-ETH"]\n90m\n-7d\nnull\n20\nrest\nnull\nUTC\nAsia/Seoul',
    "비트코인\n1M\nnull\nnow\n5\nauto\nnull\n+09:00\n15:00".encode(),
)
TRADE_QUERIES = (
    b'KRW-BTC\nnull\n-1h\nnow\nnull\nauto\n["price"]\nUTC',
    b'["KRW-BTC"]\nnull\nnull\nnull\n9\nrest\nnull\nUTC',
)

TARGETS = {
    **{
        f"candles {interval.replace('M', 'mo')}": Target(
            partial(wire.candles, market="KRW-BTC", interval=INTERVALS[interval]),
            seed(f"candles.{interval.replace('M', 'mo')}.json"),
            real="rest/candles/*.json",
        )
        for interval in ("1s", "1m", "1d", "1w", "1M", "1y")
    },
    "trades": bodies("trades", lambda body: wire.trades(body, "KRW-BTC")),
    "ticker": bodies("ticker", wire.ticker),
    "orderbook": bodies("orderbook", wire.orderbook),
    "instruments": bodies("instruments", wire.instruments),
    "markets": bodies("markets", wire.markets),
    "error": bodies("error", wire.error_message),
    "frames": Target(frames, FRAMES, real="ws/*"),
    "archive candles": Target(partial(archive_csv, file=CANDLE_FILE), (CANDLE_CSV,)),
    "archive trades": Target(partial(archive_csv, file=TRADE_FILE), (TRADE_CSV,)),
    "archive zip": Target(partial(archive_zip, file=CANDLE_FILE), (packed(**{CANDLE_FILE.member: CANDLE_CSV}),)),
    "cassette": Target(cassette, ((RECORDINGS / "version_1.yaml").read_bytes(),), 60, real="rest/cassettes/*"),
    "tape": Target(tape, ((RECORDINGS / "version_1.jsonl.gz").read_bytes(),), 300),
    "tape lines": Target(
        tape_lines,
        (
            b'{"tape":1,"recorded_at":"2026-03-01T03:30:30Z","origin":"stand-in","by":"a"}\n'
            b'{"at":1,"join":[["trade","KRW-BTC",0.0,30]],"known":[["trade","KRW-BTC",0.0,30]],"region":"kr"}\n'
            b'{"at":2,"offset":-9,"open":1}\n{"at":3,"sent":"[]"}\n{"at":4,"frame":"{}"}\n{"at":5,"frame64":"e30="}\n'
            b'{"at":6,"broken":"x"}\n{"at":7,"end":true}\n',
        ),
        500,
    ),
    "stored file": Target(stored_file, (STORED,), 100),
    "footer": Target(footer, (META,), 100),
    "lock": Target(lock, (write_lock(LOCK).encode(),)),
    "bundle": Target(
        bundle,
        (
            packed(
                **{
                    "bundle.json": json.dumps(MANIFEST).encode(),
                    "study.lock": write_lock(LOCK).encode(),
                    STORED_NAME: STORED,
                }
            ),
        ),
        300,
    ),
    "bundle manifest": Target(bundle_manifest, (json.dumps(MANIFEST).encode(),), 300),
    "names": Target(names, (b"study/part-1", "연구".encode())),
    "query": Target(query, QUERIES),
    "trade query": Target(trade_query, TRADE_QUERIES),
    "selection": Target(selection, (b"KRW-BTC\n1m\nnull\nUTC\nnull", b"null\n3h\nKRW\nAsia/Seoul\nnull")),
}
