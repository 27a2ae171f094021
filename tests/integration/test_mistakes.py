"""The most usual mistakes of a new user: each message says what was wrong, what is possible and what to do, briefly."""

from __future__ import annotations

import datetime as dt
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import upbit_frames as uf
from upbit_frames import errors
from upbit_frames.core.bar_grid import parse_grid
from upbit_frames.errors import (
    ConfigError,
    InvalidArgument,
    InvalidInterval,
    InvalidMarket,
    InvalidRange,
    MarketNotFound,
    NotCached,
    NotRecorded,
    QueryError,
    UpbitFramesWarning,
    UsageError,
)
from upbit_frames.testing import Exchange

LINES, WIDTH = 4, 100
DAY = {"start": "2026-02-01", "end": "2026-02-02"}
BTC = "KRW-BTC"


@pytest.fixture(scope="module")
def listing() -> Iterator[Exchange]:
    with Exchange(seed=7, now="2026-03-01T03:30:00Z", limits=False) as running:
        yield running


@pytest.fixture
def c(listing: Exchange, tmp_path: Path) -> uf.Client:
    (tmp_path / "file").write_text("no folder")
    return uf.Client(listing.config(cache_dir=tmp_path / "store", cassette_dir=tmp_path / "cassettes", progress=False))


def frame(c: uf.Client) -> pd.DataFrame:
    return c.candles(BTC, "1m", start="2026-02-01", end="2026-02-01 01:00")


def recorded(c: uf.Client, name: str, mode: str | None = None) -> None:
    with uf.using(cassette_dir=c.config.cassette_dir), uf.cassette(name, mode):
        c.candles(BTC, "1d", count=2)


Mistake = tuple[Callable[[uf.Client], Any], type[BaseException], str]

MISTAKES: dict[str, Mistake] = {
    # markets
    "market misspelt": (
        lambda c: c.candles("KRW-BTCC"), MarketNotFound, r"not know KRW-BTCC.*uf\.markets\(\) lists all"),
    "market renamed": (lambda c: c.candles("KRW-MATIC"), MarketNotFound, "KRW-MATIC is called KRW-POL now"),
    "one of the list misspelt": (
        lambda c: c.ticker([BTC, "KRW-ZZZ"]), MarketNotFound, "not know KRW-ZZZ.*errors='skip' leaves them out"),
    "market the wrong way round": (lambda c: c.candles("BTC-KRW"), InvalidMarket, "did you mean 'KRW-BTC'"),
    "market with a slash": (lambda c: c.candles("BTC/KRW"), InvalidMarket, "did you mean 'KRW-BTC'"),
    "market without a dash": (lambda c: c.candles("KRWBTC"), InvalidMarket, "did you mean 'KRW-BTC'"),
    "currency alone": (lambda c: c.candles("btc"), InvalidMarket, "got 'btc'.*did you mean 'KRW-BTC'"),
    "English name": (lambda c: c.candles("bitcoin"), InvalidMarket, r"as a name, uf\.markets\(\) has its code"),
    "Korean name of another currency": (
        lambda c: c.candles("비트코인캐쉬"), MarketNotFound, r"'비트코인캐쉬'\. Suggestion: uf\.markets\(\)"),
    "Korean name with a slip": (lambda c: c.candles("이더륨"), MarketNotFound, r"did you mean '이더리움' \(KRW-ETH\)"),
    "Korean name cut off": (lambda c: c.candles("비트코"), MarketNotFound, r"begin so: '비트코인' \(KRW-BTC\)"),
    "markets in one text": (lambda c: c.candles("KRW-BTC,KRW-ETH"), InvalidMarket, r"a list: \['KRW-BTC', 'KRW-ETH'\]"),
    "list of lists": (lambda c: c.candles([[BTC, "KRW-ETH"]]), InvalidMarket, "got 2 of them.*one flat list of codes"),
    "markets as arguments": (lambda c: c.ticker(BTC, "KRW-ETH"), InvalidArgument, r"are a list, such as \['KRW-BTC'"),
    "empty list": (lambda c: c.candles([]), InvalidMarket, "at least one market, and this list is empty"),
    "None": (lambda c: c.candles(None), InvalidMarket, "for instance 'KRW-BTC', or quote='KRW'"),
    "number for a market": (lambda c: c.candles(123), InvalidMarket, r"got 123.*such as 'KRW-BTC'"),
    "quote as a market": (lambda c: c.candles("KRW"), InvalidMarket, "quote='KRW' stands for all of its markets"),
    "quote that is none": (lambda c: c.candles(quote="WON"), QueryError, "currency 'WON'.*there are BTC, KRW, USDT"),
    "quote in Korean": (lambda c: c.ticker(quote="원화"), QueryError, "the won is 'KRW'"),
    "market for a quote": (lambda c: c.markets(BTC), QueryError, "currency 'KRW-BTC'.*there are BTC, KRW, USDT"),
    # arguments in the wrong place
    "market and interval swapped": (lambda c: c.candles("1m", BTC), InvalidMarket, "an interval, which comes after"),
    "stream's arguments swapped": (
        lambda c: c.stream("trade", BTC, seconds=1), QueryError, "kind='KRW-BTC'.*that is a market, which comes first"),
    "explain's arguments swapped": (
        lambda c: c.explain(BTC, "candles"), QueryError, r"the call comes first: explain\('candles', 'KRW-BTC'\)"),
    "count by position": (lambda c: c.candles(BTC, "1m", 200), InvalidArgument, "write count=200"),
    "count for the interval": (lambda c: c.candles(BTC, 200), InvalidInterval, "rows are count=200"),
    "dates by position": (
        lambda c: c.candles(BTC, "1m", "2026-01-01", "2026-01-02"), InvalidArgument,
        "write start='2026-01-01', end='2026-01-02'"),
    "interval of trades": (lambda c: c.trades(BTC, "1m"), InvalidArgument, "by name: market, quote, start, end, count"),
    "ccxt's argument": (lambda c: c.candles(BTC, timeframe="1m"), InvalidArgument, "use interval=; there are market"),
    "pyupbit's argument": (lambda c: c.candles(BTC, to="2026-01-01"), InvalidArgument, r"use end= \(exclusive\)"),
    "market left out": (lambda c: c.stream(), InvalidMarket, "for instance 'KRW-BTC', or quote='KRW'"),
    "call left out": (lambda c: c.explain(), InvalidArgument, r"explain\(\) needs call.*there are call, "),
    "a client of a market": (lambda c: uf.Client(BTC), InvalidArgument, "got 'KRW-BTC'.*given to its calls"),  # type: ignore[arg-type]
    # intervals
    "interval without a unit": (lambda c: c.candles(BTC, "60"), InvalidInterval, "write '1h' for minutes"),
    "interval as a number": (lambda c: c.candles(BTC, 60), InvalidInterval, "no unit; write '1h' for minutes"),
    "interval with a wrong unit": (lambda c: c.candles(BTC, "5x"), InvalidInterval, "did you mean '5m'"),
    "interval below seconds": (lambda c: c.candles(BTC, "500ms"), InvalidInterval, "the shortest is '1s'"),
    "interval that divides no day": (lambda c: c.candles(BTC, "7m"), InvalidInterval, "did you mean '6m' or '8m'"),
    "download of a derived interval": (
        lambda c: c.download(BTC, "2h", **DAY), InvalidInterval, "candles of 2h are made of '1h': give that here"),
    "update of a derived interval": (
        lambda c: c.update(BTC, "45m"), InvalidInterval, "candles of 45m are made of '15m': give that here"),
    "scan of a derived interval": (lambda c: c.scan(BTC, "3d"), InvalidInterval, "candles of 3d are made of '1d'"),
    "cache of a derived interval": (lambda c: uf.cache.coverage(BTC, "2h"), InvalidInterval, "made of '1h'"),
    "clearing a derived interval": (lambda c: uf.cache.clear(BTC, "2w"), InvalidInterval, "made of '1w'"),
    "months for minutes in a download": (
        lambda c: c.download(BTC, "5M", **DAY), InvalidInterval, "'M' is a month; write '5m' for minutes"),
    "download without a start": (lambda c: c.download(BTC, "1h"), InvalidRange, "needs a start.*'2024-01-01'"),
    "stream of days": (lambda c: c.stream(BTC, "candle.1d"), InvalidInterval, "for others use uf.candles"),
    "stream of candles of no interval": (lambda c: c.stream(BTC, "candles"), QueryError, "interval: 'candle.1m'"),
    "following days": (lambda c: c.follow(BTC, "1d"), InvalidInterval, "follow one of 1s, 1m"),
    "resampling with a wrong grammar": (lambda c: frame(c).uf.resample("5x"), InvalidInterval, "did you mean '5m'"),
    "resampling to shorter candles": (lambda c: frame(c).uf.resample("30s"), InvalidInterval, "fetch candles of 30s"),
    # moments
    "day or month first": (
        lambda c: c.candles(BTC, start="01/02/2026"), InvalidRange, "year first: '2026-01-02' or '2026-02-01'"),
    "day that can only be first": (lambda c: c.candles(BTC, start="31.01.2026"), InvalidRange, "first: '2026-01-31'"),
    "day that does not exist": (lambda c: c.candles(BTC, start="2026-02-30"), InvalidRange, "calendar has no such day"),
    "seconds since 1970": (
        lambda c: c.candles(BTC, start=1767225600), InvalidRange, r"pd\.Timestamp\(1767225600, unit='s', tz='UTC'\)"),
    "milliseconds since 1970": (lambda c: c.candles(BTC, start=1767225600000), InvalidRange, "unit='ms'"),
    "milliseconds as text": (lambda c: c.candles(BTC, start="1767225600000"), InvalidRange, "unit='ms'"),
    "day as a number": (lambda c: c.candles(BTC, start=20260101), InvalidRange, "write the day as text: '2026-01-01'"),
    "length without a sign": (lambda c: c.candles(BTC, start="7d"), InvalidRange, "start='-7d' is so long before now"),
    "end before start": (lambda c: c.candles(BTC, start="2026-02-03", end="2026-02-01"), InvalidRange, "swap them"),
    "end at start": (lambda c: c.candles(BTC, start="2026-02-03", end="2026-02-03"), InvalidRange, "end is exclusive"),
    "start in the future": (
        lambda c: c.candles(BTC, "1d", start="2027-02-03"), InvalidRange, "future.*clock says 2026-03-01T03:30"),
    "range in the future": (
        lambda c: c.candles(BTC, "1d", start="2027-02-03", end="2027-02-05"), InvalidRange, "future.*2026-03-01T03:30"),
    "trades of the future": (lambda c: c.trades(BTC, start="2027-02-03", end="2027-02-05"), InvalidRange, "future"),
    "count in the future": (lambda c: c.candles(BTC, start="2027-02-03", count=5), InvalidRange, "in the future"),
    "range with a count": (lambda c: c.candles(BTC, count=3, **DAY), InvalidRange, "leave one out"),
    "city for a zone": (lambda c: c.candles(BTC, tz="Seoul"), ConfigError, "did you mean 'Asia/Seoul'"),
    "zone misspelt": (lambda c: c.candles(BTC, tz="Asia/Soeul"), ConfigError, "did you mean 'Asia/Seoul'"),
    "hours for a zone": (lambda c: c.candles(BTC, tz=9), ConfigError, r"as an offset in hours that is '\+09:00'"),
    # numbers and words
    "count 0": (lambda c: c.candles(BTC, count=0), InvalidRange, "integer from 1 to 100,000,000, got 0"),
    "count -1": (lambda c: c.candles(BTC, count=-1), InvalidRange, "integer from 1 to 100,000,000, got -1"),
    "count too large": (lambda c: c.candles(BTC, count=10**9), InvalidRange, "to 100,000,000, got 1000000000"),
    "count as text": (lambda c: c.candles(BTC, count="100"), InvalidRange, "without quotes: count=100"),
    "output abbreviated": (lambda c: c.candles(BTC, output="pd"), QueryError, "did you mean 'pandas'"),
    "source by another word": (lambda c: c.candles(BTC, source="websocket"), QueryError, "did you mean 'live'"),
    "gaps by pandas' word": (lambda c: c.candles(BTC, gaps="ffill"), QueryError, "did you mean 'fill'"),
    "column misspelt": (lambda c: c.candles(BTC, columns=["clos"]), QueryError, "did you mean 'close'"),
    "column by Upbit's name": (lambda c: c.candles(BTC, columns=["trade_price"]), QueryError, "did you mean 'close'"),
    "column in Korean": (lambda c: c.candles(BTC, columns=["거래대금"]), QueryError, "did you mean 'value'"),
    "depth 0": (lambda c: c.orderbook(BTC, depth=0), QueryError, "depth must be an integer from 1 to 30, got 0"),
    "depth 100": (lambda c: c.orderbook(BTC, depth=100), QueryError, "integer from 1 to 30, got 100"),
    "level that is not supported": (
        lambda c: c.orderbook(BTC, level=123), QueryError, r"cannot be grouped by 123.*uf\.instruments\(markets\)"),
    "levels out of range": (lambda c: c.books(BTC, levels=99), QueryError, "levels must be an integer from 1 to 30"),
    "seconds negative": (lambda c: c.stream(BTC, seconds=-1), QueryError, "seconds must be a number above 0, got -1"),
    # names that do not exist
    "pyupbit's get_ohlcv": (lambda c: uf.get_ohlcv, AttributeError, r"uf\.candles\(.*upbit_frames\.compat\.pyupbit"),
    "pyupbit's get_current_price": (lambda c: uf.get_current_price, AttributeError, r"uf\.ticker\(markets\)"),
    "pyupbit's Upbit": (lambda c: uf.Upbit, AttributeError, "orders and accounts need keys"),
    "ccxt's fetch_ohlcv": (lambda c: uf.fetch_ohlcv, AttributeError, r"the counterpart is uf\.candles\("),
    "call in the singular": (lambda c: uf.candle, AttributeError, r"did you mean uf\.candles\?"),
    "call that does not exist": (lambda c: uf.nothing, AttributeError, r"dir\(uf\) lists what there is"),
    "coroutine that does not exist": (lambda c: uf.aio.candle, AttributeError, r"did you mean uf\.aio\.candles\?"),  # type: ignore[attr-defined]
    "method misspelt": (lambda c: frame(c).uf.resmaple, AttributeError, r"did you mean df\.uf\.resample\?"),
    "method that does not exist": (lambda c: frame(c).uf.nothing, AttributeError, "there are bars, chart, depth"),
    "frame of something else": (lambda c: pd.DataFrame({"a": [1]}).uf, AttributeError, "lacks time, open, high"),
    "setting that does not exist": (lambda c: uf.configure(offline=True), ConfigError, "source='store' in a call"),
    "setting by another name": (lambda c: uf.configure(cache="x"), ConfigError, "did you mean 'cache_dir'"),
    "await forgotten": (lambda c: uf.aio.candles(BTC).head(), AttributeError, "'coroutine' object"),  # type: ignore[attr-defined]
    # the store and cassettes
    "nothing stored": (lambda c: c.candles(BTC, source="store", count=5), NotCached, "leave source= out to fetch it"),
    "range not stored": (
        lambda c: c.candles(BTC, "1d", source="store", **DAY), NotCached, "lacks .2026-02-01.*leave source= out"),
    "books never recorded": (lambda c: c.books(BTC), NotCached, r"never recorded.*uf\.record\(market\)"),
    "store for an URL": (
        lambda c: uf.configure(cache_dir="s3://bucket/x"), ConfigError, "local folder.*the setting shared_store"),
    "cassette with a path": (lambda c: recorded(c, "../x"), QueryError, r"'\.\./x' cannot name a cassette.*letters"),
    "cassette without a name": (lambda c: recorded(c, ""), QueryError, "cannot name a cassette"),
    "cassette never recorded": (lambda c: recorded(c, "none-such", "none"), NotRecorded, "none-such"),
    "cassette mode": (lambda c: recorded(c, "x", "replay"), ConfigError, "got 'replay'.*none only replays"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
@pytest.mark.filterwarnings("ignore:coroutine 'candles' was never awaited:RuntimeWarning")
def test_a_mistake_is_explained(listing: Exchange, c: uf.Client, name: str) -> None:
    call, error, says = MISTAKES[name]
    with pytest.raises(error) as caught:
        call(c)
    text = str(caught.value)
    assert re.search(says, text, re.DOTALL)
    lines = textwrap.wrap(f"{type(caught.value).__name__}: {text}", WIDTH, break_on_hyphens=False)
    assert len(lines) <= LINES
    assert ".." not in text.replace("'../x'", "")
    for suggested in re.findall(r"did you mean ([^?]*)\?", text):
        for word in re.findall(r"'([^']+)'", suggested):
            assert _exists(word, listing), word


def _exists(word: str, exchange: Exchange) -> bool:
    """Whether what a message suggests is there, as far as it is a market or an interval."""
    if re.fullmatch(r"[A-Z]+-[A-Z]+", word):
        return exchange.market.listing(word) is not None
    return parse_grid(word) is not None if word[0].isdigit() else True


def test_what_is_no_mistake_works(c: uf.Client) -> None:
    hours = c.candles(BTC, "1h", count=2, end="2026-02-01")
    for interval in ("minute60", "60min", "1H", "60m", dt.timedelta(hours=1)):
        pd.testing.assert_frame_equal(c.candles(BTC, interval, count=2, end="2026-02-01"), hours)
    days = c.candles(BTC, "1d", start="2026-01-01", end="2026-01-03")
    for start, end in (
        ("2026-1-1", "2026-1-3"),
        ("20260101", "2026/01/03"),
        (dt.datetime(2026, 1, 1), dt.date(2026, 1, 3)),
    ):
        pd.testing.assert_frame_equal(c.candles("krw-btc", "day", start=start, end=end), days)


def test_a_naive_moment_is_read_in_the_zone_of_the_call(c: uf.Client) -> None:
    naive = dt.datetime(2026, 2, 1)
    assert str(c.candles(BTC, "1h", start=naive, count=1).index[0]) == "2026-02-01 00:00:00+00:00"
    assert str(c.candles(BTC, "1h", start=naive, count=1, tz="KST").index[0]) == "2026-02-01 00:00:00+09:00"


def test_a_file_for_a_cache_folder_warns_and_serves(listing: Exchange, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    client = uf.Client(listing.config(cache_dir=tmp_path / "file", progress=False))
    with pytest.warns(UpbitFramesWarning, match=r"cannot be used .*check the folder .*another cache_dir"):
        assert len(client.candles(BTC, "1d", count=2)) == 2


def test_a_range_that_only_ends_in_the_future_is_that_until_now(c: uf.Client) -> None:
    assert len(c.candles(BTC, "1d", start="2026-02-27", end="2027-01-01")) == 2


def test_a_closed_client_says_so(listing: Exchange) -> None:
    client = uf.Client(listing.config())
    client.close()
    with pytest.raises(UsageError, match=r"this Client is closed.*make a new one"):
        client.markets()


def test_every_error_is_of_the_tree() -> None:
    ours = [error for _, error, _ in MISTAKES.values() if error is not AttributeError]
    assert all(issubclass(error, errors.UpbitFramesError) for error in ours)
    assert len(MISTAKES) >= 40
