"""Where there is little or nothing: a handful of requests, and the truth."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest

import upbit_frames as uf
from upbit_frames.errors import UpbitFramesWarning
from upbit_frames.testing import Exchange

HANDFUL = 15  # the time of the exchange twice, as the machine does not agree; the market's first month; and twelve


def check(
    exchange: Exchange, client: uf.Client, truth: Callable[..., pa.Table],
    market: str, interval: str, start: str, end: str,
) -> tuple[int, int]:  # fmt: skip
    """Rows and requests; the rows are right, and asked again nothing is requested."""
    exchange.requests.clear()
    table = client.candles(market, interval, start=start, end=end, output="arrow").replace_schema_metadata(None)
    asked = len(exchange.requests)
    assert table.equals(truth(exchange, market, interval, start, end))
    again = client.candles(market, interval, start=start, end=end, output="arrow").replace_schema_metadata(None)
    assert len(exchange.requests) == asked
    assert again.equals(table)
    assert asked <= -(-len(table) // 200) + HANDFUL
    return len(table), asked


def test_listed_in_the_middle_of_the_range(
    exchange: Exchange, client: uf.Client, truth: Callable[..., pa.Table]
) -> None:
    # Trading began on 15 January; the range begins years before.
    check(exchange, client, truth, "KRW-NEW", "1m", "2019-01-01T00:00:00+00:00", "2026-01-16T12:00:00+00:00")
    # What was learnt about the beginning holds for other questions.
    exchange.requests.clear()
    with pytest.warns(UpbitFramesWarning, match="KRW-NEW has no candle before 2018-06-01"):
        assert len(client.candles("KRW-NEW", "1m", start="2018-01-01", end="2018-06-01")) == 0
    assert exchange.requests == []


def test_a_market_silent_for_weeks(exchange: Exchange, client: uf.Client, truth: Callable[..., pa.Table]) -> None:
    rows, asked = check(
        exchange, client, truth, "KRW-QUIET", "1m", "2025-12-18T00:00:00+00:00", "2026-02-05T00:00:00+00:00"
    )
    assert rows < 400
    assert asked <= HANDFUL


def test_only_silence(exchange: Exchange, client: uf.Client, truth: Callable[..., pa.Table]) -> None:
    rows, asked = check(
        exchange, client, truth, "KRW-QUIET", "1m", "2026-01-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00"
    )
    assert rows == 0
    assert asked <= HANDFUL


def test_nothing_was_ever_traded(exchange: Exchange, client: uf.Client) -> None:
    with pytest.warns(uf.errors.UpbitFramesWarning, match="nothing else confirms it"):
        assert len(client.candles("KRW-EMPTY", "1m", count=300)) == 0
    assert len(exchange.requests) <= HANDFUL


def test_a_maintenance_of_the_whole_exchange(
    exchange: Exchange, client: uf.Client, truth: Callable[..., pa.Table]
) -> None:
    from datetime import UTC, datetime

    from upbit_frames.core.intervals import to_micros

    year = [to_micros(datetime(year, 1, 1, tzinfo=UTC)) for year in (2024, 2026)]
    hole = max(exchange.market.maintenance(*year), key=lambda span: span.end - span.start)
    start, end = (
        datetime.fromtimestamp(one / 1e6, UTC).isoformat()
        for one in (hole.start - 7_200_000_000, hole.end + 7_200_000_000)
    )
    rows, _ = check(exchange, client, truth, "KRW-BTC", "1m", start, end)
    assert 200 < rows < 245


@pytest.mark.parametrize(
    ("market", "interval", "start"),
    [
        ("KRW-BTC", "1m", "2026-02-24T00:00:00+00:00"),
        ("KRW-ELF", "1m", "2025-12-01T00:00:00+00:00"),
        ("KRW-SHIB", "1m", "2026-02-15T00:00:00+00:00"),
        ("USDT-DOGE", "1m", "2025-01-01T00:00:00+00:00"),
        ("KRW-DOGE", "1s", "2026-02-25T00:00:00+00:00"),
        ("KRW-BTC", "1d", "2015-01-01T00:00:00+00:00"),
    ],
)
def test_requests_never_exceed_the_pages_by_more_than_twelve(
    exchange: Exchange, client: uf.Client, truth: Callable[..., pa.Table], market: str, interval: str, start: str
) -> None:
    check(exchange, client, truth, market, interval, start, "2026-02-28T00:00:00+00:00")


def test_the_first_candles_ever(exchange: Exchange, client: uf.Client) -> None:
    frame = client.candles("KRW-DOGE", "1m", start="2017-01-01", count=300)
    assert len(frame) == 300
    assert str(frame.index[0]).startswith("2021-02-24 05:")
    assert len(exchange.requests) <= HANDFUL + 2  # the first page is empty twice, then the listing is looked for


def test_a_delisted_market_is_named(client: uf.Client) -> None:
    with pytest.raises(uf.errors.MarketNotFound) as caught:
        client.candles("KRW-GONE", "1m", count=10)
    assert caught.value.context["market"] == "KRW-GONE"
