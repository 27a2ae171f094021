"""Frames of the stream become rows: real captures, four spellings, and bytes that are no frame at all."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.streams import NOW, listened, lively

from upbit_frames.core.intervals import Interval
from upbit_frames.core.schema import KINDS, arrow_schema
from upbit_frames.core.topics import FORMATS, TYPES, Topic, table_of
from upbit_frames.errors import SchemaError
from upbit_frames.exchange import wire as normalize
from upbit_frames.exchange.wire.message_tables import BACKFILLED, rows_from_rest, stream_schema, to_table
from upbit_frames.exchange.wire.messages import SIMPLE_KEYS, Control, control, decode, type_of
from upbit_frames.testing import Exchange

ARRIVED = 1_785_395_043_900_123  # microseconds
AT = "candle.1m"


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    with Exchange(seed=11, now=NOW, markets=lively(), limits=False) as exchange:
        yield exchange


# --- real captures ---------------------------------------------------------------------------------


def frames_of(path: Path) -> list[bytes]:
    """The frames in a file of captures: one a line, or the whole file."""
    body = path.read_bytes()
    return [line for line in body.splitlines() if line.strip()] if path.suffix == ".jsonl" else [body]


def said(frame: bytes) -> list[dict[str, Any]]:
    """The same frame as the standard library reads it."""
    found = json.loads(frame)
    return [in_full(one) for one in (found if isinstance(found, list) else [found])]


def in_full(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts under the long names; those of the format SIMPLE have short ones."""
    if "ty" not in facts:
        return facts
    kind = "candle" if facts["ty"].startswith("candle") else facts["ty"]
    long = {short: name for name, short in SIMPLE_KEYS[kind].items()}
    found = {long[name]: value for name, value in facts.items()}
    for name in ("orderbook_units",) if kind == "orderbook" else ():
        found[name] = [{long[short]: value for short, value in unit.items()} for unit in found[name]]
    return found


def moment(micros: int) -> datetime:
    return datetime.fromtimestamp(micros // 1_000_000, UTC).replace(microsecond=micros % 1_000_000)


def expected(type_: str, facts: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of one frame, by another way than the package's."""
    about = {"stream_type": facts["stream_type"], "received_at": moment(ARRIVED)}

    def ms(name: str) -> Any:
        return moment(facts[name] * 1000 if facts[name] < 10**14 else facts[name] // 1000 * 1000)

    if type_ == "trade":
        price, volume = float(facts["trade_price"]), float(facts["trade_volume"])
        own: dict[str, Any] = {
            "time": ms("trade_timestamp"), "price": price, "volume": volume, "value": price * volume,
            "side": facts["ask_bid"].lower(), "sequential_id": facts["sequential_id"], "seq": None,
        }  # fmt: skip
    elif type_ == "ticker":
        own = {one.name: facts[one.source] for one in KINDS["ticker"] if one.name != "market"}
        for one in KINDS["ticker"]:
            if one.name in ("time", "updated"):
                own[one.name] = ms(one.source)
            elif one.name.endswith("date"):
                own[one.name] = date.fromisoformat(facts[one.source])
    elif type_ == "orderbook":
        return [
            {
                "market": facts["code"], "level": level, **unit, "time": ms("timestamp"),
                "grouping": facts.get("level"),
                "total_ask_size": facts["total_ask_size"], "total_bid_size": facts["total_bid_size"], **about,
            }
            for level, unit in enumerate(facts["orderbook_units"])
        ]  # fmt: skip
    else:
        names = ("opening_price", "high_price", "low_price", "trade_price")
        own = {
            "time": datetime.fromisoformat(facts["candle_date_time_utc"]).replace(tzinfo=UTC),
            **{short: float(facts[name]) for short, name in zip(("open", "high", "low", "close"), names, strict=True)},
            "volume": facts["candle_acc_trade_volume"], "value": facts["candle_acc_trade_price"],
        }  # fmt: skip
    return [{"market": facts["code"], **own, **about}]


def test_every_capture_parses(real_data: Path) -> None:
    kinds: dict[str, int] = {}
    words: list[str] = []
    for path in sorted((real_data / "ws").iterdir()):
        if path.name == "one_trade_over_rest.json":
            continue
        for frame in frames_of(path):
            word = control(frame)
            if word is not None:
                assert word.kind in ("status", "error")
                words.append(word.name or word.text)
                continue
            rows, refused = decode([frame], [ARRIVED], assume=AT)
            assert not refused, f"{path.name}: {refused[0]}"
            facts = said(frame)
            assert len(rows) == len(facts)
            for row, one in zip(rows, facts, strict=True):
                type_ = one.get("type", AT)
                assert type_of(row) == type_
                table = to_table(type_, [row])
                assert table.schema.equals(stream_schema(type_), check_metadata=True)
                assert table.to_pylist() == expected(type_, one), path.name
                kinds[type_] = kinds.get(type_, 0) + 1
    # The Korean exchange's, then the same in English with one more.
    assert words[:4] == ["UP", "NO_TICKET", "INVALID_PARAM", "WRONG_FORMAT"]
    assert set(words[4:]) <= {"WRONG_FORMAT", "NO_TICKET", "INVALID_PARAM", "NO_CODES"}
    assert kinds["ticker"] == 458
    assert set(kinds) == {"ticker", "trade", "orderbook", "candle.1m", "candle.5m"}


def test_many_captures_in_one_go_are_the_same_rows(real_data: Path) -> None:
    frames = [one for path in (real_data / "ws").glob("*_default_*.jsonl") for one in frames_of(path)]
    together, refused = decode(frames, list(range(len(frames))))
    assert not refused
    assert [row.received_at for row in together] == list(range(len(frames)))
    alone = [decode([frame], [at])[0][0] for at, frame in enumerate(frames)]
    assert together == alone


def shared_columns(kind: str, table: pa.Table) -> pa.Table:
    return table.select(arrow_schema(kind).names).replace_schema_metadata(None)


def test_the_captured_trade_is_one_row_either_way(real_data: Path) -> None:
    over_rest = normalize.trades((real_data / "ws" / "one_trade_over_rest.json").read_bytes(), "KRW-BTC")
    rows, _ = decode([(real_data / "ws" / "one_trade_over_ws.json").read_bytes()], [ARRIVED])
    streamed = to_table("trade", rows)
    assert shared_columns("trades", streamed).to_pylist() == over_rest.to_pylist()
    again = to_table("trade", rows_from_rest("trade", "KRW-BTC", over_rest, ARRIVED))
    assert again.drop_columns("stream_type") == streamed.drop_columns("stream_type")
    assert again["stream_type"].to_pylist() == [BACKFILLED]


# --- the stand-in, over sockets ----------------------------------------------------------------------


def body(exchange: Exchange, path: str, **params: Any) -> bytes:
    return httpx.get(f"{exchange.rest_url}{path}", params=params).raise_for_status().content


def test_trades_are_the_same_rows_over_rest_and_the_stream(exchange: Exchange, tmp_path: Path) -> None:
    frames = asyncio.run(listened(exchange, tmp_path, [Topic("trade", "KRW-BTC")], "DEFAULT", 30.0))
    streamed = to_table("trade", decode(frames, [ARRIVED] * len(frames))[0])
    over_rest = normalize.trades(body(exchange, "/v1/trades/ticks", market="KRW-BTC", count=len(frames)), "KRW-BTC")
    assert len(over_rest) > 50
    assert shared_columns("trades", streamed) == over_rest.replace_schema_metadata(None)
    backfilled = to_table("trade", rows_from_rest("trade", "KRW-BTC", over_rest, ARRIVED))
    assert backfilled.drop_columns("stream_type") == streamed.drop_columns("stream_type")


@pytest.mark.parametrize("kind", ["ticker", "orderbook"])
def test_the_state_is_the_same_over_rest_and_the_stream(exchange: Exchange, tmp_path: Path, kind: str) -> None:
    markets = ["KRW-BTC", "KRW-ETH", "BTC-ETH"]
    frames = asyncio.run(listened(exchange, tmp_path, [Topic(kind, one) for one in markets], "DEFAULT", 0.0))
    streamed = to_table(kind, decode(frames, [ARRIVED] * len(frames))[0])
    over_rest = getattr(normalize, kind)(body(exchange, f"/v1/{kind}", markets=",".join(markets)))
    key = [("market", "ascending"), ("level", "ascending")][: 2 if kind == "orderbook" else 1]
    from_stream, from_rest = shared_columns(kind, streamed).to_pylist(), over_rest.to_pylist()
    order = lambda row: tuple(row[name] for name, _ in key)  # noqa: E731 - used at once
    assert sorted(from_stream, key=order) == sorted(from_rest, key=order)


@pytest.mark.parametrize("type_", ["candle.1s", "candle.1m"])
def test_candles_are_the_same_rows_over_rest_and_the_stream(exchange: Exchange, tmp_path: Path, type_: str) -> None:
    frames = asyncio.run(listened(exchange, tmp_path, [Topic(type_, "KRW-BTC")], "DEFAULT", 150.0))
    rows, _ = decode(frames, [ARRIVED] * len(frames))
    last = {row.candle_date_time_utc: row for row in rows}
    interval = Interval.parse(type_.removeprefix("candle."))
    path = "/v1/candles/seconds" if interval.name == "1s" else "/v1/candles/minutes/1"
    over_rest = normalize.candles(body(exchange, path, market="KRW-BTC", count=len(last)), "KRW-BTC", interval)
    sealed = [last[one] for one in sorted(last)][:-1]  # the newest still forms
    assert len(sealed) > 1
    streamed = shared_columns("candles", to_table(type_, sealed))
    assert streamed == over_rest.slice(0, len(sealed)).replace_schema_metadata(None)
    backfilled = to_table(type_, rows_from_rest(type_, "KRW-BTC", over_rest.slice(0, len(sealed)), ARRIVED))
    assert backfilled.drop_columns("stream_type") == to_table(type_, sealed).drop_columns("stream_type")


def test_four_formats_lead_to_the_same_rows(tmp_path: Path) -> None:
    topics = [
        Topic(type_, market) for type_ in ("ticker", "trade", "orderbook", AT) for market in ("KRW-BTC", "BTC-ETH")
    ]
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    spelt: dict[str, bytes] = {}
    for number, format_ in enumerate(FORMATS):
        # The same story from its beginning, each time.
        with Exchange(seed=11, now=NOW, markets=lively(100_000.0), limits=False) as exchange:
            frames = asyncio.run(listened(exchange, tmp_path / str(number), topics, format_, 4.0))
        spelt[format_] = frames[0][:6]
        rows, refused = decode(frames, [ARRIVED] * len(frames))
        assert not refused
        tables = {
            type_: [row for row in rows if type_of(row) == type_] for type_ in ("ticker", "trade", "orderbook", AT)
        }
        assert all(tables.values())
        found[format_] = {type_: to_table(type_, some).to_pylist() for type_, some in tables.items()}
    assert spelt == {
        "DEFAULT": b'{"type', "SIMPLE": b'{"ty":', "JSON_LIST": b'[{"typ', "SIMPLE_LIST": b'[{"ty"',
    }  # fmt: skip
    for format_ in FORMATS[1:]:
        assert found[format_] == found["DEFAULT"], format_


def test_formats_may_be_mixed() -> None:
    long, short = frame_of("trade", simple=False), frame_of("trade", simple=True)
    mixed = [long, b"[" + short + b"," + short + b"]", b"[" + long + b"]", short, b" [ " + long + b" ] "]
    rows, refused = decode(mixed, [1, 2, 3, 4, 5])
    assert not refused
    assert [row.received_at for row in rows] == [1, 2, 2, 3, 4, 5]
    assert {(row.code, row.trade_price, row.sequential_id) for row in rows} == {("KRW-BTC", 100.0, 7)}


# --- bytes that are no frame ------------------------------------------------------------------------------

FACTS: dict[str, dict[str, Any]] = {
    "trade": {
        "type": "trade", "code": "KRW-BTC", "timestamp": 1_785_395_043_831, "trade_timestamp": 1_785_395_043_779,
        "trade_price": 100.0, "trade_volume": 0.5, "ask_bid": "ASK", "sequential_id": 7, "stream_type": "REALTIME",
    },
    "orderbook": {
        "type": "orderbook", "code": "KRW-BTC", "timestamp": 1_785_395_043_831, "total_ask_size": 1.0,
        "total_bid_size": 2.0, "orderbook_units": [
            {"ask_price": 101.0, "bid_price": 100.0, "ask_size": 1.0, "bid_size": 2.0},
            {"ask_price": 0, "bid_price": 0, "ask_size": 0, "bid_size": 0},
        ], "stream_type": "SNAPSHOT", "level": 0,
    },
    "candle.1m": {
        "type": "candle.1m", "code": "KRW-BTC", "candle_date_time_utc": "2026-07-30T07:46:00", "opening_price": 2.0,
        "high_price": 3.0, "low_price": 1.0, "trade_price": 2.5, "candle_acc_trade_volume": 4.0,
        "candle_acc_trade_price": 10.0, "timestamp": 1_785_395_043_831, "stream_type": "REALTIME",
    },
    "ticker": {
        "type": "ticker", "code": "KRW-BTC", "opening_price": 2.0, "high_price": 3.0, "low_price": 1.0,
        "trade_price": 2.5, "prev_closing_price": 2.0, "acc_trade_price": 5.0, "change": "RISE",
        "signed_change_price": 0.5, "signed_change_rate": 0.25, "trade_volume": 1.0, "acc_trade_volume": 2.0,
        "trade_timestamp": 1_785_395_043_779, "highest_52_week_price": 9.0, "highest_52_week_date": "2026-01-02",
        "lowest_52_week_price": 1.0, "lowest_52_week_date": "2026-01-03", "timestamp": 1_785_395_043_831,
        "acc_trade_price_24h": 6.0, "acc_trade_volume_24h": 3.0, "stream_type": "SNAPSHOT",
    },
}  # fmt: skip


def shortened(facts: dict[str, Any], kind: str) -> dict[str, Any]:
    short = SIMPLE_KEYS[kind.partition(".")[0]]
    return {
        short[key]: [shortened(unit, kind) for unit in value] if isinstance(value, list) else value
        for key, value in facts.items()
    }


def frame_of(kind: str, *, simple: bool, **changes: Any) -> bytes:
    facts = FACTS[kind] | changes
    return json.dumps(shortened(facts, kind) if simple else facts, separators=(",", ":")).encode()


def refusal_of(frame: bytes) -> SchemaError:
    rows, refused = decode([frame], [ARRIVED])
    assert not rows
    assert len(refused) == 1
    assert type(refused[0]) is SchemaError
    assert frame.decode("utf-8", "replace").startswith(refused[0].sample)
    assert refused[0].path.startswith("$")
    assert refused[0].suggestion
    return refused[0]


@pytest.mark.parametrize(
    ("frame", "path", "words"),
    [
        (b'{"type":"trade","code":"KRW-BTC","timest', "$", "valid JSON"),
        (frame_of("trade", simple=False, trade_price="100"), "$.trade_price", "expected `float`"),
        (frame_of("trade", simple=True, trade_price=0), "$.tp", "> 0"),
        (frame_of("trade", simple=False, ask_bid="HOLD"), "$.ask_bid", "'HOLD' is none of"),
        (frame_of("trade", simple=False, sequential_id=2**63), "$.sequential_id", "2"),
        (frame_of("trade", simple=False, trade_timestamp=10**18), "$.trade_timestamp", "<= 253402300799999999"),
        *[(frame_of(kind, simple=simple, **{name: value}), f"$.{short if simple else name}", "expected `int`")
          for kind in FACTS for name, short in (("timestamp", "tms"), ("trade_timestamp", "ttms"))
          if name in FACTS[kind] for simple in (False, True)
          for value in (2**63 - 1, 10**19, 10**400, -1, 253_402_300_800_000_000)],
        (frame_of("candle.1m", simple=False, candle_date_time_utc="later"), "$.candle_date_time_utc", "datetime"),
        (frame_of("orderbook", simple=False, orderbook_units=[{"ask_price": 1}]), "$.orderbook_units[0].bid_price",
         "'bid_price' is missing"),
        (b'{"type":"trade","code":"KRW-BTC"}', "$.timestamp", "'timestamp' is missing"),
        (b'[' + frame_of("trade", simple=False) + b',{"type":"trade"}]', "$[1].code", "'code' is missing"),
        (b'{"type":"nonsense","code":"KRW-BTC"}', "$.type", "nonsense"),
        (b"<html><body>Bad Gateway</body></html>", "$", "web page"),
        (b"", "$", "empty"),
        (b"\xff\xfe\x00", "$", "JSON"),
        (frame_of("trade", simple=False) + b"," + frame_of("trade", simple=False), "$", ""),
        (b'{"type":"trade","code":' + b"[" * 100_000, "$", ""),
        (b'{"type":"trade","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "$", ""),
        (b'{"type":"trade","trade_price":1e999}', "$", ""),
    ],
)  # fmt: skip
def test_the_error_of_a_frame_names_path_and_reason(frame: bytes, path: str, words: str) -> None:
    error = refusal_of(frame)
    assert error.path == path or (path == "$" and words == "")
    assert words in error.message


@pytest.mark.parametrize("simple", [False, True])
@pytest.mark.parametrize("kind", list(FACTS))
def test_a_bad_frame_among_good_ones_is_the_only_one_refused(kind: str, simple: bool) -> None:
    good = frame_of(kind, simple=simple)
    rows, refused = decode([good, good[:-9], good, b"[]", good], [1, 2, 3, 4, 5])
    assert [row.received_at for row in rows] == [1, 3, 5]
    assert [one.sample for one in refused] == [good[:-9].decode()[:200]]
    assert len({row.code for row in rows}) == 1


@pytest.mark.parametrize(
    ("kind", "changes", "path"),
    [
        ("candle.1m", {"low_price": 2.2}, "$.opening_price"),
        ("candle.1m", {"high_price": 2.1}, "$.trade_price"),
        ("candle.1m", {"candle_date_time_utc": "2026-07-30T07:46:30"}, "$.candle_date_time_utc"),
        ("candle.1m", {"candle_date_time_utc": "2026-07-30T07:46:00.5"}, "$.candle_date_time_utc"),
        *[("ticker", {"highest_52_week_date": day}, "$.highest_52_week_date") for day in ("", "NaT", "now", "2026-1")],
        ("ticker", {"lowest_52_week_date": "2026-02"}, "$.lowest_52_week_date"),
    ],
)  # fmt: skip
def test_rows_that_contradict_themselves_are_refused(kind: str, changes: dict[str, Any], path: str) -> None:
    rows, refused = decode([frame_of(kind, simple=False), frame_of(kind, simple=False, **changes)], [1, 2])
    assert not refused
    with pytest.raises(SchemaError) as caught:
        to_table(kind, rows)
    assert caught.value.path == path
    assert caught.value.market == "KRW-BTC"
    beginning = json.dumps((FACTS[kind] | changes) | {"received_at": 2}, separators=(",", ":"))[:60]
    assert caught.value.sample.startswith(beginning)
    assert len(to_table(kind, rows[:1])) == 1


@pytest.mark.parametrize("kind", list(FACTS))
def test_microseconds_are_recognised(kind: str) -> None:
    """A book of 2023-08-08 was captured with a timestamp in microseconds."""
    names = [name for name in ("timestamp", "trade_timestamp") if name in FACTS[kind]]
    changes = {name: FACTS[kind][name] * 1000 + 999 for name in names}
    rows, refused = decode([frame_of(kind, simple=False), frame_of(kind, simple=False, **changes)], [1, 1])
    assert not refused
    assert rows[0] == rows[1]
    odd, _ = decode([frame_of("orderbook", simple=True, timestamp=1_691_530_805_062_000)], [1])
    assert to_table("orderbook", odd)["time"].to_pylist()[0] == datetime(2023, 8, 8, 21, 40, 5, 62_000, tzinfo=UTC)


def test_padding_of_a_book_is_no_row_and_an_empty_one_no_error() -> None:
    one_sided = [{"ask_price": 0, "bid_price": 100.0, "ask_size": 0, "bid_size": 2.0}]
    frames = [frame_of("orderbook", simple=False, orderbook_units=units) for units in ([], one_sided)]
    rows, _ = decode([frame_of("orderbook", simple=False), *frames], [1, 2, 3])
    table = to_table("orderbook", rows)
    assert table["ask_price"].to_pylist() == [101.0, None]
    assert table["bid_price"].to_pylist() == [100.0, 100.0]
    assert len(to_table("orderbook", rows[1:2])) == 0


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """A frame of any kind and spelling in which something may have been changed."""
    kind = draw(st.sampled_from(list(FACTS)))
    simple = draw(st.booleans())
    facts = shortened(FACTS[kind], kind) if simple else dict(FACTS[kind])
    for name in draw(st.lists(st.sampled_from(sorted(facts)), max_size=2)):
        if draw(st.booleans()):
            facts.pop(name, None)
        else:
            facts[name] = draw(anything)
    whole: Any = [facts] * draw(st.integers(0, 2)) if draw(st.booleans()) else facts
    data = json.dumps(whole, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    if draw(st.booleans()):
        data = data[: draw(st.integers(0, len(data)))]
    if draw(st.booleans()):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.binary(max_size=3)) + data[at:]
    return data


@settings(max_examples=300)
@given(st.lists(frames() | st.binary(max_size=40), max_size=5))
@example([b'{"type":"trade","code":"KRW', b'BTC"}', b"{}"])
@example([b'{"ty', b'{"type":"ticker"', b'[{"ty":"trade"}'])
def test_no_bytes_lead_to_another_error(data: list[bytes]) -> None:
    for frame in data:
        word = control(frame)
        assert word is None or isinstance(word, Control)
    rows, refused = decode(data, list(range(len(data))))
    alone = [decode([frame], [at]) for at, frame in enumerate(data)]
    assert rows == [row for found, _ in alone for row in found]
    assert [one.sample for one in refused] == [one.sample for _, errors in alone for one in errors]
    for error in refused:
        assert type(error) is SchemaError
        assert error.path.startswith("$")
        assert len(error.sample) <= 200
    for row in rows:
        assert type_of(row) in TYPES
        try:
            table = to_table(type_of(row), [row])
        except SchemaError as error:
            assert error.path.startswith("$")  # noqa: PT017 - either is right; another exception is not
            continue
        for name in table.schema.names:
            if pa.types.is_floating(table.schema.field(name).type):
                assert all(one is None or math.isfinite(one) for one in table[name].to_pylist())


@pytest.mark.parametrize("type_", TYPES)
def test_tables_without_rows_have_the_schema(type_: str) -> None:
    table = to_table(type_, [])
    assert table.schema.equals(stream_schema(type_), check_metadata=True)
    names = [one.name for one in KINDS[table_of(type_)] if one.name != "market"]
    assert table.schema.names == ["market", *names, "stream_type", "received_at"]


@pytest.mark.parametrize(
    ("frame", "kind", "name"),
    [
        (b'{"status":"UP"}', "status", ""),
        (b'[{"status":"UP"}]', "status", ""),
        (b'{"error":{"message":"x","name":"NO_TYPE"}}', "error", "NO_TYPE"),
        (b'[{"error":{"message":"x","name":"NO_TYPE"}}]', "error", "NO_TYPE"),
        (b'{"method":"LIST_SUBSCRIPTIONS","result":[],"ticket":"t"}', "subscriptions", "LIST_SUBSCRIPTIONS"),
        (b'{"mthd":"LIST_SUBSCRIPTIONS","rslt":[],"tckt":"t"}', "subscriptions", "LIST_SUBSCRIPTIONS"),
        (b"<html></html>", "unknown", ""),
        (b"", "unknown", ""),
        (b"[" * 100_000, "unknown", ""),
        (b"17", "unknown", ""),
        (b'{"news":1}', "unknown", ""),
    ],
)
def test_what_is_no_data_is_recognised(frame: bytes, kind: str, name: str) -> None:
    word = control(frame)
    assert word is not None
    assert (word.kind, word.name) == (kind, name)
