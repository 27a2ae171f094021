"""Markets over real candle files and given trades."""

from __future__ import annotations

import csv
import gzip
from decimal import Decimal

import numpy as np
import pytest

from upbit_frames.testing import CandleFile, Exchange, FixedTrades, Listing, MarketModel
from upbit_frames.testing.market.price_ticks import SCALE
from upbit_frames.testing.market.sources import read_candle_file
from upbit_frames.testing.server.virtual_clock import moment

FILES = {
    "KRW-BTC_1m_2025-09.csv.gz": ("KRW-BTC", "1m"),
    "KRW-DOGE_1m_2025-09.csv.gz": ("KRW-DOGE", "1m"),
    "KRW-BTC_1h_2022-2025.csv.gz": ("KRW-BTC", "1h"),
}


def rows_of(path):
    """The file's rows by another reader, in exact units."""
    with gzip.open(path, "rt") as lines:
        for row in csv.DictReader(lines):
            numbers = [int(Decimal(row[name]) * SCALE) for name in ("open", "high", "low", "close", "volume")]
            yield [moment(row["timestamp"]), *numbers]


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_served_row_for_row(real_data, name):
    path = real_data / "history" / name
    market, interval = FILES[name]
    expected = list(rows_of(path))
    with Exchange(markets={market: path}, now=expected[-1][0] + 86_400_000_000) as exchange:
        found = exchange.market.candles(market, interval, 0, exchange.clock.now())
    columns = (found.time, found.open, found.high, found.low, found.close)
    mine = [list(row) for row in zip(*(one.tolist() for one in columns), found.volume, strict=True)]
    assert mine == expected


def test_an_hour_from_minutes_is_the_real_hour(real_data):
    minutes = real_data / "history" / "KRW-BTC_1m_2025-09.csv.gz"
    hours = real_data / "history" / "KRW-BTC_1h_2022-2025.csv.gz"
    listing = Listing("KRW-BTC", "비트코인", "Bitcoin", 1, 0, 0, listed=moment("2025-09-01"))
    model = MarketModel(1, [CandleFile(listing, minutes)])
    found = model.candles("KRW-BTC", "1h", moment("2025-09-01"), moment("2025-09-29"))
    time, ohlcv = read_candle_file(hours)
    inside = (time >= moment("2025-09-01")) & (time < moment("2025-09-29"))
    assert (found.time == time[inside]).all()
    assert (np.stack((found.open, found.high, found.low, found.close)) == ohlcv[:4, inside]).all()
    assert found.volume == ohlcv[4, inside].tolist()


def test_a_row_without_volume_is_no_candle(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(
        "timestamp,open,high,low,close,volume\n2025-09-01 00:01:00,3,4,1,2,0.5\n2025-09-01 00:00:00,3,3,3,3,0\n"
        "2025-09-01 00:02:00,1.5,1.5,1.5,1.5,0.00000002\n"
    )
    time, ohlcv = read_candle_file(path)
    assert time.tolist() == [moment("2025-09-01T00:01"), moment("2025-09-01T00:02")]
    assert ohlcv[:, 0].tolist() == [3 * SCALE, 4 * SCALE, SCALE, 2 * SCALE, SCALE // 2]
    market = CandleFile(Listing("KRW-X", "엑스", "X", 1, 0, 0, listed=0), path)
    model = MarketModel(1, [market])
    assert model.candles("KRW-X", "1m", 0, moment("2026-01-01")).volume == [SCALE // 2, 2]
    path.write_text("timestamp,open,high,low,close,volume\n2025-09-01 00:01:00,3,4,1,2,0.00000003\n")
    with pytest.raises(ValueError, match="several prices"):
        CandleFile(Listing("KRW-X", "엑스", "X", 1, 0, 0, listed=0), path)


def test_given_trades_are_checked():
    listing = Listing("KRW-TOY", "장난감", "Toy", 100, 0, 0, listed=0)
    for wrong, why in [
        ([(2, 1, 1, "bid"), (1, 1, 1, "bid")], "order of time"),
        ([(1, 1, 1, "buy")], "'bid' or 'ask'"),
        ([(1, "0.000000001", 1, "bid")], "8 decimals"),
        ([(1, 0, 1, "bid")], "positive"),
    ]:
        with pytest.raises(ValueError, match=why):
            FixedTrades(listing, wrong)
    assert not len(MarketModel(1, [FixedTrades(listing, [])]).candles("KRW-TOY", "1y", 0, 10**15))
