"""Every endpoint over a real socket: order, clamps, defaults, refusals, headers."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from itertools import pairwise

import httpx
import pytest
import yaml

from upbit_frames.core.intervals import INTERVALS, from_micros
from upbit_frames.testing import Exchange, FixedTrades, Listing
from upbit_frames.testing.server.virtual_clock import moment

NOW = moment("2026-03-01T03:30:00Z")
DAY = 86_400_000_000
KINDS = [*INTERVALS.values()]


def text(time_us: int) -> str:
    return from_micros(time_us).strftime("%Y-%m-%dT%H:%M:%SZ")


def path_of(interval) -> str:
    return interval.path


# --- shapes ---------------------------------------------------------------------------------------


CAPTURES = {
    "get_candles_seconds": ("candles/seconds", {"market": "KRW-BTC"}),
    "get_candles_minutes": ("candles/minutes/1", {"market": "KRW-BTC"}),
    "get_candles_days": ("candles/days", {"market": "KRW-BTC"}),
    "get_candles_weeks": ("candles/weeks", {"market": "KRW-BTC"}),
    "get_candles_months": ("candles/months", {"market": "KRW-BTC"}),
    "get_candles_years": ("candles/years", {"market": "KRW-BTC"}),
    "get_trades": ("trades/ticks", {"market": "KRW-BTC"}),
    "get_tickers": ("ticker", {"markets": "KRW-BTC"}),
    "get_tickers_by_quote": ("ticker/all", {"quote_currencies": "KRW"}),
    "get_orderbooks": ("orderbook", {"markets": "KRW-BTC"}),
    "get_orderbook_instruments": ("orderbook/instruments", {"markets": "KRW-BTC"}),
}


@pytest.mark.parametrize("name", CAPTURES)
def test_keys_types_and_headers_are_those_of_the_real_answer(real_data, ask, name):
    tape = yaml.safe_load((real_data / "rest" / "cassettes" / f"{name}.yaml").read_text())
    response = tape["interactions"][0]["response"]
    real = json.loads(response["body"]["string"])
    path, params = CAPTURES[name]
    reply = ask(path, **params)
    mine = reply.json()
    assert list(mine[0]) == list(real[0])
    for key, value in real[0].items():
        if not isinstance(value, (int, float)):
            assert type(mine[0][key]) is type(value), key
    if "orderbook_units" in real[0]:
        assert [list(one) for one in mine[0]["orderbook_units"]] == [list(one) for one in real[0]["orderbook_units"]]
    theirs = {key.lower(): value[0] for key, value in response["headers"].items()}
    # The recorder unpacked the body and added a length to what had come in chunks.
    framing = {"connection", "content-length", "transfer-encoding", "date", "etag", "remaining-req", "vary"}
    for key in set(theirs) - framing:
        assert reply.headers[key] == theirs[key], key
    assert reply.headers["vary"].replace(" ", "").lower() == theirs["vary"].replace(" ", "").lower() or (
        name == "get_orderbook_instruments"
    )
    assert reply.headers["remaining-req"].split(";")[:2] == theirs["remaining-req"].split(";")[:2]
    assert ("transfer-encoding" in reply.headers) == ("transfer-encoding" in theirs)
    assert reply.headers["etag"] == f'W/"0{hashlib.md5(reply.content, usedforsecurity=False).hexdigest()}"'


def test_the_date_is_the_virtual_clock(ask):
    assert parsedate_to_datetime(ask("market/all").headers["date"]) == from_micros(NOW)


def test_gzip_is_sent_on_request(unlimited):
    connection = http.client.HTTPConnection(unlimited.rest_url.removeprefix("http://"))
    try:
        bodies = {}
        for encoding in ("identity", "gzip"):
            headers = {"Accept-Encoding": encoding}
            connection.request("GET", "/v1/candles/minutes/1?market=KRW-BTC&count=200", headers=headers)
            reply = connection.getresponse()
            assert (reply.getheader("Content-Encoding") == "gzip") == (encoding == "gzip")
            bodies[encoding] = reply.read()  # over one connection: it is kept alive
    finally:
        connection.close()
    assert gzip.decompress(bodies["gzip"]) == bodies["identity"]
    assert len(bodies["gzip"]) * 3 < len(bodies["identity"])


# --- candles --------------------------------------------------------------------------------------


@pytest.mark.parametrize("interval", KINDS, ids=str)
def test_pages_join_to_the_truth(unlimited, rows, interval):
    market, to, found = "KRW-NEW", NOW, []
    for _ in range(3):
        page = rows(path_of(interval), market=market, to=text(to), count=50)
        if not page:
            break
        times = [moment(row["candle_date_time_utc"]) for row in page]
        assert times == sorted(times, reverse=True)
        assert times[0] < to
        found += page
        to = times[-1]
    truth = unlimited.market.candles(market, interval, to, NOW)
    assert len(found) == len(truth)
    prices = {"opening_price": "open", "high_price": "high", "low_price": "low", "trade_price": "close"}
    for row, place in zip(found, range(len(truth) - 1, -1, -1), strict=True):
        assert moment(row["candle_date_time_utc"]) == truth.time[place]
        kst = datetime.fromisoformat(row["candle_date_time_kst"]) - timedelta(hours=9)
        assert kst.isoformat() == row["candle_date_time_utc"]
        for field, column in prices.items():
            assert Decimal(row[field]).scaleb(8) == int(getattr(truth, column)[place])
        assert Decimal(row["candle_acc_trade_volume"]).scaleb(8) == truth.volume[place]
        assert Decimal(row["candle_acc_trade_price"]).scaleb(8) == truth.value[place]
        assert ("unit" in row) == (interval.unit is not None)
        if interval.unit:
            assert row["unit"] == interval.unit
        if "first_day_of_period" in row:
            assert row["first_day_of_period"] == row["candle_date_time_utc"][:10]


def test_to_is_exclusive_in_every_spelling(rows):
    newest = rows("candles/minutes/1", market="KRW-BTC", to="2026-02-27T12:00:30Z")[0]["candle_date_time_utc"]
    assert newest == "2026-02-27T12:00:00"
    for spelling in ("2026-02-27T12:00:00Z", "2026-02-27 12:00:00", "2026-02-27T12:00:00", "2026-02-27T21:00:00+09:00"):
        assert rows("candles/minutes/1", market="KRW-BTC", to=spelling)[0]["candle_date_time_utc"] == (
            "2026-02-27T11:59:00"
        )


def test_a_day_is_whole_however_to_cuts_it(rows):
    cut = rows("candles/days", market="KRW-BTC", to="2026-02-20T12:59:59Z")
    assert cut == rows("candles/days", market="KRW-BTC", to="2026-02-21T00:00:00Z")
    assert cut[0]["candle_date_time_utc"] == "2026-02-20T00:00:00"


@pytest.mark.parametrize(
    ("path", "most"),
    [("candles/minutes/1", 200), ("candles/seconds", 200), ("candles/days", 200), ("trades/ticks", 500)],
)
def test_counts_default_to_one_and_are_clamped(rows, path, most):
    assert len(rows(path, market="KRW-BTC")) == 1
    assert len(rows(path, market="KRW-BTC", count=most)) == most
    assert len(rows(path, market="KRW-BTC", count=most + 1)) == most
    assert len(rows(path, market="KRW-BTC", count=100_000)) == most


def test_days_know_the_day_before(rows):
    days = rows("candles/days", market="KRW-NEW", count=200)
    assert days[-1]["candle_date_time_utc"] == "2026-01-15T00:00:00"
    assert days[-1]["prev_closing_price"] == days[-1]["opening_price"]
    for day, before in pairwise(days):
        assert day["prev_closing_price"] == before["trade_price"]
        change = Decimal(day["trade_price"]) - Decimal(before["trade_price"])
        assert day["change_price"] is None if change == 0 else Decimal(day["change_price"]) == change
        exact = change / Decimal(before["trade_price"])
        assert abs(Decimal(day["change_rate"]) - exact) <= Decimal("5.1e-11")
    assert "converted_trade_price" not in days[0]


def test_closes_are_converted(rows):
    won = rows("candles/days", market="KRW-BTC", count=3, converting_price_unit="KRW")
    assert [row["converted_trade_price"] for row in won] == [None] * 3
    coins = rows("candles/days", market="BTC-ETH", to="2026-02-28T00:00:00Z", convertingPriceUnit="KRW")
    bridge = rows("candles/days", market="KRW-BTC", to="2026-02-28T00:00:00Z")
    assert coins[0]["candle_date_time_utc"] == bridge[0]["candle_date_time_utc"]
    exact = Decimal(coins[0]["trade_price"]) * Decimal(bridge[0]["trade_price"])
    assert abs(Decimal(coins[0]["converted_trade_price"]) - exact) <= Decimal("5e-9")


def test_seconds_reach_back_three_months_only(rows):
    assert rows("candles/seconds", market="KRW-BTC", to="2025-12-05T00:00:00Z", count=5)
    assert rows("candles/seconds", market="KRW-BTC", to="2025-11-20T00:00:00Z", count=5) == []
    edge = rows("candles/seconds", market="KRW-BTC", to="2025-11-29T03:31:00Z", count=200)
    assert 0 < len(edge) < 200


def test_nothing_to_return_is_an_empty_list(rows):
    assert rows("candles/minutes/1", market="KRW-EMPTY") == []
    assert rows("candles/minutes/1", market="KRW-NEW", to="2026-01-15T07:00:00Z") == []
    assert rows("ticker", markets="KRW-EMPTY,KRW-BTC")[0]["market"] == "KRW-BTC"
    assert rows("trades/ticks", market="KRW-EMPTY") == []
    assert rows("trades/ticks", market="KRW-QUIET", days_ago=7, cursor=1) == []


# --- trades ---------------------------------------------------------------------------------------


def test_a_day_of_trades_by_cursor_is_the_days_candles(rows):
    found, cursor = [], {}
    while page := rows("trades/ticks", market="KRW-DOGE", days_ago=2, count=500, **cursor):
        found += page
        cursor = {"cursor": page[-1]["sequential_id"]}
    ids = [row["sequential_id"] for row in found]
    assert ids == sorted(set(ids), reverse=True)
    assert {row["trade_date_utc"] for row in found} == {"2026-02-27"}
    day = rows("candles/days", market="KRW-DOGE", to="2026-02-28T00:00:00Z")[0]
    volumes = sum(Decimal(row["trade_volume"]) for row in found)
    values = sum(Decimal(row["trade_volume"]) * Decimal(row["trade_price"]) for row in found)
    assert volumes == Decimal(day["candle_acc_trade_volume"])
    assert abs(values - Decimal(day["candle_acc_trade_price"])) <= Decimal("5e-9")
    assert (found[-1]["trade_price"], found[0]["trade_price"]) == (day["opening_price"], day["trade_price"])
    assert {row["prev_closing_price"] for row in found} == {day["prev_closing_price"]}
    for row in found:
        assert Decimal(row["change_price"]) == Decimal(row["trade_price"]) - Decimal(row["prev_closing_price"])
        stamp = datetime.fromtimestamp(row["timestamp"] // 1000, UTC)
        assert (row["trade_date_utc"], row["trade_time_utc"]) == (f"{stamp:%Y-%m-%d}", f"{stamp:%H:%M:%S}")
        assert row["sequential_id"] // 10_000 == row["timestamp"]


def test_every_minute_of_trades_is_its_candle(rows):
    """The candle of a minute is exactly its trades."""
    candles = rows("candles/minutes/1", market="KRW-BTC", to="2026-02-28T10:00:00Z", count=200)
    found, cursor = [], {}
    while page := rows("trades/ticks", market="KRW-BTC", days_ago=1, to="10:00:00", count=500, **cursor):
        found += page
        cursor = {"cursor": found[-1]["sequential_id"]}
    for candle in candles:
        inside = [row for row in found if candle["candle_date_time_utc"].endswith(f"T{row['trade_time_utc'][:5]}:00")][
            ::-1
        ]
        prices = [Decimal(row["trade_price"]) for row in inside]
        assert [Decimal(candle[name]) for name in ("opening_price", "high_price", "low_price", "trade_price")] == [
            prices[0], max(prices), min(prices), prices[-1],
        ]  # fmt: skip
        volume = sum(Decimal(row["trade_volume"]) for row in inside)
        assert volume == Decimal(candle["candle_acc_trade_volume"])
        value = sum(Decimal(row["trade_volume"]) * Decimal(row["trade_price"]) for row in inside)
        assert abs(value - Decimal(candle["candle_acc_trade_price"])) <= Decimal("5e-9")


def test_to_cuts_trades_before_that_second(rows):
    one = rows("trades/ticks", market="KRW-BTC", days_ago=1, to="120000", count=1)[0]
    assert one["trade_time_utc"] < "12:00:00"
    assert [one] == rows("trades/ticks", market="KRW-BTC", daysAgo=1, to="12:00:00", count=1)
    colon = one["trade_time_utc"]
    assert rows("trades/ticks", market="KRW-BTC", days_ago=1, to=colon, count=1)[0]["trade_time_utc"] < colon


def test_trades_are_of_one_day(rows):
    today = rows("trades/ticks", market="BTC-XRP", count=500)
    assert {row["trade_date_utc"] for row in today} <= {"2026-03-01"}
    days = [rows("trades/ticks", market="BTC-XRP", count=500, days_ago=ago) for ago in range(1, 8)]
    for ago, listed in enumerate(days, 1):
        assert {row["trade_date_utc"] for row in listed} <= {str((from_micros(NOW - ago * DAY)).date())}
    assert sum(map(len, days)) > 5


# --- quotes ---------------------------------------------------------------------------------------


def test_tickers_come_as_requested_and_all_by_amount(rows):
    assert [row["market"] for row in rows("ticker", markets="KRW-XRP,usdt-btc,KRW-BTC")] == [
        "KRW-XRP", "USDT-BTC", "KRW-BTC",
    ]  # fmt: skip
    won = rows("ticker/all", quote_currencies="KRW")
    amounts = [Decimal(row["acc_trade_price_24h"]) for row in won]
    assert amounts == sorted(amounts, reverse=True)
    assert {row["market"].split("-")[0] for row in rows("ticker/all", quote_currencies="BTC,USDT")} == {"BTC", "USDT"}
    assert rows("ticker/all", quote_currencies="XYZ") == []
    for row in won:
        assert (
            row["change"]
            == {1: "RISE", 0: "EVEN", -1: "FALL"}[
                (Decimal(str(row["signed_change_price"])) > 0) - (Decimal(str(row["signed_change_price"])) < 0)
            ]
        )
        assert Decimal(str(row["change_price"])) == abs(Decimal(str(row["signed_change_price"])))


def test_an_even_ticker_has_plain_zeros():
    listing = Listing("KRW-FLAT", "평평", "Flat", 100, 0, 0, listed=0)
    day, trades = NOW // DAY * DAY // 1000, []
    for shift in (-3_600_000, 1_000):
        trades.append((day + shift, "100", "1.5", "bid"))
    with Exchange(markets=[FixedTrades(listing, trades)], now=NOW, limits=False) as exchange:
        row = httpx.get(f"{exchange.rest_url}/v1/ticker?markets=KRW-FLAT").text
        candle = httpx.get(f"{exchange.rest_url}/v1/candles/days?market=KRW-FLAT").text
        trade = httpx.get(f"{exchange.rest_url}/v1/trades/ticks?market=KRW-FLAT").text
    assert '"change":"EVEN","change_price":0,"change_rate":0,"signed_change_price":0,"signed_change_rate":0,' in row
    assert '"acc_trade_price":150.0000000000000000,"acc_trade_price_24h":300,"acc_trade_volume":1.50000000,' in row
    assert '"change_price":null,"change_rate":0}' in candle
    assert '"change_price":0E-8,' in trade


def test_books_have_the_requested_depth_and_padding(rows):
    for count, shown in ((None, 30), (1, 1), (7, 7), (31, 30)):
        row = rows("orderbook", markets="KRW-BTC", **({"count": count} if count else {}))[0]
        units = row["orderbook_units"]
        assert len(units) == shown
        for side in ("ask", "bid"):
            total = sum(Decimal(str(one[f"{side}_size"])) for one in units)
            assert Decimal(str(row[f"total_{side}_size"])) == total
    thin = rows("orderbook", markets="BTC-XRP")[0]["orderbook_units"]
    assert thin[-1] == {"bid_price": 0, "bid_size": 0, "ask_price": 0, "ask_size": 0}
    assert rows("orderbook", markets="KRW-EMPTY")[0]["total_ask_size"] == 0


def test_books_are_grouped_where_the_market_allows(rows):
    row = rows("orderbook", markets="KRW-BTC", level="100000")[0]
    assert row["level"] == 100_000
    assert all(one["ask_price"] % 100_000 == 0 for one in row["orderbook_units"])
    assert rows("orderbook", markets="BTC-ETH", level="100000") == []
    assert [one["market"] for one in rows("orderbook", markets="BTC-ETH,KRW-BTC", level="10000")] == ["KRW-BTC"]
    assert rows("orderbook", markets="KRW-SHIB", level="0.001")[0]["level"] == "0.001"


def test_instruments_and_the_old_levels(rows):
    assert rows("orderbook/instruments", markets="USDT-BTC") == [
        {"market": "USDT-BTC", "quote_currency": "USDT", "tick_size": "0.01", "supported_levels": ["0"]}
    ]
    levels = ["0", "10000", "100000", "1000000", "10000000", "100000000"]
    found = rows("orderbook/instruments", markets="KRW-BTC")[0]
    assert (found["tick_size"], found["supported_levels"]) == ("1000", levels)
    assert rows("orderbook/supported_levels", markets="KRW-BTC")[0]["supported_levels"] == [int(one) for one in levels]


def test_the_market_list(rows):
    plain = rows("market/all")
    assert plain[0] == {"market": "KRW-BTC", "korean_name": "비트코인", "english_name": "Bitcoin"}
    codes = [row["market"] for row in plain]
    assert "KRW-GONE" not in codes
    assert {"KRW-EMPTY", "BTC-ETH", "USDT-DOGE"} <= set(codes)
    detailed = {row["market"]: row for row in rows("market/all", is_details="true")}
    assert list(detailed) == codes
    assert rows("market/all", isDetails="true") == list(detailed.values())
    caution = detailed["KRW-NEW"]["market_event"]["caution"]
    assert list(caution) == [
        "PRICE_FLUCTUATIONS", "TRADING_VOLUME_SOARING", "DEPOSIT_AMOUNT_SOARING", "GLOBAL_PRICE_DIFFERENCES",
        "CONCENTRATION_OF_SMALL_ACCOUNTS",
    ]  # fmt: skip
    assert [name for name, set_ in caution.items() if set_] == ["PRICE_FLUCTUATIONS", "GLOBAL_PRICE_DIFFERENCES"]


# --- refusals -------------------------------------------------------------------------------------


def test_refusals_are_word_for_word(real_data, unlimited):
    checked = 0
    for line in (real_data / "rest" / "other" / "errors_2026-09-23.jsonl").read_text().splitlines():
        real = json.loads(line)
        if not real["request"].startswith("GET "):
            continue
        reply = httpx.get(unlimited.rest_url + real["request"].removeprefix("GET "))
        assert (reply.status_code, reply.text) == (real["status"], real["body"])
        assert ("remaining-req" in reply.headers) == real["remaining_req_header"]
        checked += 1
    assert checked == 6


MISSING = "Missing request parameter error. Check the required parameters!"
MISMATCH = "Type mismatch error. Check the parameters type!"
INVALID = "Invalid parameter. Check the given value!"


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("candles/minutes/1", 400, MISSING),
        ("trades/ticks?count=5", 400, MISSING),
        ("ticker", 400, MISSING),
        ("ticker/all", 400, MISSING),
        ("orderbook/instruments", 400, MISSING),
        ("candles/days?market=KRW-BTC&count=abc", 400, MISMATCH),
        ("candles/days?market=KRW-BTC&count=1.5", 400, MISMATCH),
        ("candles/minutes/x?market=KRW-BTC", 400, MISMATCH),
        ("market/all?is_details=perhaps", 400, MISMATCH),
        ("trades/ticks?market=KRW-BTC&cursor=x", 400, MISMATCH),
        ("candles/minutes/2?market=KRW-BTC", 400, "specified unit is not valid."),
        ("candles/minutes/120?market=KRW-BTC", 400, "specified unit is not valid."),
        ("candles/days?market=KRW-BTC&count=0", 400, INVALID),
        ("candles/days?market=KRW-BTC&count=-1", 400, INVALID),
        ("candles/days?market=KRW-BTC&to=yesterday", 400, INVALID),
        ("candles/days?market=KRW-BTC&to=2026-02-30T00:00:00Z", 400, INVALID),
        ("candles/days?market=KRW-BTC&to=2026-02-27T21:00:00+09:00", 400, INVALID),
        ("trades/ticks?market=KRW-BTC&days_ago=8", 400, INVALID),
        ("trades/ticks?market=KRW-BTC&to=2500", 400, INVALID),
        ("trades/ticks?market=KRW-BTC&to=246060", 400, INVALID),
        ("orderbook?markets=KRW-BTC&level=ten", 400, INVALID),
        ("candles/minutes/1?market=KRW-NOPE", 404, "Code not found"),
        ("candles/minutes/1?market=KRW-GONE", 404, "Code not found"),
        ("candles/minutes/1?market=KRW-BTC,KRW-ETH", 404, "Code not found"),
        ("trades/ticks?market=KRW-BTC,KRW-ETH", 404, "Code not found"),
        ("ticker?markets=KRW-BTC,KRW-GONE,KRW-ETH", 404, "Code not found"),
        ("orderbook/instruments?markets=KRW-BTC,", 404, "Code not found"),
    ],
)
def test_refusals(ask, path, status, message):
    reply = ask(path)
    assert reply.status_code == status
    assert reply.text == json.dumps({"error": {"name": status, "message": message}}, separators=(",", ":"))
    assert reply.headers["remaining-req"]


@pytest.mark.parametrize("path", ["candles", "candles/hours", "candles/minutes", "candles/minutes/1/2", "market/", ""])
def test_unknown_paths_are_the_gateways(ask, path):
    reply = ask(path)
    assert (reply.status_code, reply.json()["error"]["name"]) == (404, "not_found")
    assert "remaining-req" not in reply.headers


def test_only_get_leads_anywhere(unlimited):
    assert httpx.post(f"{unlimited.rest_url}/v1/market/all", content=b"x").status_code == 404


@pytest.mark.parametrize("region", ["id", "sg", "th"])
def test_the_other_regions_differ(region):
    quote = {"id": "IDR", "sg": "SGD", "th": "THB"}[region]
    with Exchange(region=region, now=NOW, limits=False) as exchange, httpx.Client(base_url=exchange.rest_url) as client:
        listed = client.get("/v1/market/all").json()
        assert listed[0] == {"market": f"{quote}-BTC", "english_name": "Bitcoin"}
        detailed = client.get("/v1/market/all?is_details=true").json()
        assert list(detailed[0].items()) == [*listed[0].items(), ("market_warning", "NONE")]
        book = client.get(f"/v1/orderbook?markets={quote}-BTC")
        assert list(book.json()[0])[-1] == "orderbook_units"
        refused = client.get(f"/v1/orderbook?markets={quote}-BTC&level=0")
        assert (refused.status_code, refused.json()["error"]["message"]) == (400, INVALID)
        assert client.get("/v1/ticker?markets=KRW-BTC").status_code == 404
        assert re.fullmatch(
            r"\d{4}-.*", client.get(f"/v1/candles/days?market={quote}-BTC").json()[0]["candle_date_time_utc"]
        )
        assert exchange.config().region == region
        for path in ("candles/days", "candles/minutes/1", "candles/weeks"):
            assert "kst" not in client.get(f"/v1/{path}?market={quote}-BTC&count=2").text
        assert "kst" not in client.get(f"/v1/ticker?markets={quote}-BTC").text
        assert "kst" not in client.get(f"/v1/ticker/all?quote_currencies={quote}").text


def test_indonesias_bitcoin_moves_by_ten_thousand():
    with Exchange(region="id", now=NOW, limits=False) as exchange, httpx.Client(base_url=exchange.rest_url) as client:
        assert client.get("/v1/orderbook/instruments?markets=IDR-BTC").json()[0]["tick_size"] == "10000"
        prices = [row["trade_price"] for row in client.get("/v1/trades/ticks?market=IDR-BTC&count=200").json()]
        assert len(prices) == 200
        assert not [one for one in prices if one % 10_000]


@pytest.mark.parametrize("path", ["ticker", "orderbook", "orderbook/instruments"])
def test_a_repeated_list_is_one_list(unlimited, path):
    url = f"{unlimited.rest_url}/v1/{path}"
    repeated = httpx.get(f"{url}?markets=KRW-BTC&markets=KRW-ETH,KRW-XRP")
    assert [row["market"] for row in repeated.json()] == ["KRW-BTC", "KRW-ETH", "KRW-XRP"]
    assert repeated.text == httpx.get(f"{url}?markets=KRW-BTC,KRW-ETH,KRW-XRP").text


def test_quote_currencies_may_be_repeated(unlimited):
    url = f"{unlimited.rest_url}/v1/ticker/all"
    joined = httpx.get(f"{url}?quote_currencies=KRW,BTC")
    assert httpx.get(f"{url}?quote_currencies=KRW&quote_currencies=BTC").text == joined.text
    # Of a name that is no list the first value counts.
    url = f"{unlimited.rest_url}/v1/candles/days?market=KRW-BTC"
    assert len(httpx.get(f"{url}&count=3&count=5").json()) == 3


@pytest.mark.parametrize("zone", ["", "Z", "+00:00", "+09:00"])
def test_to_may_have_a_fraction_of_a_second(unlimited, zone):
    with httpx.Client(base_url=unlimited.rest_url) as client:
        asked = {"market": "KRW-BTC", "count": 3}
        whole = client.get("/v1/candles/minutes/1", params={**asked, "to": f"2026-02-28T10:00:00{zone}"})
        for fraction in (".0", ".000", ".000000"):
            found = client.get("/v1/candles/minutes/1", params={**asked, "to": f"2026-02-28T10:00:00{fraction}{zone}"})
            assert (found.status_code, found.text) == (200, whole.text)
        later = client.get("/v1/candles/minutes/1", params={**asked, "to": f"2026-02-28T10:00:00.001{zone}"})
        minutes = [datetime.fromisoformat(one.json()[0]["candle_date_time_utc"]) for one in (whole, later)]
        assert minutes[1] - minutes[0] == timedelta(minutes=1)


@pytest.mark.parametrize("market", ["KRW-BTC", "KRW-SHIB", "BTC-XRP", "USDT-DOGE", "KRW-EMPTY"])
def test_the_normaliser_reads_what_the_model_says(unlimited, ask, market):
    from upbit_frames.exchange import wire as normalize

    for name in ("1s", "1m", "4h", "1d"):
        body = ask(path_of(INTERVALS[name]), market=market, count=200).content
        truth = unlimited.market.last_candles(market, name, NOW, 200)
        assert normalize.candles(body, market, INTERVALS[name]).equals(truth.table())
    body = ask("trades/ticks", market=market, count=500, days_ago=1).content
    day = unlimited.market.trades(market, NOW // DAY * DAY - DAY, NOW // DAY * DAY)
    assert normalize.trades(body, market).equals(day[max(0, len(day) - 500) :].table())
