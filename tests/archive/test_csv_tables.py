"""Archive files to Arrow: what is right is taken exactly, everything else is refused."""

from __future__ import annotations

import csv
import gzip
import io
import struct
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from upbit_frames.archive import zip_reader as archive_zip
from upbit_frames.archive.csv_tables import candles_zip, trades_zip
from upbit_frames.archive.files import day_file, file_of, month_file
from upbit_frames.core.intervals import INTERVALS, Span, to_micros
from upbit_frames.core.schema import arrow_schema
from upbit_frames.errors import InvalidInterval, InvalidMarket, SchemaError

DAY = to_micros(datetime(2026, 2, 3, tzinfo=UTC))
MINUTE = INTERVALS["1m"]
FILE = day_file("KRW-BTC", MINUTE, DAY)
STEP = MINUTE.step


def rows_of(table: Any) -> list[tuple[Any, ...]]:
    columns = [table["time"].cast("int64"), *table.columns[1:]]
    return list(zip(*(column.to_pylist() for column in columns), strict=True))


def good_rows(count: int = 5) -> list[tuple[float, ...]]:
    return [
        (DAY + i * STEP, 100.5 + i, 103.25 + i, 99.125, 101 + i, 0.1 * (i + 1), 12345.678901 * i) for i in range(count)
    ]


def read(data: bytes) -> Any:
    return candles_zip(data, "KRW-BTC", MINUTE, FILE.period)


# --- names --------------------------------------------------------------------------------------


def test_keys_are_as_published() -> None:
    assert FILE.key == "candle/KRW-BTC/daily/1m/2026/KRW-BTC_candle-1m_20260203.zip"
    assert (
        month_file("BTC-ETH", INTERVALS["4h"], DAY).key
        == "candle/BTC-ETH/monthly/240m/2026/BTC-ETH_candle-240m_202602.zip"
    )
    assert (
        month_file("KRW-BTC", INTERVALS["1d"], DAY).key
        == "candle/KRW-BTC/monthly/day/2026/KRW-BTC_candle-day_202602.zip"
    )
    assert day_file("KRW-BTC", None, DAY).key == "trade/KRW-BTC/daily/2026/KRW-BTC_trade_20260203.zip"
    assert day_file("KRW-BTC", None, DAY).member == "KRW-BTC_trade_20260203.csv"


@pytest.mark.parametrize("name", ["1w", "1M", "1y"])
def test_weeks_months_and_years_have_no_file(name: str) -> None:
    with pytest.raises(InvalidInterval):
        month_file("KRW-BTC", INTERVALS[name], DAY)


@pytest.mark.parametrize("market", ["../etc", "krw-btc", "KRW-BTC/..", "KRWBTC", "KRW-BTC\n"])
def test_no_path_is_made_from_a_strange_market(market: str) -> None:
    with pytest.raises(InvalidMarket):
        day_file(market, MINUTE, DAY)


def test_period_must_be_a_day_or_month() -> None:
    with pytest.raises(ValueError, match="neither a UTC day nor a calendar month"):
        file_of("KRW-BTC", MINUTE, Span(DAY, DAY + STEP))


# --- what is right ------------------------------------------------------------------------------


def test_candles_have_the_schema_and_the_values(make: Any) -> None:
    rows = good_rows()
    table = read(make.zip(FILE.member, make.candle_text(rows)))
    assert table.schema.equals(arrow_schema("candles"), check_metadata=True)
    assert rows_of(table) == rows


@settings(max_examples=60)
@given(data=st.data())
def test_any_row_order_column_order_and_dressing(make: Any, data: st.DataObject) -> None:
    slots = data.draw(st.lists(st.integers(0, 1439), unique=True, max_size=30))
    price = st.floats(1e-8, 1e9)
    rows = []
    for slot in slots:
        low, high = sorted(data.draw(st.tuples(price, price)))
        inside = st.floats(low, high)
        amount = st.floats(0, 1e14)
        rows.append(
            (DAY + slot * STEP, data.draw(inside), high, low, data.draw(inside), data.draw(amount), data.draw(amount))
        )
    names = data.draw(st.permutations([*make.candle_header.split(","), *data.draw(st.sampled_from([[], ["extra"]]))]))
    lines = [line.split(",") for line in make.candle_text(rows).splitlines()]
    at = {name: lines[0].index(name) for name in lines[0]}
    end = data.draw(st.sampled_from(["\n", "\r\n"]))
    text = end.join(
        [",".join(names), *(",".join(line[at[name]] if name in at else "x" for name in names) for line in lines[1:])]
    ) + data.draw(st.sampled_from(["", end]))  # fmt: skip
    encoded = text.encode(data.draw(st.sampled_from(["utf-8", "utf-8-sig"])))
    method = data.draw(st.sampled_from([zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED]))
    assert rows_of(read(make.zip(FILE.member, encoded, method))) == sorted(rows)


def test_quoted_fields_are_read(make: Any) -> None:
    text = make.candle_text(good_rows(2))
    quoted = "\n".join(",".join(f'"{field}"' for field in line.split(",")) for line in text.splitlines())
    assert rows_of(read(make.zip(FILE.member, quoted))) == good_rows(2)


def test_a_period_without_trades_is_an_empty_table(make: Any) -> None:
    for text in (make.candle_header, make.candle_header + "\n", make.candle_header + "\r\n\r\n"):
        table = read(make.zip(FILE.member, text))
        assert len(table) == 0
        assert table.schema.equals(arrow_schema("candles"), check_metadata=True)


def test_file_on_disk_equals_bytes(make: Any, tmp_path: Path) -> None:
    data = make.zip(FILE.member, make.candle_text(good_rows()))
    path = tmp_path / "whatever.zip"
    path.write_bytes(data)
    assert read(data).equals(candles_zip(path, "KRW-BTC", MINUTE, FILE.period))


def test_exponents_and_padding_are_numbers_too(make: Any) -> None:
    text = make.candle_header + "\n2026-02-03T00:00:00,1E-8,9.9E-7,0.00000001,5.0E-8,0E-8,0.00400000\n"
    assert rows_of(read(make.zip(FILE.member, text))) == [(DAY, 1e-8, 9.9e-7, 1e-8, 5e-8, 0.004, 0.0)]


def test_real_month_survives_the_round(make: Any, real_data: Path) -> None:
    with gzip.open(real_data / "history" / "KRW-BTC_1m_2025-09.csv.gz", "rt") as lines:
        source = [row for row in csv.reader(lines) if row[0].startswith("2025-09")]
    rows = []
    for stamp, open_, high, low, close, volume in source:
        moment = to_micros(datetime.fromisoformat(stamp).replace(tzinfo=UTC))
        rows.append((moment, float(open_), float(high), float(low), float(close), float(volume), 0.0))
    file = month_file("KRW-BTC", MINUTE, rows[0][0])
    table = candles_zip(make.zip(file.member, make.candle_text(rows)), "KRW-BTC", MINUTE, file.period)
    assert len(table) > 40_000
    assert rows_of(table) == rows


# --- trades -------------------------------------------------------------------------------------

TRADES = day_file("KRW-BTC", None, DAY)
MS = DAY // 1000


def read_trades(make: Any, rows: list[tuple[Any, ...]], **more: Any) -> Any:
    return trades_zip(make.zip(TRADES.member, make.trade_text(rows, **more)), "KRW-BTC", TRADES.period)


def test_trades_have_the_schema_and_the_values(make: Any) -> None:
    table = read_trades(make, [(7, MS + 5, 0.25, 100.0, "BID"), (0, MS, 2, 99.5, "ASK")])
    assert table.schema.equals(arrow_schema("trades"), check_metadata=True)
    assert rows_of(table) == [
        (MS * 1000, 99.5, 2.0, 199.0, "ask", None, 0),
        (MS * 1000 + 5000, 100.0, 0.25, 25.0, "bid", None, 7),
    ]


@settings(max_examples=40)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 2**62), st.integers(MS, MS + 86_400_000 - 1), st.floats(1e-8, 1e6), st.floats(1e-8, 1e9),
            st.sampled_from(["ASK", "BID"]),
        ),
        unique_by=lambda row: row[:2], max_size=40,
    )
)  # fmt: skip
def test_trades_come_sorted_by_time_and_seq(make: Any, rows: list[tuple[Any, ...]]) -> None:
    expected = [
        (ms * 1000, price, volume, price * volume, side.lower(), None, seq)
        for seq, ms, volume, price, side in sorted(rows, key=lambda row: (row[1], row[0]))
    ]
    assert rows_of(read_trades(make, rows)) == expected


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ((0, MS - 1, 1, 1, "BID"), "outside"),
        ((0, MS + 86_400_000, 1, 1, "BID"), "outside"),
        ((0, -(2**62), 1, 1, "BID"), "outside"),
        ((1, MS, 1, 1, "BID"), "twice"),
        ((0, MS, 1, 0, "BID"), "price or volume"),
        ((0, MS, -1, 1, "BID"), "price or volume"),
        ((0, MS, "nan", 1, "BID"), "price or volume"),
        ((0, MS, 1, "inf", "BID"), "price or volume"),
        ((0, MS, 1e308, 1e308, "BID"), "price or volume"),
        ((0, MS, 1, 1, "bid"), "ASK or BID"),
        ((0, MS, 1, 1, ""), "ASK or BID"),
        ((0.5, MS, 1, 1, "BID"), "cannot be read"),
        ((2**63, MS, 1, 1, "BID"), "cannot be read"),
        ((0, MS, "", 1, "BID"), "cannot be read"),
    ],
)
def test_impossible_trades_are_refused(make: Any, row: tuple[Any, ...], said: str) -> None:
    with pytest.raises(SchemaError, match=said) as caught:
        read_trades(make, [(1, MS, 1, 1, "BID"), row])
    assert caught.value.suggestion
    assert caught.value.file == TRADES.member


# --- what is wrong ------------------------------------------------------------------------------

OK = "100,103,99,101,5,1"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"2026-02-02T23:59:00,{OK}", "outside"),
        (f"2026-02-04T00:00:00,{OK}", "outside"),
        (f"2026-02-03T00:00:30,{OK}", "starts no 1m candle"),
        (f"2026-02-03T00:01:00.5,{OK}", "starts no 1m candle"),
        (f"2026-02-03T00:00:00,{OK}", "twice"),
        (f"2026-02-03T00:01:00Z,{OK}", "cannot be read"),
        (f"03.02.2026 00:01,{OK}", "cannot be read"),
        (f",{OK}", "cannot be read"),
        ("2026-02-03T00:01:00,100,100,99,101,5,1", "close outside of low and high"),
        ("2026-02-03T00:01:00,98,103,99,101,5,1", "open outside of low and high"),
        ("2026-02-03T00:01:00,0,0,0,0,5,1", "price not above zero"),
        ("2026-02-03T00:01:00,nan,103,99,101,5,1", "open: not a finite number"),
        ("2026-02-03T00:01:00,100,inf,99,101,5,1", "high: not a finite number"),
        ("2026-02-03T00:01:00,100,103,99,101,-5,1", "volume or value below zero"),
        ("2026-02-03T00:01:00,100,103,99,101,5,nan", "volume: not a finite number"),
        ("2026-02-03T00:01:00,100,103,99,101,,1", "cannot be read"),
        ("2026-02-03T00:01:00,100,103,99,101,5", "cannot be read"),
        ("2026-02-03T00:01:00,100,103,99,101,5,1,2", "cannot be read"),
        ("2026-02-03T00:01:00,1e999x,103,99,101,5,1", "cannot be read"),
    ],
)
def test_impossible_candles_are_refused(make: Any, line: str, said: str) -> None:
    text = f"{make.candle_header}\n2026-02-03T00:00:00,{OK}\n{line}\n"
    with pytest.raises(SchemaError, match=said) as caught:
        read(make.zip(FILE.member, text))
    assert caught.value.suggestion
    assert (caught.value.market, caught.value.interval, caught.value.file) == ("KRW-BTC", "1m", FILE.member)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "date_time_kst,open,high,low,close,acc_trade_price,acc_trade_volume",
        "date_time_utc,open,high,low,close,acc_trade_price",
        "date_time_utc,open,high,low,close,close,acc_trade_price,acc_trade_volume",
        f"2026-02-03T00:00:00,{OK}",
    ],
)
def test_wrong_columns_are_refused(make: Any, header: str) -> None:
    with pytest.raises(SchemaError, match="must have the columns"):
        read(make.zip(FILE.member, f"{header}\n2026-02-03T00:00:00,{OK}\n"))


def test_more_rows_than_the_period_has_are_refused_before_they_are_kept(make: Any) -> None:
    file = day_file("KRW-BTC", INTERVALS["4h"], DAY)
    text = make.candle_header + "\n" + "2026-02-03T00:00:00,1,1,1,1,1,1\n" * 7
    with pytest.raises(SchemaError, match="more than the 6 rows"):
        candles_zip(make.zip(file.member, text), "KRW-BTC", INTERVALS["4h"], file.period)


# --- zips ---------------------------------------------------------------------------------------


def test_not_a_zip_is_refused() -> None:
    for data in (b"", b"PK", b"<html>403 Forbidden</html>", b"PK\x05\x06" + b"\0" * 18, b"\0" * 70_000):
        with pytest.raises(SchemaError):
            read(data)


def test_every_cut_is_refused(make: Any) -> None:
    data = make.zip(FILE.member, make.candle_text(good_rows()))
    for length in range(len(data)):
        with pytest.raises(SchemaError):
            read(data[:length])


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6))
@example(changes=[(331, 1)])  # leads to before the beginning of the file
def test_damage_is_refused_or_harmless(make: Any, changes: list[tuple[int, int]]) -> None:
    data = bytearray(make.zip(FILE.member, make.candle_text(good_rows())))
    for position, value in changes:
        data[position % len(data)] = value
    try:
        table = read(bytes(data))
    except SchemaError:
        return
    assert rows_of(table) == good_rows()  # only bytes that say nothing were hit, a date for instance


@pytest.mark.parametrize(
    "name",
    [
        "../../x.csv",
        "/etc/passwd",
        "a/" + FILE.member,
        FILE.member + ".exe",
        FILE.stem,
        "KRW-ETH_candle-1m_20260203.csv",
    ],
)
def test_only_the_expected_member_is_read(make: Any, name: str) -> None:
    with pytest.raises(SchemaError, match="nothing else"):
        read(make.zip(name, make.candle_text(good_rows())))


def test_a_second_member_is_refused(make: Any) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(FILE.member, make.candle_text(good_rows()))
        archive.writestr("readme.txt", "hello")
    with pytest.raises(SchemaError, match="must hold a single file"):
        read(buffer.getvalue())


def test_encrypted_and_strangely_compressed_are_refused(make: Any) -> None:
    data = bytearray(make.zip(FILE.member, make.candle_text(good_rows())))
    at = data.rfind(b"PK\x01\x02")
    encrypted = bytearray(data)
    encrypted[at + 8] |= 1
    with pytest.raises(SchemaError, match="encrypted"):
        read(bytes(encrypted))
    with pytest.raises(SchemaError, match="compression method 12"):
        read(make.zip(FILE.member, make.candle_text(good_rows()), zipfile.ZIP_BZIP2))


def test_a_bomb_that_admits_it_is_not_inflated(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make.zip(FILE.member, make.candle_header + "\n" + "\n" * 50_000_000)
    assert len(data) < 100_000

    def never(*_: Any) -> Any:
        raise AssertionError("inflated")

    monkeypatch.setattr(archive_zip.Member, "_inflate", never)
    with pytest.raises(SchemaError, match="would inflate to"):
        read(data)


def test_a_bomb_that_lies_is_stopped_at_what_it_states(make: Any) -> None:
    text = (make.candle_header + "\n").encode() + b"\n" * 50_000_000
    data = bytearray(make.zip(FILE.member, text))
    at = data.rfind(b"PK\x01\x02")
    assert struct.unpack("<I", data[at + 24 : at + 28])[0] == len(text)
    data[at + 24 : at + 28] = struct.pack("<I", 5000)
    inflated = []

    def inflate() -> None:
        with archive_zip.Member(bytes(data), FILE.member, 1 << 20) as member:
            while piece := member.read(1000):
                inflated.append(len(piece))

    with pytest.raises(SchemaError, match="more than the 5,000"):
        inflate()
    assert sum(inflated) <= 6000
    with pytest.raises(SchemaError):
        read(bytes(data))


def test_a_giant_directory_is_not_read(make: Any) -> None:
    data = bytearray(make.zip(FILE.member, make.candle_text(good_rows())))
    at = data.rfind(b"PK\x05\x06")
    data[at + 12 : at + 16] = struct.pack("<I", 1 << 30)
    with pytest.raises(SchemaError, match="directory"):
        read(bytes(data))


def test_both_inflaters_agree(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import zlib

    isal = pytest.importorskip("isal.isal_zlib")
    data = make.zip(FILE.member, make.candle_text(good_rows(1440)))
    tables = []
    for engine in (zlib, isal):
        monkeypatch.setattr(archive_zip, "_zlib", engine)
        tables.append(read(data))
        with pytest.raises(SchemaError):
            read(data[: len(data) // 2])
    assert tables[0].equals(tables[1])
