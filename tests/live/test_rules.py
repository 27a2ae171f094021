"""The rules between REST and the stream: ordered, named, and each of them alone decides."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upbit_frames.router.live_rules import (
    ASKS,
    FRESH,
    IDLE_LEAST,
    IDLE_MOST,
    MOST,
    PACE,
    Choice,
    Sight,
    Wish,
    choose,
    frequent,
    patience,
)

HOT = Sight(asks=5, pace=0.5, subscribed=True, state="open", silent=0.1, primed=True)
FREQUENT = Sight(asks=ASKS, pace=PACE["ticker"] / 10)

wishes = st.builds(
    Wish,
    kind=st.sampled_from(["ticker", "orderbook", "trade", "candle.1m"]),
    markets=st.integers(1, 400),
    count=st.integers(1, 1000),
    history=st.booleans(),
    source=st.sampled_from(["auto", "rest", "live"]),
    allowed=st.booleans(),
)
sights = st.builds(
    Sight,
    asks=st.integers(1, 8),
    pace=st.one_of(st.just(inf), st.floats(0.001, 120)),
    quota=st.floats(0, 2),
    subscribed=st.booleans(),
    state=st.sampled_from(["idle", "connecting", "open", "waiting", "ended"]),
    silent=st.floats(0, 100),
    primed=st.booleans(),
    backfilling=st.booleans(),
)


@pytest.mark.parametrize(
    ("wish", "sight", "channel", "rule"),
    [
        (Wish("ticker", source="rest"), HOT, "rest", "forced"),
        (Wish("ticker", source="live"), Sight(), "live", "forced"),
        (Wish("trade", history=True), HOT, "rest", "history"),
        (Wish("trade", count=MOST["trade"] + 1), HOT, "rest", "history"),
        (Wish("ticker", markets=MOST["ticker"] + 1), HOT, "rest", "history"),
        (Wish("ticker", allowed=False), HOT, "rest", "recorded"),
        (Wish("ticker"), replace(HOT, state="waiting"), "rest", "disconnected"),
        (Wish("ticker"), replace(HOT, state="connecting"), "rest", "warming_up"),
        (Wish("ticker"), replace(HOT, silent=FRESH + 0.1), "rest", "stale"),
        (Wish("ticker"), replace(HOT, backfilling=True, primed=False), "rest", "backfilling"),
        (Wish("ticker"), replace(HOT, primed=False), "rest", "warming_up"),
        (Wish("ticker"), HOT, "live", "hot"),
        (Wish("ticker"), FREQUENT, "rest", "frequent"),
        (Wish("orderbook"), Sight(asks=8, pace=PACE["orderbook"] + 1), "rest", "infrequent"),
        (Wish("ticker"), Sight(), "rest", "infrequent"),
        (Wish("ticker"), Sight(asks=8, pace=PACE["ticker"] + 1), "rest", "infrequent"),
    ],
)
def test_each_rule(wish: Wish, sight: Sight, channel: str, rule: str) -> None:
    choice = choose(wish, sight)
    assert (choice.channel, choice.rule) == (channel, rule)
    assert choice.reason
    assert choice.channel not in choice.alternatives
    assert choice.subscribe == (rule == "frequent")


@given(wishes, sights)
def test_every_choice_names_a_channel_a_reason_and_why_not_the_others(wish: Wish, sight: Sight) -> None:
    choice = choose(wish, sight)
    assert isinstance(choice, Choice)
    assert choice.channel in ("rest", "live")
    assert {choice.channel, *choice.alternatives} == {"rest", "live", "store", "archive"}
    assert all(choice.alternatives.values())
    assert choice.told == f"{choice.rule}: {choice.reason}"


@given(wishes, sights)
def test_a_stream_answers_unasked_only_where_it_is_open_heard_and_complete(wish: Wish, sight: Sight) -> None:
    choice = choose(wish, sight)
    if choice.channel == "live" and wish.source == "auto":
        assert sight.subscribed
        assert sight.state == "open"
        assert sight.silent <= FRESH
        assert sight.primed
        assert not sight.backfilling
        assert not wish.history


@given(wishes, sights)
def test_asking_more_often_never_makes_a_stream_less_worth(wish: Wish, sight: Sight) -> None:
    if frequent(wish, sight):
        assert frequent(wish, replace(sight, asks=sight.asks + 1))
        assert frequent(wish, replace(sight, pace=sight.pace / 2))
        assert frequent(replace(wish, markets=1), sight)


@given(st.one_of(st.just(inf), st.floats(0, 1e6)))
def test_patience_is_bounded(pace: float) -> None:
    assert IDLE_LEAST <= patience(pace) <= IDLE_MOST
