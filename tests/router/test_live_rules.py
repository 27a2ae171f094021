"""The rules between REST and the stream: ordered, named, and each of them alone decides."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upbit_frames.router.live_rules import (
    CAPACITY,
    CHEAPER_PERIOD,
    FREQUENT_REQUESTS,
    IDLE_MAX,
    IDLE_MIN,
    STALE_AFTER,
    Choice,
    LiveRequest,
    LiveState,
    choose,
    frequent,
    idle_timeout,
)

HOT = LiveState(requests=5, period=0.5, subscribed=True, state="open", silent=0.1, primed=True)
FREQUENT = LiveState(requests=FREQUENT_REQUESTS, period=CHEAPER_PERIOD["ticker"] / 10)

live_requests = st.builds(
    LiveRequest,
    kind=st.sampled_from(["ticker", "orderbook", "trade", "candle.1m"]),
    markets=st.integers(1, 400),
    count=st.integers(1, 1000),
    history=st.booleans(),
    source=st.sampled_from(["auto", "rest", "live"]),
    may_subscribe=st.booleans(),
)
live_states = st.builds(
    LiveState,
    requests=st.integers(1, 8),
    period=st.one_of(st.just(inf), st.floats(0.001, 120)),
    quota=st.floats(0, 2),
    subscribed=st.booleans(),
    state=st.sampled_from(["idle", "connecting", "open", "waiting", "ended"]),
    silent=st.floats(0, 100),
    primed=st.booleans(),
    backfilling=st.booleans(),
)


@pytest.mark.parametrize(
    ("live_request", "state", "channel", "rule"),
    [
        (LiveRequest("ticker", source="rest"), HOT, "rest", "forced"),
        (LiveRequest("ticker", source="live"), LiveState(), "live", "forced"),
        (LiveRequest("trade", history=True), HOT, "rest", "history"),
        (LiveRequest("trade", count=CAPACITY["trade"] + 1), HOT, "rest", "history"),
        (LiveRequest("ticker", markets=CAPACITY["ticker"] + 1), HOT, "rest", "history"),
        (LiveRequest("ticker", may_subscribe=False), HOT, "rest", "recorded"),
        (LiveRequest("ticker"), replace(HOT, state="waiting"), "rest", "disconnected"),
        (LiveRequest("ticker"), replace(HOT, state="connecting"), "rest", "warming_up"),
        (LiveRequest("ticker"), replace(HOT, silent=STALE_AFTER + 0.1), "rest", "stale"),
        (LiveRequest("ticker"), replace(HOT, backfilling=True, primed=False), "rest", "backfilling"),
        (LiveRequest("ticker"), replace(HOT, primed=False), "rest", "warming_up"),
        (LiveRequest("ticker"), HOT, "live", "hot"),
        (LiveRequest("ticker"), FREQUENT, "rest", "frequent"),
        (LiveRequest("orderbook"), LiveState(requests=8, period=CHEAPER_PERIOD["orderbook"] + 1), "rest", "infrequent"),
        (LiveRequest("ticker"), LiveState(), "rest", "infrequent"),
        (LiveRequest("ticker"), LiveState(requests=8, period=CHEAPER_PERIOD["ticker"] + 1), "rest", "infrequent"),
    ],
)
def test_each_rule(live_request: LiveRequest, state: LiveState, channel: str, rule: str) -> None:
    choice = choose(live_request, state)
    assert (choice.channel, choice.rule) == (channel, rule)
    assert choice.reason
    assert choice.channel not in choice.alternatives
    assert choice.subscribe == (rule == "frequent")


@given(live_requests, live_states)
def test_every_choice_names_a_channel_a_reason_and_why_not_the_others(
    live_request: LiveRequest, state: LiveState
) -> None:
    choice = choose(live_request, state)
    assert isinstance(choice, Choice)
    assert choice.channel in ("rest", "live")
    assert {choice.channel, *choice.alternatives} == {"rest", "live", "store", "archive"}
    assert all(choice.alternatives.values())
    assert choice.text == f"{choice.rule}: {choice.reason}"


@given(live_requests, live_states)
def test_a_stream_serves_by_itself_only_where_it_is_open_fresh_and_complete(
    live_request: LiveRequest, state: LiveState
) -> None:
    choice = choose(live_request, state)
    if choice.channel == "live" and live_request.source == "auto":
        assert state.subscribed
        assert state.state == "open"
        assert state.silent <= STALE_AFTER
        assert state.primed
        assert not state.backfilling
        assert not live_request.history


@given(live_requests, live_states)
def test_asking_more_often_never_makes_a_stream_less_worth(live_request: LiveRequest, state: LiveState) -> None:
    if frequent(live_request, state):
        assert frequent(live_request, replace(state, requests=state.requests + 1))
        assert frequent(live_request, replace(state, period=state.period / 2))
        assert frequent(replace(live_request, markets=1), state)


@given(st.one_of(st.just(inf), st.floats(0, 1e6)))
def test_idle_timeout_is_bounded(period: float) -> None:
    assert IDLE_MIN <= idle_timeout(period) <= IDLE_MAX
