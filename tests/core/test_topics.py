"""What can be listened to, and how it is asked for, against a model in a few lines."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upbit_frames.core.intervals import INTERVALS
from upbit_frames.core.topics import (
    CANDLES,
    DEPTHS,
    FORMATS,
    TYPES,
    Topic,
    interval_of,
    merged,
    parse_kind,
    request,
    table_of,
)
from upbit_frames.errors import InvalidInterval, QueryError
from upbit_frames.testing import Exchange
from upbit_frames.testing.server.ws_session import Session

MARKETS = ("KRW-BTC", "KRW-ETH", "BTC-ETH", "USDT-BTC")
topics = st.builds(
    Topic, st.sampled_from(TYPES), st.sampled_from(MARKETS), st.sampled_from([0.0, 1.0, 10_000.0, 0.5]),
    st.integers(1, 30),
)  # fmt: skip


def test_the_types_are_those_of_the_api() -> None:
    minutes = [f"candle.{n}m" for n in (1, 3, 5, 10, 15, 30, 60, 240)]
    assert set(TYPES) == {"ticker", "trade", "orderbook", "candle.1s", *minutes}
    assert len(TYPES) == len(set(TYPES))


@pytest.mark.parametrize("type_", TYPES)
def test_every_type_is_a_kind_in_any_case_and_surroundings(type_: str) -> None:
    assert parse_kind(type_) == type_
    assert parse_kind(f"  {type_} ") == type_
    head, dot, tail = type_.partition(".")
    assert parse_kind(head.upper() + dot + tail) == type_
    assert parse_kind(f"{head}s{dot}{tail}") == type_


@pytest.mark.parametrize("name", list(INTERVALS))
def test_candles_by_every_name_of_their_interval(name: str) -> None:
    interval = INTERVALS[name]
    for text in (name, f"candle.{name}", f"candles.{name}"):
        if interval.stream is None:
            with pytest.raises(InvalidInterval, match="no stream") as caught:
                parse_kind(text)
            assert "uf.candles" in str(caught.value)
        else:
            assert parse_kind(text) == interval.stream
            assert interval_of(interval.stream) == interval
            assert table_of(interval.stream) == "candles"


def test_only_candles_have_an_interval() -> None:
    assert [interval_of(one) for one in ("ticker", "trade", "orderbook")] == [None] * 3
    assert [table_of(one) for one in ("ticker", "trade", "orderbook")] == ["ticker", "trades", "orderbook"]


@pytest.mark.parametrize(
    ("wrong", "error", "hint"),
    [
        ("tick", QueryError, "'ticker'"), ("order book", QueryError, "'orderbook'"), ("", QueryError, "There are"),
        (None, QueryError, "There are"), (5, QueryError, "There are"), (b"trade", QueryError, "There are"),
        ("candle", QueryError, "'candle.1m'"), ("candle.", InvalidInterval, ""),
        ("candle.2m", InvalidInterval, "uf.follow"),
        ("candle.1d", InvalidInterval, "1s"), ("1d", InvalidInterval, "1s"), ("trade.1m", QueryError, "There are"),
        ("myOrder", QueryError, "There are"), ("krw-btc", QueryError, "a market, which comes first"),
    ],
)  # fmt: skip
def test_a_wrong_kind_is_named(wrong: object, error: type[QueryError], hint: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse_kind(wrong)
    assert type(caught.value) is error
    assert hint in str(caught.value)


@given(
    st.text()
    | st.sampled_from(TYPES).flatmap(
        lambda one: st.builds(lambda at, x: one[:at] + x, st.integers(0, 9), st.text(max_size=3))
    )
)
def test_a_kind_is_a_type_or_an_error(text: str) -> None:
    try:
        assert parse_kind(text) in TYPES
    except QueryError as error:
        assert error.suggestion  # noqa: PT017 - either is right; another exception is not


@given(st.lists(topics, max_size=12))
def test_merged_is_the_deepest_of_each(wanted: list[Topic]) -> None:
    model: dict[tuple[str, str, float], int] = {}
    for one in wanted:
        deep = min(depth for depth in DEPTHS if depth >= one.depth)
        key = (one.type, one.market, one.level)
        model[key] = max(model.get(key, 0), deep)
    found = merged(wanted)
    assert {one.key: one.depth for one in found} == model
    assert len(found) == len(model)
    assert merged(found) == found
    assert merged(reversed(wanted)) == found


@given(st.lists(topics, max_size=12), st.text(min_size=1, max_size=8), st.sampled_from(FORMATS))
def test_a_request_says_each_topic_once(wanted: list[Topic], ticket: str, format_: str) -> None:
    found = merged(wanted)
    text = request(found, ticket, format_)
    first, *parts, last = json.loads(text)
    assert (first, last) == ({"ticket": ticket}, {"format": format_})
    requested = []
    for part in parts:
        assert set(part) <= {"type", "codes", "level"}
        assert part.get("level") != 0  # only Korea knows the word
        for code in part["codes"]:
            market, dot, depth = code.partition(".")
            assert not dot or part["type"] == "orderbook"
            requested.append((part["type"], market, float(part.get("level", 0)), int(depth or 30)))
    assert sorted(requested) == sorted(
        (one.type, one.market, one.level, one.depth if one.type == "orderbook" else 30) for one in found
    )
    assert len({(part["type"], part.get("level", 0)) for part in parts}) == len(parts)
    assert request(sorted(found, reverse=True), ticket, format_) == text


@given(st.lists(topics, min_size=1, max_size=8), st.sampled_from(FORMATS))
def test_the_exchange_understands_a_request(wanted: list[Topic], format_: str) -> None:
    found = merged(wanted)
    session = Session(WORLD.market, "kr", WORLD.clock.now())
    session.receive(request(found, "t", format_), WORLD.clock.now())
    (listed,) = session.receive('[{"ticket":"t"},{"method":"LIST_SUBSCRIPTIONS"}]', WORLD.clock.now())
    listed_topics: list[dict[str, Any]] = json.loads(listed)["result"]
    codes = {(one["type"], code, float(one.get("level", 0))) for one in listed_topics for code in one["codes"]}
    assert codes == {
        (one.type, f"{one.market}.{one.depth}" if one.type == "orderbook" and one.depth < 30 else one.market,
         one.level if one.type == "orderbook" else 0.0)
        for one in found
    }  # fmt: skip


WORLD = Exchange(seed=3, markets=MARKETS)  # never started: only its market and its clock are used


def test_intervals_of_candles_are_in_order() -> None:
    assert [one.name for one in CANDLES.values()][:2] == ["1s", "1m"]
