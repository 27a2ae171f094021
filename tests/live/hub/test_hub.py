"""One connection for many subscribers, over real sockets: nothing lost, nothing twice, none disturbed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support.streams import BTC, ETH, NOW, asked, hub_of, lively, pairs, until

from upbit_frames.core.intervals import Interval, Span
from upbit_frames.core.topics import Topic
from upbit_frames.errors import ApiError, ConnectionFailed, SchemaError
from upbit_frames.exchange.transport import websocket
from upbit_frames.exchange.transport.retry import RetryPolicy
from upbit_frames.exchange.wire.message_tables import BACKFILLED, rows_from_rest, to_table
from upbit_frames.exchange.wire.messages import Row
from upbit_frames.live.hub.gaps import MOST_GAPS, Gap, GapLog
from upbit_frames.live.hub.hub import Hub
from upbit_frames.live.hub.subscriber import Subscriber
from upbit_frames.testing import Exchange

TICKER, BOOK = Topic("ticker", "KRW-BTC"), Topic("orderbook", "KRW-BTC")
CANDLE = Topic("candle.1s", "KRW-BTC")


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    with Exchange(seed=5, now=NOW, markets=lively(150_000.0)) as exchange:
        exchange.clock.run()
        yield exchange


def subscriber(*topics: Topic, limit: int = 100_000) -> Subscriber:
    return Subscriber(frozenset(topics), limit=limit)


async def joined(hub: Hub, *topics: Topic, **options: Any) -> Subscriber:
    one = subscriber(*topics, **options)
    await hub.subscribe(one)
    return one


def ids(rows: list[Row], market: str = "KRW-BTC") -> list[int]:
    return [row.sequential_id for row in rows if row.code == market and hasattr(row, "sequential_id")]


def truth(exchange: Exchange, market: str, first: int) -> list[int]:
    """Every trade of the market from the one with that id on."""
    trades = exchange.market.trades(market, first // 10_000 * 1000, exchange.clock.now() + 1)
    return [one for one in trades.sequential_id.tolist() if one >= first]


async def settled(hub: Hub, exchange: Exchange, *subscribers: Subscriber) -> None:
    """Stop the clock and wait until everything was delivered."""
    await until(lambda: hub.state == "open" and exchange.streams.open == 1)
    await until(lambda: all(hub.is_primed(topic.key) for one in subscribers for topic in one.topics))
    exchange.clock.freeze()
    (client,) = exchange.streams._clients
    await until(lambda: client.session.now >= exchange.clock.now() and not client.sending.locked())
    exchange.streams.faults.late = 0.0
    exchange.clock.advance(2.0)  # a few more frames bring what is late
    await until(lambda: client.session.now >= exchange.clock.now() and not client.sending.locked())
    assert await hub.alive(60.0)
    await until(lambda: not any(hub.is_backfilling(topic.key) for one in subscribers for topic in one.topics))
    for _ in range(50):  # frames that came before the pong are handed on within a few turns of the loop
        await asyncio.sleep(0)


# --- sharing -------------------------------------------------------------------------------------------


def test_subscribers_share_one_connection_and_get_their_own_topics(exchange: Exchange, tmp_path: Path) -> None:
    async def main() -> None:
        async with hub_of(exchange, tmp_path) as hub:
            one = await joined(hub, BTC)
            two = await joined(hub, BTC, ETH)
            three = await joined(hub, TICKER, BOOK)
            await until(lambda: min(len(one.rows), len(two.rows), len(three.rows)) > 4)
            log = exchange.streams.connections[0]
            assert asked(log.messages[-1][1]) == pairs([BTC, ETH, TICKER, BOOK])
            await settled(hub, exchange, one, two, three)
            rows = [each.take_nowait() for each in (one, two, three)]
            assert {row.code for row in rows[0]} == {"KRW-BTC"}
            assert ids(rows[0]) == truth(exchange, "KRW-BTC", ids(rows[0])[0])
            assert ids(rows[1]) == truth(exchange, "KRW-BTC", ids(rows[1])[0])
            assert ids(rows[1], "KRW-ETH") == truth(exchange, "KRW-ETH", ids(rows[1], "KRW-ETH")[0])
            assert not ids(rows[2])
            for kind in ("ticker", "orderbook"):
                some = [row for row in rows[2] if hasattr(row, "orderbook_units") is (kind == "orderbook")]
                assert all(before.timestamp <= after.timestamp for before, after in pairwise(some))
                assert len(to_table(kind, some)) >= len(some) > 1
            assert (hub.subscribers, hub.epoch, hub.breaks) == (3, 1, 0)

    asyncio.run(main())
    assert len(exchange.streams.connections) == 1


def test_one_that_leaves_or_comes_does_not_disturb_the_others(exchange: Exchange, tmp_path: Path) -> None:
    async def main() -> None:
        async with hub_of(exchange, tmp_path) as hub:
            stays = await joined(hub, BTC)
            for topics in ([ETH], [BTC, BOOK], [CANDLE], [BTC]):
                guest = await joined(hub, *topics)
                await until(lambda: guest.rows)  # noqa: B023 - waited for at once
                hub.unsubscribe(guest)
                hub.unsubscribe(guest)  # twice does no harm
                assert guest.closed
                assert guest.error is None
            log = exchange.streams.connections[0]
            await until(lambda: asked(log.messages[-1][1]) == pairs([BTC]))
            await settled(hub, exchange, stays)
            delivered = ids(stays.take_nowait())
            assert delivered == truth(exchange, "KRW-BTC", delivered[0])
            assert not stays.closed
            assert (hub.epoch, hub.subscribers) == (1, 1)

    asyncio.run(main())


def test_the_connection_ends_some_time_after_the_last_one_left(exchange: Exchange, tmp_path: Path) -> None:
    async def main() -> None:
        async with hub_of(exchange, tmp_path, linger=0.3) as hub:
            hub.unsubscribe(await joined(hub, BTC))
            again = await joined(hub, BTC)
            await until(lambda: again.rows)
            assert len(exchange.streams.connections) == 1
            hub.unsubscribe(again)
            await until(lambda: not exchange.streams.open)
            assert hub.state == "idle"
            third = await joined(hub, ETH)
            await until(lambda: third.rows)
            assert [asked(one.messages[-1][1]) for one in exchange.streams.connections][-1] == pairs([ETH])

    asyncio.run(main())


def test_a_full_queue_drops_the_oldest_and_counts(exchange: Exchange, tmp_path: Path) -> None:
    exchange.clock.run(20.0)

    async def main() -> None:
        async with hub_of(exchange, tmp_path) as hub:
            small, large = await joined(hub, BTC, limit=10), subscriber(BTC)
            await hub.subscribe(large)
            await until(lambda: large.received > 60)
            await settled(hub, exchange, small, large)
            assert len(small.rows) == 10
            assert small.dropped == small.received - 10 > 0
            assert large.dropped == 0
            whole = ids(large.take_nowait())
            assert ids(small.take_nowait()) == whole[-10:]
            assert whole == truth(exchange, "KRW-BTC", whole[0])

    asyncio.run(main())


def test_a_new_subscriber_receives_the_known_state(exchange: Exchange, tmp_path: Path) -> None:
    exchange.clock.freeze()

    async def main() -> None:
        async with hub_of(exchange, tmp_path) as hub:
            topics = [BTC, TICKER, BOOK, CANDLE]
            first = await joined(hub, *topics)
            await until(lambda: len(first.rows) == 4)
            known = first.take_nowait()
            exchange.clock.advance(5.0)
            await settled(hub, exchange, first)
            known += first.take_nowait()
            second = await joined(hub, *topics)
            delivered = second.take_nowait()
            assert len(delivered) == 4
            assert {row.stream_type for row in delivered} == {"SNAPSHOT"}
            for row in delivered:
                last = [one for one in known if type(one) is type(row)][-1]
                assert last.stream_type == "REALTIME"  # earlier subscribers keep theirs
                row.stream_type = "REALTIME"
                assert row == last
            assert len(exchange.streams.connections[0].messages) == 1  # nothing had to be asked
            assert not first.rows

    asyncio.run(main())


def test_a_newcomer_who_wants_a_deeper_book_gets_it_although_nothing_changes(
    exchange: Exchange, tmp_path: Path
) -> None:
    exchange.clock.freeze()

    async def main() -> None:
        async with hub_of(exchange, tmp_path) as hub:
            shallow = await joined(hub, Topic("orderbook", "KRW-BTC", depth=5))
            await until(lambda: shallow.rows)
            assert len(shallow.take_nowait()[0].orderbook_units) == 5
            deep = await joined(hub, Topic("orderbook", "KRW-BTC", depth=15))
            await until(lambda: deep.rows)
            assert [len(row.orderbook_units) for row in deep.take_nowait()] == [15]
            again = await joined(hub, Topic("orderbook", "KRW-BTC", depth=1))
            assert [len(row.orderbook_units) for row in again.take_nowait()] == [15]

    asyncio.run(main())


# --- gaps ------------------------------------------------------------------------------------------------


def test_a_flapping_connection_fills_no_memory() -> None:
    gaps = GapLog()
    for number in range(MOST_GAPS):
        for market in ("KRW-BTC", "KRW-ETH"):
            gaps.append(Gap("trade", market, None, number, "broken off"))
    assert gaps.disconnects == MOST_GAPS
    assert MOST_GAPS // 2 <= len(gaps) <= MOST_GAPS
    assert [gap.disconnected_at for gap in gaps[-2:]] == [MOST_GAPS - 1] * 2


def breaks(exchange: Exchange, how: str) -> None:
    streams = exchange.streams
    {"drop": streams.drop, "close": streams.close, "half open": streams.half_open,
     "error": lambda: streams.error("Too Many Requests")}[how]()  # fmt: skip


@pytest.mark.parametrize("how", ["drop", "close", "error", pytest.param("half open", marks=pytest.mark.slow)])
def test_gaps_are_repaired_exactly(exchange: Exchange, tmp_path: Path, how: str) -> None:
    faults = exchange.streams.faults
    faults.late, faults.repeat = 0.15, 0.15
    exchange.streams.close_delay = 0.05
    dead = how == "half open"
    if dead:
        exchange.streams.idle_seconds = 3.0  # a dead connection is given up by the exchange too
    exchange.clock.run(4.0)

    async def main() -> None:
        # A busy machine may answer a ping so late that it is taken for one more break.
        pings = {"ping_interval": 1.0, "ping_timeout": 1.0} if dead else {}
        async with hub_of(exchange, tmp_path, **pings) as hub:
            trades = await joined(hub, BTC, ETH)
            candles = await joined(hub, CANDLE, Topic("candle.1m", "KRW-ETH"))
            for number in range(1, 4):
                await until(lambda: hub.epoch >= number and hub.state == "open" and trades.rows)  # noqa: B023
                await asyncio.sleep(0.6)
                await asyncio.to_thread(breaks, exchange, how)
                exchange.clock.advance(5.0)
            await until(lambda: hub.epoch >= 4)
            await settled(hub, exchange, trades, candles)
            rows = trades.take_nowait()
            for market in ("KRW-BTC", "KRW-ETH"):
                delivered = ids(rows, market)
                assert len(delivered) == len(set(delivered))
                assert sorted(delivered) == truth(exchange, market, min(delivered))
            check_candles(exchange, candles.take_nowait())
            assert len(trades.gaps) >= 6
            assert {gap.outcome for gap in trades.gaps + candles.gaps} <= {"repaired", "nothing missing"}
            assert sum(gap.rows for gap in trades.gaps) == sum(row.stream_type == BACKFILLED for row in rows) > 0
            assert hub.invalid_frames == 0

    asyncio.run(main())


def check_candles(exchange: Exchange, rows: list[Row]) -> None:
    """Each candle that is over ended as the exchange has it, from the first delivered."""
    last: dict[tuple[str, int], Row] = {}
    for row in rows:
        table = to_table("candle.1s" if row.code == "KRW-BTC" else "candle.1m", [row])
        last[row.code, table["time"][0].value] = row
    for market, name in (("KRW-BTC", "1s"), ("KRW-ETH", "1m")):
        interval = Interval.parse(name)
        starts = sorted(start for code, start in last if code == market)
        # The newest still forms, or has just ended, which no frame shows yet.
        over = exchange.market.candles(market, interval, starts[0], interval.floor(exchange.clock.now()) - 1).table()
        over = over.slice(0, len(over) - 1)
        expected = rows_from_rest(f"candle.{name}", market, over, 0)
        found = [start for start in starts if start <= over["time"][-1].value] if len(over) else []
        assert found == over["time"].cast("int64").to_pylist()
        for start, right in zip(found, expected, strict=True):
            row = last[market, start]
            assert (row.opening_price, row.high_price, row.low_price, row.trade_price) == (
                right.opening_price, right.high_price, right.low_price, right.trade_price,
            )  # fmt: skip
            assert row.candle_acc_trade_volume == right.candle_acc_trade_volume


def test_without_disturbances_everything_comes_in_order(exchange: Exchange, tmp_path: Path) -> None:
    exchange.clock.run(4.0)

    async def main() -> None:
        async with hub_of(exchange, tmp_path) as hub:
            one = await joined(hub, BTC)
            for number in (1, 2):
                await until(lambda: hub.epoch == number and len(one.rows) > 5 * number)  # noqa: B023
                await asyncio.to_thread(exchange.streams.drop)
                await asyncio.sleep(0.3)
            await until(lambda: hub.epoch == 3)
            await settled(hub, exchange, one)
            delivered = ids(one.take_nowait())
            assert delivered == truth(exchange, "KRW-BTC", delivered[0])
            gaps = one.gaps
            assert [gap.type for gap in gaps] == ["trade"] * 2
            for gap in gaps:
                assert gap.start is not None
                assert gap.end is not None
                assert gap.span is not None
                assert gap.start <= gap.end
                assert gap.disconnected_at <= gap.reconnected_at
                assert "broken off" in gap.reason

    asyncio.run(main())


def test_a_failed_backfill_is_reported_and_the_stream_goes_on(exchange: Exchange, tmp_path: Path) -> None:
    async def main() -> None:
        async with hub_of(exchange, tmp_path) as hub:
            one = await joined(hub, BTC)
            await until(lambda: len(one.rows) > 3)
            exchange.faults.add("503", times=None, match="/v1/trades")
            await asyncio.to_thread(exchange.streams.drop)
            await until(lambda: one.gaps and one.gaps[0].outcome != "open")
            assert one.gaps[0].outcome.startswith("not repaired: ")
            assert one.gaps[0].rows == 0
            before = one.received
            await until(lambda: one.received > before + 2)
            exchange.faults.clear()
            await asyncio.to_thread(exchange.streams.drop)
            await until(lambda: len(one.gaps) == 2 and one.gaps[1].outcome != "open")
            assert one.gaps[1].outcome in ("repaired", "nothing missing")
            await settled(hub, exchange, one)
            delivered = ids(one.take_nowait())
            assert delivered == sorted(set(delivered))
            lost = set(truth(exchange, "KRW-BTC", delivered[0])) - set(delivered)
            span = one.gaps[0].span
            assert span is not None
            assert all(span.start <= id_ // 10_000 * 1000 < span.end for id_ in lost)

    asyncio.run(main())


async def slowly_backfilled(hub: Hub, exchange: Exchange) -> Subscriber:
    """Return a subscriber with a gap whose backfill takes a second."""
    one = await joined(hub, BTC)
    await until(lambda: len(one.rows) > 3)
    exchange.faults.add("slow", times=1, match="/v1/trades", seconds=1.0)
    await asyncio.to_thread(exchange.streams.drop)
    await until(lambda: hub.epoch == 2 and hub.is_backfilling(BTC.key))
    return one


def test_a_newcomer_during_a_repair_gets_everything_once(exchange: Exchange, tmp_path: Path) -> None:
    async def main() -> None:
        async with hub_of(exchange, tmp_path) as hub:
            first = await slowly_backfilled(hub, exchange)
            second = await joined(hub, BTC)
            assert hub.is_backfilling(BTC.key)
            await settled(hub, exchange, first, second)
            one, two = ids(first.take_nowait()), ids(second.take_nowait())
            assert one == truth(exchange, "KRW-BTC", one[0])
            assert two == truth(exchange, "KRW-BTC", two[0])
            assert len(two) > 1

    asyncio.run(main())


def test_a_backfill_for_former_subscribers_is_not_delivered_to_later_ones(exchange: Exchange, tmp_path: Path) -> None:
    async def main() -> None:
        async with hub_of(exchange, tmp_path) as hub:
            first = await slowly_backfilled(hub, exchange)
            hub.unsubscribe(first)
            second = await joined(hub, BTC)
            await asyncio.sleep(1.5)
            await settled(hub, exchange, second)
            delivered = ids(second.take_nowait())
            assert delivered == truth(exchange, "KRW-BTC", delivered[0])
            assert {row.stream_type for row in second.take_nowait()} <= {"SNAPSHOT", "REALTIME"}

    asyncio.run(main())


def test_a_silent_topic_is_backfilled_after_the_settle_time(exchange: Exchange, tmp_path: Path) -> None:
    async def main() -> None:
        async with hub_of(exchange, tmp_path, settle=0.4) as hub:
            one = await joined(hub, BTC, TICKER)
            await until(lambda: len(ids(list(one.rows))) > 3)
            exchange.streams.faults.silent = True
            await asyncio.to_thread(exchange.streams.drop)
            await until(lambda: all(gap.outcome != "open" for gap in one.gaps) and one.gaps)
            outcomes = {gap.type: gap.outcome for gap in one.gaps}
            assert outcomes["trade"] in ("repaired", "nothing missing")
            assert outcomes["ticker"] == "not repaired: no snapshot arrived"
            assert one.gaps[0].end is not None or one.gaps[1].end is not None

    asyncio.run(main())


class Defective:
    """A backfill with a defect."""

    async def fetch(self, type_: str, market: str, span: Span) -> list[Row]:
        raise ZeroDivisionError("a defect")


def test_a_defect_in_a_backfill_holds_nothing_back(exchange: Exchange, tmp_path: Path) -> None:
    async def main() -> None:
        async with hub_of(exchange, tmp_path, backfill=Defective()) as hub:
            one = await joined(hub, BTC)
            await until(lambda: len(one.rows) > 2)
            await asyncio.to_thread(exchange.streams.drop)
            await until(lambda: one.gaps and one.gaps[0].outcome.startswith("not repaired: "))
            assert "a defect" in one.gaps[0].outcome
            before = one.received
            await until(lambda: one.received > before)

    asyncio.run(main())


def test_the_walk_through_a_long_gap_takes_several_pages(exchange: Exchange, tmp_path: Path) -> None:
    async def main() -> None:
        async with hub_of(exchange, tmp_path) as hub:
            one = await joined(hub, BTC, Topic("candle.1s", "KRW-ETH"))
            await until(lambda: len(one.rows) > 3)
            exchange.streams.faults.refuse = [503] * 1_000_000
            await asyncio.to_thread(exchange.streams.drop)
            # Twenty minutes go by meanwhile: thousands of trades, a thousand candles.
            exchange.clock.advance(1200)
            exchange.streams.faults.refuse = []
            await until(lambda: hub.epoch == 2)
            await settled(hub, exchange, one)
            rows = one.take_nowait()
            delivered = ids(rows)
            assert delivered == truth(exchange, "KRW-BTC", delivered[0])
            assert len(delivered) > 1_500
            seconds = {row.candle_date_time_utc for row in rows if row.code == "KRW-ETH"}
            assert len(seconds) > 400
            gap = next(gap for gap in one.gaps if gap.type == "trade")
            assert gap.rows > 1_500
            assert gap.end is not None
            assert gap.start is not None
            assert gap.end - gap.start > 1_000_000_000  # microseconds

    asyncio.run(main())


# --- errors ------------------------------------------------------------------------------------------------


def test_a_refused_subscriber_ends_and_the_others_go_on(exchange: Exchange, tmp_path: Path) -> None:
    exchange.streams.close_delay = 0.02

    async def main() -> None:
        async with hub_of(exchange, tmp_path) as hub:
            good = await joined(hub, BTC)
            await until(lambda: len(good.rows) > 2)
            exchange.streams.faults.errors.append("INVALID_PARAM")
            bad = await joined(hub, ETH)
            await until(lambda: bad.closed)
            assert isinstance(bad.error, ApiError)
            assert bad.error.name == "INVALID_PARAM"
            await until(lambda: hub.epoch == 2 and exchange.streams.connections[-1].messages)
            assert asked(exchange.streams.connections[-1].messages[0][1]) == pairs([BTC])
            await settled(hub, exchange, good)
            delivered = ids(good.take_nowait())
            assert delivered == truth(exchange, "KRW-BTC", delivered[0])
            assert good.error is None
            assert not good.closed

    asyncio.run(main())


def test_one_odd_frame_is_a_gap_that_is_repaired(exchange: Exchange, tmp_path: Path) -> None:
    odd = 0

    def spoilt(frame: bytes) -> bytes:
        nonlocal odd
        if b'"trade"' in frame and b'"KRW-BTC"' in frame and not odd and b"REALTIME" in frame:
            odd += 1
            return frame.replace(b'"trade_price":', b'"trade_price":"a lot","x":')
        return frame

    async def main() -> None:
        async with hub_of(exchange, tmp_path) as hub:
            one, other = await joined(hub, BTC, TICKER), await joined(hub, ETH)
            await until(lambda: len(one.rows) > 3 and len(other.rows) > 1)
            exchange.streams.faults.edit = spoilt
            await until(lambda: one.invalid_frames == 1)
            await until(lambda: any(gap.outcome == "repaired" for gap in one.gaps))
            await settled(hub, exchange, one, other)
            seen = ids(one.take_nowait())
            assert seen == truth(exchange, "KRW-BTC", seen[0])
            (gap,) = one.gaps
            assert (gap.type, gap.market, gap.rows, gap.outcome) == ("trade", "KRW-BTC", 1, "repaired")
            assert "invalid frame" in gap.reason
            assert (other.invalid_frames, other.gaps, hub.invalid_frames, hub.epoch) == (0, [], 1, 1)
            assert not one.closed

    asyncio.run(main())


def test_a_market_of_which_nothing_is_right_ends_and_the_others_go_on(exchange: Exchange, tmp_path: Path) -> None:
    def spoilt(frame: bytes) -> bytes:
        if b'"trade"' in frame and b'"KRW-BTC"' in frame:
            return b'{"type":"trade","code":"KRW-BTC","trade_price":"a lot"}'
        return frame

    async def main() -> None:
        async with hub_of(exchange, tmp_path) as hub:
            alone, both, tickers = await joined(hub, BTC), await joined(hub, BTC, ETH), await joined(hub, TICKER)
            await until(lambda: alone.rows and len(ids(list(both.rows), "KRW-ETH")) and tickers.rows)
            before = ids(list(alone.rows))
            exchange.streams.faults.edit = spoilt
            await until(lambda: alone.closed)
            assert isinstance(alone.error, SchemaError)
            assert alone.error.path.startswith("$.")
            assert "a lot" in alone.error.sample
            assert ids(alone.take_nowait())[: len(before)] == before  # what was right is still there
            assert await alone.take() == []
            assert alone.gaps[-1].outcome.startswith("not repaired: ")
            assert list(both.ended_markets) == ["KRW-BTC"]
            received = len(ids(list(both.rows), "KRW-ETH")), tickers.received
            await until(lambda: len(ids(list(both.rows), "KRW-ETH")) > received[0] and tickers.received > received[1])
            assert not both.closed
            assert both.topics == {ETH}
            assert hub.subscribers == 2
            messages = exchange.streams.connections[0].messages
            await until(lambda: asked(messages[-1][1]) == pairs([ETH, TICKER]))

    asyncio.run(main())


@pytest.mark.parametrize(
    ("frame", "count"),
    [
        (b"\xff\xfe\x00garbage", 1), (b"[" * 100_000, 1), (b"<html></html>", 1), (b"", 1),
        (b'{"type":"trade"}', 1), (b'{"type":"trade","code":"KRW-BTC","x":' + b"[" * 50_000, 1),
        (b'{"type":"trade","code":"KRW-BTC","trade_timestamp":' + b"9" * 10_000 + b"}", 1),
        (b'{"type":"trade","code":"KRW-BTC","trade_price":' + b"9" * 10_000 + b"." + b"1" * 10_000 + b"}", 1),
        (b'{"type":"trade","code":["KRW-BTC"]}', 1), (b"[" + b"1," * 500_000 + b"1]", 1), (b"17", 1),
        (b'{"type":"trade","code":"KRW-NONE","trade_price":1}', 1),
        (b'{"error":' + b"[" * 500 + b"]" * 500 + b"}", 1), (b'{"status":' + b"[" * 900 + b"]" * 900 + b"}", 0),
    ],
    ids=lambda one: repr(one[:40]) if isinstance(one, bytes) else None,
)  # fmt: skip
def test_no_frame_costs_a_row(exchange: Exchange, tmp_path: Path, frame: bytes, count: int) -> None:
    async def main() -> None:
        async with hub_of(exchange, tmp_path) as hub:
            one = await joined(hub, BTC)
            await until(lambda: len(one.rows) > 3)
            exchange.streams.faults.replace += [frame, b'{"status":"UP"}']
            await until(lambda: not exchange.streams.faults.replace)
            await until(lambda: hub.invalid_frames == count)
            received = one.received
            await until(lambda: one.received > received and not hub.is_backfilling(BTC.key))
            exchange.clock.freeze()
            await asyncio.sleep(0.2)
            assert not one.closed
            assert hub.epoch == 1

    asyncio.run(main())


def test_a_frame_that_is_too_large_breaks_the_connection_and_costs_nothing(
    exchange: Exchange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "MAX_FRAME", 10_000)

    async def main() -> None:
        async with hub_of(exchange, tmp_path) as hub:
            one = await joined(hub, BTC)
            await until(lambda: len(one.rows) > 3)
            exchange.streams.faults.replace.append(b'{"type":"trade","x":"' + b"x" * 20_000 + b'"}')
            await until(lambda: hub.epoch == 2)
            await settled(hub, exchange, one)
            seen = ids(one.take_nowait())
            assert seen == truth(exchange, "KRW-BTC", seen[0])
            assert [gap.outcome in ("repaired", "nothing missing") for gap in one.gaps] == [True]

    asyncio.run(main())


def test_repeated_garbage_replaces_the_connection(exchange: Exchange, tmp_path: Path) -> None:
    async def main() -> None:
        async with hub_of(exchange, tmp_path) as hub:
            one = await joined(hub, BTC)
            await until(lambda: len(one.rows) > 3)
            exchange.streams.faults.replace += [b"\xff garbage"] * 3
            await until(lambda: hub.epoch == 2)
            await settled(hub, exchange, one)
            seen = ids(one.take_nowait())
            assert seen == truth(exchange, "KRW-BTC", seen[0])
            assert not one.closed

    asyncio.run(main())


def test_frames_of_unknown_types_are_only_logged(
    exchange: Exchange, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with hub_of(exchange, tmp_path) as hub:
            one = await joined(hub, BTC)
            exchange.streams.faults.replace += [b'{"type":"liquidation","code":"KRW-BTC"}', b"<html></html>"]
            await until(lambda: not exchange.streams.faults.replace)
            before = one.received
            await until(lambda: one.received > before)
            assert not one.closed

    asyncio.run(main())
    assert any("'liquidation'" in one for one in caplog.messages)


def test_a_connection_that_cannot_be_opened_is_an_error_of_every_subscriber(exchange: Exchange, tmp_path: Path) -> None:
    async def main() -> None:
        async with hub_of(exchange, tmp_path, url="ws://127.0.0.1:9/websocket/v1") as hub:
            for _ in range(2):
                with pytest.raises(ConnectionFailed, match="ws_url"):
                    await joined(hub, BTC)
                assert hub.subscribers == 0

    asyncio.run(main())


def test_a_new_subscriber_of_a_connection_that_stays_down_gets_an_error(exchange: Exchange, tmp_path: Path) -> None:
    async def main() -> None:
        async with hub_of(exchange, tmp_path) as hub:
            here = await joined(hub, BTC)
            hub._open_timeout = 0.4
            exchange.streams.faults.refuse += [503] * 50
            await asyncio.to_thread(exchange.streams.drop)
            await until(lambda: hub.state in ("waiting", "connecting"))
            with pytest.raises(ConnectionFailed, match=r"within 0\.4 s"):
                await joined(hub, ETH)
            assert hub.subscribers == 1
            exchange.streams.faults.refuse = []
            await until(lambda: hub.epoch == 2)
            await settled(hub, exchange, here)
            delivered = ids(here.take_nowait())
            assert delivered == truth(exchange, "KRW-BTC", delivered[0])

    asyncio.run(main())


def test_who_gives_up_while_it_opens_is_forgotten(exchange: Exchange, tmp_path: Path) -> None:
    exchange.streams.faults.refuse += [503] * 50

    async def main() -> None:
        async with hub_of(exchange, tmp_path, retry=RetryPolicy(base=30.0)) as hub:
            task = asyncio.create_task(hub.subscribe(subscriber(BTC)))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert hub.subscribers == 0

    asyncio.run(main())


@pytest.mark.parametrize("how", ["open", "half open", "backfilling", "waiting"])
def test_the_end_never_hangs_and_wakes_everybody(exchange: Exchange, tmp_path: Path, how: str) -> None:
    async def main() -> None:
        async with hub_of(exchange, tmp_path) as hub:
            one = await joined(hub, BTC)
            await until(lambda: one.rows)
            one.take_nowait()
            if how == "half open":
                await asyncio.to_thread(exchange.streams.half_open)
            elif how == "backfilling":
                exchange.faults.add("silence", times=None, match="/v1/trades")
                await asyncio.to_thread(exchange.streams.drop)
                await until(lambda: hub.is_backfilling(BTC.key))
            elif how == "waiting":
                exchange.streams.faults.refuse += [503] * 100
                await asyncio.to_thread(exchange.streams.drop)
                await until(lambda: hub.state == "waiting")

            async def read() -> list[Row]:
                while rows := await one.take():
                    pass
                return rows

            reader = asyncio.create_task(read())
            await asyncio.sleep(0)
            async with asyncio.timeout(60):
                await hub.aclose()
                assert await reader == []
            assert one.closed
            assert hub.subscribers == 0

    asyncio.run(main())
