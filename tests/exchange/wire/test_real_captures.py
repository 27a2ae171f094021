"""The real captures, all of REST: what nobody here wrote must normalise too."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from upbit_frames.core.intervals import INTERVALS
from upbit_frames.core.schema import arrow_schema
from upbit_frames.errors import SchemaError
from upbit_frames.exchange import wire as normalize

KINDS = {
    "seconds": "1s", "minutes": "1m", "days": "1d", "weeks": "1w", "months": "1M", "years": "1y",
}  # fmt: skip


@pytest.fixture
def recorded(real_data: Path) -> Callable[[str], bytes]:
    """The body of a cassette's only answer."""

    def body(name: str) -> bytes:
        text = (real_data / "rest" / "cassettes" / f"get_{name}.yaml").read_text(encoding="utf-8")
        (one,) = yaml.safe_load(text)["interactions"]
        return one["response"]["body"]["string"].encode()

    return body


def numbers(table: pa.Table) -> list[tuple[float, ...]]:
    return [tuple(one.values())[1:] for one in table.to_pylist()]


@pytest.mark.parametrize("kind", KINDS)
def test_candle_cassettes(recorded: Callable[[str], bytes], kind: str):
    table = normalize.candles(recorded(f"candles_{kind}"), "KRW-BTC", INTERVALS[KINDS[kind]])
    assert table.schema.equals(arrow_schema("candles"), check_metadata=True)
    (one,) = json.loads(recorded(f"candles_{kind}"))
    assert table["time"].to_pylist() == [datetime.fromisoformat(one["candle_date_time_utc"] + "+00:00")]
    assert numbers(table)[0][3:] == (one["trade_price"], one["candle_acc_trade_volume"], one["candle_acc_trade_price"])


def test_the_day_candle_is_not_taken_for_another_interval(recorded: Callable[[str], bytes]):
    with pytest.raises(SchemaError, match="starts no 1y candle"):
        normalize.candles(recorded("candles_days"), "KRW-BTC", INTERVALS["1y"])
    with pytest.raises(SchemaError, match="1 is none of the values it can have here"):
        normalize.candles(recorded("candles_minutes"), "KRW-BTC", INTERVALS["5m"])


def pages(real_data: Path, name: str) -> bytes:
    return (real_data / "rest" / "candles" / f"minutes1_KRW-BTC_2021-01-30_{name}.json").read_bytes()


def test_the_full_page_of_raw_digits(real_data: Path):
    body = pages(real_data, "page200")
    assert b"37270000.00000000" in body
    table = normalize.candles(body, "KRW-BTC", INTERVALS["1m"])
    times = table["time"].to_pylist()
    assert times == [datetime(2021, 1, 30, 10, 28, tzinfo=UTC) + timedelta(minutes=n) for n in range(200)]
    sent = json.loads(body)[::-1]
    assert table["high"].to_pylist() == [one["high_price"] for one in sent]
    assert table["value"].to_pylist() == [one["candle_acc_trade_price"] for one in sent]


def joined(first: bytes, second: bytes) -> bytes:
    """The rows of both pages in a single body."""
    return first.strip()[:-1] + b"," + second.strip()[1:]


def test_repeated_candles_are_returned_once(real_data: Path):
    body = joined(pages(real_data, "page200"), pages(real_data, "page50"))
    table = normalize.candles(body, "KRW-BTC", INTERVALS["1m"])
    assert len(table) == 218
    assert table["time"][0].as_py() == datetime(2021, 1, 30, 10, 10, tzinfo=UTC)


def test_a_forming_candle_is_not_mixed_with_its_later_self(real_data: Path):
    body = joined(pages(real_data, "page200"), pages(real_data, "same_forming_candle_17s_earlier"))
    with pytest.raises(SchemaError, match="twice"):
        normalize.candles(body, "KRW-BTC", INTERVALS["1m"])


def test_more_raw_candles(real_data: Path):
    folder = real_data / "rest" / "candles"
    body = (folder / "rest_minutes1_KRW-BTC_2022-09-01_raw.json").read_bytes()
    assert normalize.candles(body, "KRW-BTC", INTERVALS["1m"])["time"][-1].as_py().minute == 23
    body = (folder / "years_raw_digits.json").read_bytes()
    assert 37189906239683.17623 in normalize.candles(body, "KRW-BTC", INTERVALS["1y"])["value"].to_pylist()
    lines = (folder / "rest_candles_2021-2023_raw.jsonl").read_bytes().splitlines()
    for line in lines:
        one = json.loads(line)
        name = (
            "1m" if "unit" in one else "1d" if "prev_closing_price" in one
            else "1y" if one["first_day_of_period"].endswith("01-01") else "1w"
        )  # fmt: skip
        table = normalize.candles(b"[" + line + b"]", one["market"], INTERVALS[name])
        assert table["close"].to_pylist() == [one["trade_price"]]
    assert any(b'"converted_trade_price":null' in line for line in lines)


@pytest.mark.parametrize("year", [2018, 2020])
def test_day_candles_with_odd_stamps_and_null_changes(real_data: Path, year: int):
    """392 days a file; the author of the capture cut the time of day from the UTC column."""
    with (real_data / "rest" / "candles" / f"days_KRW-BTC_{year}.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    strings = ("market", "candle_date_time_utc", "candle_date_time_kst")
    sent: list[dict[str, Any]] = []
    for row in rows:
        one = {key: value if key in strings else float(value) if value else None for key, value in row.items()}
        sent.append(one | {"candle_date_time_utc": row["candle_date_time_utc"] + "T00:00:00"})
    assert any(one["change_price"] is None for one in sent)
    table = normalize.candles(json.dumps(sent[::-1]).encode(), "KRW-BTC", INTERVALS["1d"])
    assert len(table) == len(sent) == 392
    assert table["low"].to_pylist() == [one["low_price"] for one in sent]


def test_seconds_of_a_thin_market(real_data: Path):
    text = (real_data / "rest/candles/seconds_KRW-ELF_2025-09-25_with_empty_rows.txt").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines(), delimiter="\t"))
    strings = ("market", "candle_date_time_utc", "candle_date_time_kst")
    kept = [row for row in rows if row["trade_price"]]
    sent = [
        {key: value if key in strings else float(value) for key, value in row.items() if value and key != "created_at"}
        for row in kept
    ]
    table = normalize.candles(json.dumps(sent).encode(), "KRW-ELF", INTERVALS["1s"])
    assert len(table) == 6


# --- trades --------------------------------------------------------------------------------------


def test_trade_captures(recorded: Callable[[str], bytes], real_data: Path):
    table = normalize.trades(recorded("trades"), "KRW-BTC")
    assert table.schema.equals(arrow_schema("trades"), check_metadata=True)
    assert table["sequential_id"].to_pylist() == [17732400590950000]
    assert table["time"].to_pylist() == [datetime(2026, 3, 11, 14, 40, 59, 95000, tzinfo=UTC)]
    over_rest = normalize.trades((real_data / "ws" / "one_trade_over_rest.json").read_bytes(), "KRW-BTC")
    assert over_rest.to_pylist() == [
        {
            "time": datetime(2026, 7, 30, 7, 4, 3, 779000, tzinfo=UTC),
            "price": 91361000.0,
            "volume": 0.01275549,
            "value": 91361000.0 * 0.01275549,
            "side": "ask",
            "sequential_id": 17853950437790001,
            "seq": None,
        }
    ]


def test_two_trades_equal_but_for_the_id_stay_two(real_data: Path):
    body = (real_data / "rest/other/two_trades_equal_but_sequential_id.json").read_bytes()
    table = normalize.trades(body, "KRW-BTC")
    assert table["sequential_id"].to_pylist() == [17853950411240000, 17853950411240001]
    assert (
        table.select(["time", "price", "volume", "side"])
        .slice(0, 1)
        .equals(table.select(["time", "price", "volume", "side"]).slice(1, 1))
    )


def test_trades_of_2018_have_no_id_and_say_so(real_data: Path):
    body = (real_data / "rest/other/trades_BTC-ETH_2018-07-02.json").read_bytes()
    with pytest.raises(SchemaError, match="'sequential_id' is missing") as caught:
        normalize.trades(body, "BTC-ETH")
    assert caught.value.path == "$[0].sequential_id"
    # With an id given to each, everything else of them is accepted.
    rows = [one | {"sequential_id": n} for n, one in enumerate(json.loads(body))]
    table = normalize.trades(json.dumps(rows).encode(), "BTC-ETH")
    assert len(table) == 100
    assert min(table["price"].to_pylist()) < 0.1


# --- quotes and lists ----------------------------------------------------------------------------


def test_every_krw_ticker(recorded: Callable[[str], bytes]):
    body = recorded("tickers_by_quote")
    sent = json.loads(body)
    table = normalize.ticker(body)
    assert table.schema.equals(arrow_schema("ticker"), check_metadata=True)
    assert len(table) == len(sent) == 244
    assert table["market"].to_pylist() == [one["market"] for one in sent]
    assert table["change_price"].to_pylist() == [one["signed_change_price"] for one in sent]
    assert all(column.null_count == 0 for column in table.columns)
    amounts = table["value_24h"].to_pylist()
    assert amounts == sorted(amounts, reverse=True)


def test_two_tickers(recorded: Callable[[str], bytes]):
    table = normalize.ticker(recorded("tickers"))
    assert table.slice(0, 1).select(["market", "price", "value"]).to_pylist() == [
        {"market": "KRW-BTC", "price": 103493000.0, "value": 104890185475.22821}
    ]


def test_the_order_book(recorded: Callable[[str], bytes]):
    table = normalize.orderbook(recorded("orderbooks"))
    (sent,) = json.loads(recorded("orderbooks"))
    assert table["level"].to_pylist() == list(range(30))
    assert table["bid_price"].to_pylist() == [one["bid_price"] for one in sent["orderbook_units"]]
    assert table["ask_size"].to_pylist() == [one["ask_size"] for one in sent["orderbook_units"]]
    assert set(table["grouping"].to_pylist()) == {0.0}


def test_instruments(recorded: Callable[[str], bytes]):
    table = normalize.instruments(recorded("orderbook_instruments"))
    assert table["tick_size"].to_pylist()[0] == 1000.0
    assert table["supported_levels"].to_pylist()[0][:2] == [0.0, 10000.0]


def test_the_market_list_of_2021(real_data: Path):
    text = (real_data / "rest/other/market_all_2021-04-17.json").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if "/v1/market/all" in line)
    table = normalize.markets(line[line.index("[") :].encode())
    assert len(table) == 294
    assert table.slice(0, 1).to_pylist() == [
        {
            "market": "KRW-BTC",
            "korean_name": "비트코인",
            "english_name": "Bitcoin",
            "warning": None,
            "cautions": None,
        }
    ]


def test_a_usdt_market_with_long_digits(real_data: Path):
    """The capture quotes every number; without the quotes the digits are the wire's."""
    kinds = json.loads((real_data / "rest/other/USDT-BTC_2024-03-13.json").read_text(encoding="utf-8"))
    names = re.compile(r'"((?!trade_(?:date|time)(?:_kst|_utc)?")[a-z0-9_]+)": "(-?[0-9.]+)"')

    def unquoted(key: str) -> bytes:
        return names.sub(r'"\1": \2', json.dumps(kinds[key])).encode()

    assert normalize.trades(unquoted("trades_ticks"), "USDT-BTC")["sequential_id"].to_pylist() == [17103275719220001]
    ticker = normalize.ticker(unquoted("ticker"))
    assert ticker["prev_close"].to_pylist() == [71126.14598036]
    (candles,) = [key for key in kinds if "candle" in key]
    assert normalize.candles(unquoted(candles), "USDT-BTC", INTERVALS["1h"])["close"].to_pylist()[0] > 70000
    with pytest.raises(SchemaError, match="expected `"):
        normalize.ticker(json.dumps(kinds["ticker"]).encode())
