"""Bytes of candle pages → table → frame: candles a second, and pyupbit's way from the same bytes.

``python -m pytest tests/benchmarks/test_normalize_bench.py --benchmark-group-by=func``. The figures
worth quoting are printed by ``test_as_a_ratio`` (add ``-s``), which lets the ways take turns, so
that a busy machine slows all of them alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from upbit_frames.core.intervals import INTERVALS
from upbit_frames.exchange import wire as normalize
from upbit_frames.exchange.wire.candles import _decoder
from upbit_frames.frames import output as frames

PAGES, ROWS = 20, 200
MINUTE = INTERVALS["1m"]


def page(rng: np.random.Generator, newest: datetime, price: int) -> bytes:
    """A full page in the exchange's own spelling: padded digits, newest first."""
    rows = []
    for n in range(ROWS):
        start = newest - timedelta(minutes=n)
        low, a, b, high = (int(one) * price // 1000 for one in np.sort(rng.integers(1000, 1100, 4)))
        volume = round(float(rng.gamma(1, 3)), 8)
        rows.append(
            f'{{"market":"KRW-BTC","candle_date_time_utc":"{start:%Y-%m-%dT%H:%M:%S}",'
            f'"candle_date_time_kst":"{start + timedelta(hours=9):%Y-%m-%dT%H:%M:%S}",'
            f'"opening_price":{a:.8f},"high_price":{high:.8f},"low_price":{low:.8f},"trade_price":{b:.8f},'
            f'"timestamp":{int(start.timestamp() * 1000) + 59_132},"candle_acc_trade_price":{volume * b:.8f},'
            f'"candle_acc_trade_volume":{volume:.8f},"unit":1}}'
        )
    return ("[" + ",".join(rows) + "]").encode()


@pytest.fixture(scope="module", params=[100_000_000, 4_000_000], ids=["price of BTC", "price of ETH"])
def pages(request: pytest.FixtureRequest) -> list[bytes]:
    """Padded, a price above 90,071,992 has more digits than a float64, which costs decoders time."""
    rng = np.random.default_rng(7)
    newest = datetime(2026, 3, 11, 14, 40, tzinfo=UTC)
    return [page(rng, newest - timedelta(minutes=ROWS * n), request.param) for n in range(PAGES)]


def to_arrow(bodies: list[bytes]) -> Any:
    return pa.concat_tables([normalize.candles(body, "KRW-BTC", MINUTE) for body in reversed(bodies)])


def to_frame(bodies: list[bytes]) -> Any:
    return frames.to_output(to_arrow(bodies), "candles", "pandas")


@pytest.fixture
def by_pyupbit(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[bytes]], Any]:
    """pyupbit's own get_ohlcv, with requests answering from memory at once."""
    requests, request_api = pytest.importorskip("requests"), pytest.importorskip("pyupbit.request_api")
    from pyupbit import quotation_api

    left: list[bytes] = []

    def get(url: str, **_: Any) -> Any:
        response = requests.Response()
        response.status_code = 200
        response.headers["Remaining-Req"] = "group=candles; min=600; sec=9"
        response.headers["Content-Type"] = "application/json;charset=UTF-8"
        response.encoding = "utf-8"
        response._content = left.pop(0)
        return response

    monkeypatch.setattr(request_api.requests, "get", get)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)

    def run(bodies: list[bytes]) -> Any:
        left[:] = bodies
        frame = quotation_api.get_ohlcv("KRW-BTC", "minute1", count=ROWS * len(bodies), period=0)
        assert frame is not None
        return frame

    return run


def test_one_page(benchmark: Any, pages: list[bytes]) -> None:
    table = benchmark(normalize.candles, pages[0], "KRW-BTC", MINUTE)
    assert len(table) == ROWS


def test_twenty_pages(benchmark: Any, pages: list[bytes]) -> None:
    assert len(benchmark(to_arrow, pages)) == PAGES * ROWS


def test_a_cached_answer_of_200_rows_to_pandas(benchmark: Any, pages: list[bytes]) -> None:
    table = normalize.candles(pages[0], "KRW-BTC", MINUTE)
    frame = benchmark(frames.to_output, table, "candles", "pandas", tz="Asia/Seoul", attrs={"interval": "1m"})
    assert len(frame) == ROWS


def test_as_a_ratio(pages: list[bytes], by_pyupbit: Callable[[list[bytes]], Any]) -> None:
    """All ways take turns on the same bytes; the best CPU time of each counts."""
    ways: dict[str, Callable[[list[bytes]], Any]] = {
        "decode only": lambda bodies: [_decoder("KRW-BTC", 1).decode(body) for body in bodies],
        "to Arrow": to_arrow,
        "to pandas": to_frame,
        "pyupbit, to pandas": by_pyupbit,
    }
    ours, theirs = to_frame(pages), by_pyupbit(pages)
    assert np.array_equal(ours.to_numpy(), theirs.to_numpy())
    assert list(ours.columns) == list(theirs.columns)
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(40):
        for name, way in ways.items():
            began = time.process_time()
            way(pages)
            best[name] = min(best[name], time.process_time() - began)
    for name, seconds in best.items():
        rate, times = PAGES * ROWS / seconds, best["pyupbit, to pandas"] / seconds
        print(f"{name:28} {rate / 1e6:6.2f} million candles a second, {times:5.1f} times pyupbit's way")
