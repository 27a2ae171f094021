"""Windows, refusals and blocks."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upbit_frames.testing import Exchange, Limits

CALLER = "127.0.0.1"


def statuses(limits, times, group="candles"):
    return [limits.admit(group, CALLER, at).status for at in times]


def test_a_second_holds_ten_requests_and_the_next_begins_with_none():
    limits = Limits()
    verdicts = [limits.admit("candles", CALLER, 100.0 + n / 50) for n in range(20)]
    assert [one.status for one in verdicts] == [200] * 10 + [429] * 10
    assert [one.remaining for one in verdicts] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0] + [0] * 10
    assert verdicts[0].header == "group=candles; min=600; sec=9"
    assert limits.admit("candles", CALLER, 101.0).remaining == 9


def test_groups_and_callers_are_counted_apart():
    limits = Limits()
    assert statuses(limits, [5.0] * 11)[-1] == 429
    assert limits.admit("ticker", CALLER, 5.0).status == 200
    assert limits.admit("candles", "127.0.0.2", 5.0).status == 200
    websocket = [limits.admit("websocket", CALLER, 5.0) for _ in range(6)]
    assert [one.status for one in websocket] == [200] * 5 + [429]
    assert websocket[0].header == "group=websocket; min=300; sec=4"


@given(st.lists(st.floats(0, 5), max_size=80), st.sampled_from(["fixed", "sliding"]), st.floats(0, 1))
def test_no_window_ever_holds_more_than_ten(moments, window, phase):
    limits = Limits(window=window, phase=phase, patience=10**6)
    admitted = [at for at in sorted(moments) if limits.admit("candles", CALLER, at + 100).status == 200]
    for at in admitted:
        if window == "sliding":
            assert sum(at < other + 1 and other <= at for other in admitted) <= 10
        else:
            assert sum(int(other + 100 + phase) == int(at + 100 + phase) for other in admitted) <= 10


def test_who_persists_is_blocked_longer_every_time():
    limits = Limits(patience=3, patience_seconds=10, block_seconds=30, block_growth=2)
    assert statuses(limits, [0.0] * 13) == [200] * 10 + [429] * 3
    blocked = limits.admit("candles", CALLER, 0.5)
    assert (blocked.status, blocked.blocked) == (418, 30)
    assert limits.admit("ticker", CALLER, 10.0) == (418, "group=ticker; min=600; sec=0", 0, 20.5)
    assert statuses(limits, [31.0] * 13) == [200] * 10 + [429] * 3
    assert limits.admit("candles", CALLER, 31.5).blocked == 60
    limits.reset()
    assert limits.admit("candles", CALLER, 31.6).status == 200


def test_refusals_long_apart_do_not_add_up():
    limits = Limits(patience=2, patience_seconds=10)
    for second in range(0, 100, 11):
        assert statuses(limits, [float(second)] * 12) == [200] * 10 + [429] * 2


def test_limits_can_be_lowered_and_switched_off():
    limits = Limits()
    limits.per_second["candles"] = 3
    assert statuses(limits, [1.0] * 4) == [200] * 3 + [429]
    limits.enabled = False
    assert set(statuses(limits, [1.0] * 50)) == {200}


def test_over_the_wire_with_the_virtual_clock():
    limits = Limits(clock="virtual", patience=2)
    with Exchange(limits=limits) as exchange, httpx.Client(base_url=f"{exchange.rest_url}/v1/") as client:
        first = [client.get("candles/minutes/1?market=KRW-BTC") for _ in range(12)]
        assert [one.status_code for one in first] == [200] * 10 + [429] * 2
        assert first[-1].json()["error"]["name"] == 429
        assert first[-1].headers["remaining-req"] == "group=candles; min=600; sec=0"
        assert "retry-after" not in first[-1].headers
        assert client.get("nope").status_code == 404  # the gateway counts nothing
        exchange.clock.advance(1)
        # Refused with the right to try: a bad request counts like a good one.
        assert client.get("candles/minutes/1").headers["remaining-req"] == "group=candles; min=600; sec=9"
        exchange.bodies.blocked = "halt for {seconds}"
        codes = [client.get("candles/days?market=KRW-BTC") for _ in range(12)]
        assert [one.status_code for one in codes][-2:] == [418, 418]
        assert codes[-1].text == "halt for 60"
        exchange.clock.advance(60)
        assert client.get("candles/days?market=KRW-BTC").status_code == 200
        assert [one.remaining for one in exchange.requests[:10]] == list(range(9, -1, -1))


def test_an_origin_is_allowed_one_call_in_ten_seconds():
    with Exchange(limits=Limits(clock="virtual")) as exchange, httpx.Client(base_url=exchange.rest_url) as client:
        headers = {"Origin": "https://example.com"}
        first = client.get("/v1/market/all", headers=headers)
        assert (first.status_code, first.headers["remaining-req"]) == (200, "group=origin; min=6; sec=0")
        assert client.get("/v1/ticker?markets=KRW-BTC", headers=headers).status_code == 429
        assert client.get("/v1/ticker?markets=KRW-BTC").status_code == 200
        exchange.clock.advance(10)
        assert client.get("/v1/ticker?markets=KRW-BTC", headers=headers).status_code == 200


@pytest.mark.parametrize("window", ["fixed", "sliding"])
def test_real_time_is_the_default(window):
    # A burst of 45 cannot fall into fewer than two seconds' windows of ten, however slow the machine
    # is it is refused at least once unless it took more than four seconds.
    with Exchange(limits=Limits(window=window, patience=1000)) as exchange:
        assert exchange.limits.clock == "real"
        with httpx.Client(base_url=exchange.rest_url) as client:
            codes = [client.get("/v1/market/all").status_code for _ in range(45)]
        arrivals = [one.arrival for one in exchange.requests]
        assert codes[:10] == [200] * 10 or arrivals[9] - arrivals[0] > 1
        assert 429 in codes or arrivals[-1] - arrivals[0] > 4


def test_a_fault_can_block_for_real():
    with Exchange(limits=Limits(clock="virtual")) as exchange, httpx.Client(base_url=exchange.rest_url) as client:
        exchange.faults.add("418", seconds=30, block=True)
        assert [client.get("/v1/market/all").status_code for _ in range(3)] == [418] * 3
        assert exchange.admit("websocket").status == 418
        exchange.clock.advance(30)
        assert client.get("/v1/market/all").status_code == 200
