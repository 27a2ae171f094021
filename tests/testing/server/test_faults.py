"""Every way to go wrong, over real sockets."""

from __future__ import annotations

import asyncio
import socket
import time
from datetime import timedelta
from email.utils import parsedate_to_datetime

import httpx
import pytest

from upbit_frames.testing import Exchange
from upbit_frames.testing.server.faults import KINDS, Fault
from upbit_frames.testing.server.http_messages import Request

PAGE = "/v1/candles/minutes/1?market=KRW-BTC&count=5"


@pytest.fixture
def exchange(unlimited):
    yield unlimited
    unlimited.faults.clear()
    unlimited.requests.clear()


@pytest.fixture(scope="module", autouse=True)
def _client():
    # One client for all: making one costs more than most requests here.
    with httpx.Client() as client:
        get.client = client
        yield


def get(exchange, path=PAGE, **options):
    return get.client.get(exchange.rest_url + path, **options)


@pytest.mark.parametrize(
    ("kind", "status", "part"),
    [
        ("429", 429, "Too many"), ("418", 418, "60 seconds"), ("500", 500, '"name":500'), ("502", 502, "<html>"),
        ("503", 503, "upstream"), ("html", 200, "<html>"), ("garbage", 200, ""), ("blank", 200, ""),
    ],
)  # fmt: skip
def test_answers_that_take_the_place_of_the_answer(exchange, kind, status, part):
    truth = get(exchange)
    fault = exchange.faults.add(kind)
    spoilt = get(exchange)
    assert (spoilt.status_code, fault.hits) == (status, 1)
    assert part in spoilt.text
    assert get(exchange).content == truth.content
    assert [one.fault for one in exchange.requests] == [None, kind, None]


def test_options_of_refusals(exchange):
    exchange.faults.add("418", seconds=300)
    assert "300 seconds" in get(exchange).text
    exchange.faults.add("html", status=502)
    assert get(exchange).status_code == 502


def lie(exchange, kind, path=PAGE, **options):
    """What is said truly, and what with the fault, as text."""
    truth = get(exchange, path)
    exchange.faults.add(kind, **options)
    spoilt = get(exchange, path)
    assert spoilt.status_code == 200
    assert spoilt.content != truth.content
    return truth, spoilt


def test_a_date_that_is_off(exchange):
    truth = parsedate_to_datetime(get(exchange).headers["Date"])
    exchange.faults.add("skew", seconds=-7200)
    assert parsedate_to_datetime(get(exchange).headers["Date"]) == truth - timedelta(hours=2)
    exchange.faults.add("undated")
    assert "Date" not in get(exchange).headers
    assert parsedate_to_datetime(get(exchange).headers["Date"]) == truth


def test_a_trade_that_is_stamped_ahead(exchange):
    truth, spoilt = lie(exchange, "ahead", "/v1/trades/ticks?market=KRW-BTC&count=3", seconds=90_000)
    (newest, *others), (ahead, *same) = truth.json(), spoilt.json()
    assert others == same
    assert ahead["timestamp"] == newest["timestamp"] + 90_000_000
    assert ahead["trade_date_utc"] > newest["trade_date_utc"]
    assert ahead["sequential_id"] == newest["sequential_id"]


def test_cut_json(exchange):
    truth, spoilt = lie(exchange, "cut")
    assert truth.content.startswith(spoilt.content)
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        spoilt.json()


def test_one_field_of_one_row(exchange):
    for kind, check in [
        ("missing", lambda row: "high_price" not in row),
        ("null", lambda row: row["high_price"] is None),
        ("type", lambda row: row["high_price"] == "not a number"),
    ]:
        truth, spoilt = lie(exchange, kind, field="high_price", row=2)
        rows = spoilt.json()
        assert check(rows[2])
        assert [row for n, row in enumerate(rows) if n != 2] == [row for n, row in enumerate(truth.json()) if n != 2]
        assert {key for key in rows[2] if key != "high_price"} == {key for key in rows[1] if key != "high_price"}
    for kind in ("missing", "null", "type"):
        truth, spoilt = lie(exchange, kind, path="/v1/orderbook?markets=KRW-BTC,KRW-ETH")
        assert spoilt.json() != truth.json()
    _, spoilt = lie(exchange, "type", field="market")
    assert spoilt.json()[0]["market"] == 12345
    _, spoilt = lie(exchange, "missing", field="market")
    assert "market" not in spoilt.json()[0]


def test_other_lies(exchange):
    truth, spoilt = lie(exchange, "extra")
    found = spoilt.json()
    assert all(row.pop("brand_new_field") for row in found)
    assert found == truth.json()
    _, spoilt = lie(exchange, "unit")
    assert {row["unit"] for row in spoilt.json()} == {7}
    _, spoilt = lie(exchange, "other_market")
    assert {row["market"] for row in spoilt.json()} == {"KRW-OTHER"}
    truth, spoilt = lie(exchange, "object")
    assert spoilt.json() == {"data": truth.json()}
    _, spoilt = lie(exchange, "empty")
    assert spoilt.json() == []
    truth, spoilt = lie(exchange, "short", rows=2)
    assert spoilt.json() == truth.json()[:-2]


@pytest.mark.parametrize("kind", ["drop", "drop_body"])
@pytest.mark.parametrize("path", [PAGE, "/v1/orderbook/instruments?markets=KRW-BTC"])
@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_broken_connections(exchange, kind, path, encoding):
    exchange.faults.add(kind)
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        get(exchange, path, headers={"Accept-Encoding": encoding})
    assert get(exchange, path).status_code == 200


def test_silence_lasts_until_the_client_gives_up(exchange):
    exchange.faults.add("silence")
    with pytest.raises(httpx.ReadTimeout):
        get(exchange, timeout=0.3)
    assert exchange.requests[-1].status == 0
    assert get(exchange).status_code == 200


def test_a_dripping_answer_is_whole_in_the_end(exchange):
    truth = get(exchange)
    exchange.faults.add("drip", size=300, pause=0.001)
    with httpx.stream("GET", exchange.rest_url + PAGE, headers={"Accept-Encoding": "identity"}) as reply:
        pieces = list(reply.iter_raw())
    assert b"".join(pieces) == truth.content
    assert len(pieces) > 2


def test_a_slow_response_delays_no_other(exchange):
    exchange.faults.add("slow", seconds=60)

    async def several():
        async with httpx.AsyncClient(base_url=exchange.rest_url) as client:
            slow = asyncio.create_task(client.get(PAGE, timeout=120))
            while not exchange.requests:  # noqa: ASYNC110 - filled by another thread
                await asyncio.sleep(0.005)
            others = await asyncio.gather(*(client.get(PAGE) for _ in range(8)))
            assert not slow.done()
            slow.cancel()
            return others

    assert [one.status_code for one in asyncio.run(several())] == [200] * 8


def test_which_requests_a_fault_hits(exchange):
    exchange.faults.add("500", match="KRW-ETH", after=2, times=2)
    codes = [get(exchange, PAGE.replace("BTC", "ETH")).status_code for _ in range(6)]
    assert codes == [200, 200, 500, 500, 200, 200]
    exchange.faults.add("500", match=lambda request: "ticker" in request.path, times=None)
    assert get(exchange).status_code == 200
    assert {get(exchange, "/v1/ticker?markets=KRW-BTC").status_code for _ in range(3)} == {500}


def test_chances_are_seeded():
    def draws(seed):
        fault = Fault("500", probability=0.3, seed=seed, times=None)
        return [fault.wants(Request("GET", "/")) for _ in range(200)]

    assert draws(1) == draws(1) != draws(2)
    assert 30 < sum(draws(1)) < 90


def test_an_unknown_fault_is_refused(exchange):
    with pytest.raises(ValueError, match="got 'teapot'"):
        exchange.faults.add("teapot")
    assert len(exchange.faults) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_no_fault_breaks_the_exchange(exchange, kind):
    """Whatever the endpoint: the fault passes, and the next answer is true."""
    options = {"seconds": 0.01} if kind == "slow" else {"pause": 0.0} if kind == "drip" else {}
    for path in ("/v1/market/all", "/v1/ticker?markets=KRW-BTC", "/v1/orderbook?markets=KRW-EMPTY", "/v1/nope",
                 "/v1/candles/minutes/1?market=KRW-EMPTY"):  # fmt: skip
        truth = get(exchange, path)
        exchange.faults.add(kind, **options)
        try:
            get(exchange, path, timeout=0.2 if kind == "silence" else 5)
        except httpx.TransportError:
            assert kind in ("silence", "drop", "drop_body")
        assert get(exchange, path).content == truth.content


def test_bytes_that_are_no_http(exchange):
    host, port = exchange.rest_url.removeprefix("http://").split(":")
    for nonsense in (b"\x16\x03\x01\x02\x00", b"GET /v1/market/all HTTP/1.1\r\n\r\n", b"GET\r\n\r\n"):
        with socket.create_connection((host, int(port)), timeout=60) as raw:
            raw.sendall(nonsense + b"\r\n\r\n")
            assert raw.recv(4096).startswith((b"HTTP/1.1 4", b""))
    assert get(exchange).status_code == 200


def test_half_the_delay_lies_before_the_request_counts():
    with Exchange(limits=False, delay=0.2) as exchange:
        before = time.monotonic()
        assert get(exchange).status_code == 200
        assert time.monotonic() - before >= 0.2
        assert exchange.requests[0].arrival - before >= 0.1


def test_round_trips_overlap():
    async def several(exchange):
        async with httpx.AsyncClient(base_url=exchange.rest_url) as client:
            far = asyncio.create_task(client.get(PAGE, timeout=300))
            await asyncio.sleep(0.2)
            exchange.delay = 0.0
            near = await client.get(PAGE)
            assert not far.done()
            far.cancel()
            return near

    with Exchange(limits=False, delay=200) as exchange:
        assert asyncio.run(several(exchange)).status_code == 200
