"""Whatever goes wrong on the way: the right frame or the right error, and a store that is true."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

import upbit_frames as uf
from upbit_frames.api.engine import open_store
from upbit_frames.store.base import Series
from upbit_frames.testing import Exchange
from upbit_frames.testing.server.faults import KINDS

SERIES = Series("candles", "KRW-BTC", "1m")
START, END = "2026-02-20T00:00:00+00:00", "2026-02-21T00:00:00+00:00"
FAST = {"timeout": 0.4}
OPTIONS: dict[str, dict[str, Any]] = {"slow": {"seconds": 0.1}, "drip": {"size": 4096, "pause": 0.001}}

# What one fault in the middle of a backfill may be answered with; none: it must not be noticed.
ONCE: dict[str, type[Exception] | None] = {
    **dict.fromkeys(KINDS),
    "418": uf.errors.Blocked,
    **dict.fromkeys(["missing", "null", "type", "unit", "other_market", "object"], uf.errors.SchemaError),
}
# What remains when it never ends.
ALWAYS: dict[str, type[Exception] | None] = {
    **ONCE,
    "429": uf.errors.RateLimited,
    **dict.fromkeys(["500", "502", "503"], uf.errors.ServerError),
    **dict.fromkeys(["html", "garbage", "blank", "cut"], uf.errors.SchemaError),
    **dict.fromkeys(["drop", "drop_body"], uf.errors.ConnectionFailed),
    "silence": uf.errors.Timeout,
}


def candles(client: uf.Client, **settings: Any) -> pa.Table:
    table: pa.Table = client.candles("KRW-BTC", "1m", start=START, end=END, output="arrow", **settings)
    return table.replace_schema_metadata(None)


def stored_is_true(client: uf.Client, exchange: Exchange) -> None:
    """Nothing is damaged, and what is known to the store is what the exchange says."""
    store = open_store(client.config)
    assert store.verify() == []
    for span in store.covered(SERIES):
        want = exchange.market.candles("KRW-BTC", "1m", *span).table()
        assert store.read(SERIES, span).equals(want)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_one_fault(
    exchange: Exchange, make_client: Callable[..., uf.Client], truth: Callable[..., pa.Table], kind: str
) -> None:
    client = make_client(exchange, **FAST)
    fault = exchange.faults.add(kind, match="/v1/candles", after=3, **OPTIONS.get(kind, {}))
    expected = ONCE[kind]
    if expected is not None:
        with pytest.raises(expected) as caught:
            candles(client)
        assert str(exchange.rest_url) in str(caught.value.context.get("url", exchange.rest_url))
        assert "→" in str(caught.value) or caught.value.suggestion
        stored_is_true(client, exchange)
    assert candles(client).equals(truth(exchange, "KRW-BTC", "1m", START, END))
    assert fault.hits == 1
    stored_is_true(client, exchange)
    exchange.requests.clear()
    candles(client)
    assert exchange.requests == []


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"empty", "short"}))
def test_a_fault_without_end(
    exchange: Exchange, make_client: Callable[..., uf.Client], truth: Callable[..., pa.Table], kind: str
) -> None:
    client = make_client(exchange, **FAST)
    exchange.faults.add(kind, match="/v1/candles", after=3, times=None, **OPTIONS.get(kind, {}))
    expected = ALWAYS[kind]
    if expected is not None:
        with pytest.raises(expected):
            candles(client)
        stored_is_true(client, exchange)
    exchange.faults.clear()
    exchange.requests.clear()
    assert candles(client).equals(truth(exchange, "KRW-BTC", "1m", START, END))
    stored_is_true(client, exchange)


def test_an_empty_lie_about_old_history_is_not_believed_where_older_candles_are_known(
    exchange: Exchange, make_client: Callable[..., uf.Client], truth: Callable[..., pa.Table]
) -> None:
    client = make_client(exchange)
    client.candles("KRW-BTC", "1m", start="2026-02-19T00:00", end="2026-02-19T03:00")
    exchange.faults.add("empty", match="/v1/candles", times=None)
    with pytest.raises(uf.errors.SchemaError, match="older candles are known"):
        candles(client)
    stored_is_true(client, exchange)
    exchange.faults.clear()
    assert candles(client).equals(truth(exchange, "KRW-BTC", "1m", START, END))


@pytest.mark.parametrize("seed", range(3))
def test_everything_at_once_in_a_hundred_pages(
    exchange: Exchange, make_client: Callable[..., uf.Client], truth: Callable[..., pa.Table], seed: int
) -> None:
    client = make_client(exchange, **FAST)
    choose = random.Random(seed)
    # A short or empty lie is found out by asking again, so the second answer must not lie as well.
    for kind in sorted(set(KINDS) - {"418"}):
        times = 1 if kind in ("empty", "short") else 3
        exchange.faults.add(
            kind, match="/v1/candles", after=choose.randrange(100), probability=0.05, times=times, seed=seed,
            **OPTIONS.get(kind, {}),
        )  # fmt: skip
    start, end = "2026-02-14T00:00:00+00:00", "2026-02-27T21:20:00+00:00"
    want = truth(exchange, "KRW-BTC", "1m", start, end)
    for _ in range(60):
        try:
            table = client.candles("KRW-BTC", "1m", start=start, end=end, output="arrow")
            break
        except uf.errors.SchemaError:
            stored_is_true(client, exchange)
    assert len(want) > 19_000
    assert table.replace_schema_metadata(None).equals(want)
    stored_is_true(client, exchange)
    # No page that came was asked for again: beyond the pages only what failed and what tested a claim.
    good = sum(one.status == 200 and one.fault is None for one in exchange.requests)
    assert good <= -(-len(want) // 200) + 12 + 6 * sum(one.fault is not None for one in exchange.requests)
