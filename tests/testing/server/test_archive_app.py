"""The stand-in's archive tells the same as the market behind its candles and trades."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime

import pytest

from upbit_frames.archive.csv_tables import candles_zip, trades_zip
from upbit_frames.archive.files import day_file, month_file
from upbit_frames.core.intervals import INTERVALS, to_micros
from upbit_frames.testing.market.model import MarketModel
from upbit_frames.testing.server.archive_app import ArchiveApp, ModelSource
from upbit_frames.testing.server.virtual_clock import VirtualClock

DAY = 86_400_000_000


def at(text: str) -> int:
    return to_micros(datetime.fromisoformat(text).replace(tzinfo=UTC))


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock("2026-03-01T00:59:59Z")


@pytest.fixture
def app(clock: VirtualClock) -> ArchiveApp:
    return ArchiveApp(ModelSource(MarketModel(7, now=clock.now)), clock.now)


@pytest.mark.parametrize("market", ["KRW-BTC", "BTC-XRP", "KRW-QUIET"])
@pytest.mark.parametrize("name", ["1s", "1m", "15m", "4h", "1d"])
def test_candles_are_those_of_the_market(app: ArchiveApp, market: str, name: str) -> None:
    interval = INTERVALS[name]
    file = (day_file if name == "1s" else month_file)(market, interval, at("2026-01-05"))
    table = candles_zip(app.handle(file.key).body, market, interval, file.period)
    assert table.equals(app.source._model.candles(market, interval, *file.period).table())  # type: ignore[attr-defined]


def test_trades_are_those_of_the_market(app: ArchiveApp) -> None:
    file = day_file("KRW-BTC", None, at("2026-01-05"))
    table = trades_zip(app.handle(file.key).body, "KRW-BTC", file.period)
    truth = app.source._model.trades("KRW-BTC", *file.period).table()  # type: ignore[attr-defined]
    assert len(table) > 1000
    for name in ("time", "price", "volume", "value", "side"):
        assert table[name].equals(truth[name])
    assert table["seq"].to_pylist() == list(range(len(table)))


def test_files_appear_the_day_after_by_the_clock(app: ArchiveApp, clock: VirtualClock) -> None:
    day = day_file("KRW-BTC", INTERVALS["1m"], at("2026-02-28"))
    month = month_file("KRW-BTC", INTERVALS["1m"], at("2026-02-28"))
    shown = {row["key"] for row in json.loads(app.handle("/listing", {"prefix": day.folder}).body)}
    assert day.key not in shown
    assert [app.handle(file.key + end).status for file in (day, month) for end in ("", ".checksum")] == [404] * 4
    clock.advance(1)
    shown = {row["key"] for row in json.loads(app.handle("/listing", {"prefix": day.folder}).body)}
    assert {day.key, day.key + ".checksum"} <= shown
    assert [app.handle(file.key + end).status for file in (day, month) for end in ("", ".checksum")] == [200] * 4
    digest = hashlib.sha256(app.handle(day.key).body).hexdigest()
    assert app.handle(day.key + ".checksum").body.split()[0].decode() == digest


def test_the_tree_can_be_walked(app: ArchiveApp) -> None:
    def children(prefix: str) -> list[str]:
        return [row["key"] for row in json.loads(app.handle("/listing", {"prefix": prefix}).body)]

    assert children("") == ["candle", "trade"]
    assert "candle/KRW-BTC" in children("candle")
    assert "candle/KRW-GONE" not in children("candle")  # delisted by now
    assert children("trade/KRW-BTC") == ["trade/KRW-BTC/daily", "trade/KRW-BTC/monthly"]
    assert "candle/KRW-BTC/daily/240m" in children("candle/KRW-BTC/daily/")
    assert "trade/KRW-BTC/daily/2026" in children("trade/KRW-BTC/daily")
    first = children("trade/KRW-BTC/daily/2022")[0]
    assert first == "trade/KRW-BTC/daily/2022/KRW-BTC_trade_20220501.zip"
    for nothing in ("candles", "candle/KRW-NONE", "candle/KRW-BTC/hourly", "candle/KRW-BTC/daily/2m", first):
        assert children(nothing) == []


@pytest.mark.parametrize(
    "key",
    [
        "", "candle", "../x", "candle/KRW-BTC/daily/1m/2026/KRW-BTC_candle-1m_20260230.zip",
        "candle/KRW-BTC/daily/1m/2025/KRW-BTC_candle-1m_20260101.zip",
        "candle/KRW-BTC/daily/1h/2026/KRW-BTC_candle-1h_20260101.zip",
        "candle/KRW-ETH/daily/1m/2026/KRW-BTC_candle-1m_20260101.zip",
        "candle/KRW-NEW/daily/1m/2025/KRW-NEW_candle-1m_20250101.zip",
        "candle/KRW-BTC/monthly/1m/2017/KRW-BTC_candle-1m_201709.zip",
        "trade/KRW-BTC/daily/2022/KRW-BTC_trade_20220430.zip",
    ],
)  # fmt: skip
def test_everything_else_is_not_there(app: ArchiveApp, key: str) -> None:
    assert app.handle(key).status == 404


def test_unknown_faults_are_refused(app: ArchiveApp) -> None:
    with pytest.raises(ValueError, match="got 'gremlins'"):
        app.fault("gremlins")


def test_a_corrected_file_has_other_bytes_and_the_same_rows(app: ArchiveApp) -> None:
    file = day_file("KRW-BTC", INTERVALS["1h"], at("2026-01-05"))
    before = app.handle(file.key).body
    app.correct(file.key)
    after = app.handle(file.key).body
    assert before != after
    read = [candles_zip(data, "KRW-BTC", INTERVALS["1h"], file.period) for data in (before, after)]
    assert read[0].equals(read[1])
