"""Real history, served page by page and put together again: row for row what it was."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

import upbit_frames as uf
from upbit_frames.testing import Exchange

PRICES = ["open", "high", "low", "close", "volume"]
START, END = "2025-09-01T00:00:00+00:00", "2025-10-01T00:00:00+00:00"


@pytest.mark.parametrize("market", ["KRW-DOGE", "KRW-BTC"])
def test_a_whole_month_equals_the_file(
    september: Exchange,
    make_client: Callable[..., uf.Client],
    history: Callable[[str], pd.DataFrame],
    market: str,
) -> None:
    client = make_client(september)
    file = history(f"{market}_1m_2025-09.csv.gz")[START:END].iloc[:-1]
    september.requests.clear()
    frame = client.candles(market, "1m", start=START, end=END)
    pd.testing.assert_frame_equal(frame[PRICES], file, check_freq=False)
    assert len(september.requests) <= -(-len(file) // 200) + 12
    september.requests.clear()
    again = client.candles(market, "1m", start=START, end=END)
    pd.testing.assert_frame_equal(again, frame)
    assert [step["channel"] for step in again.attrs["upbit_frames"]["route"]] == ["store"]
    assert september.requests == []


def test_the_holes_of_the_month_are_holes(september: Exchange, make_client: Callable[..., uf.Client]) -> None:
    client = make_client(september)
    raw = client.candles("KRW-DOGE", "1m", start=START, end=END)
    filled = client.candles("KRW-DOGE", "1m", start=START, end=END, gaps="fill")
    assert len(filled) == 30 * 1440
    assert filled["filled"].sum() == 30 * 1440 - len(raw)
    pd.testing.assert_frame_equal(filled[~filled["filled"]][raw.columns], raw, check_freq=False)
    quiet = filled[filled["filled"]]
    assert (quiet["volume"] == 0).all()
    assert (quiet["open"] == quiet["close"]).all()


def test_any_part_of_the_month_in_any_order(
    september: Exchange, make_client: Callable[..., uf.Client], history: Callable[[str], pd.DataFrame]
) -> None:
    client = make_client(september)
    file = history("KRW-DOGE_1m_2025-09.csv.gz")
    choose = random.Random(20250901)
    known = np.zeros(30 * 1440, dtype=bool)
    for _ in range(25):
        low = choose.randrange(30 * 1440 - 1)
        high = min(30 * 1440, low + choose.choice([1, 2, 59, 200, 201, 700, 3_000]))
        start, end = (pd.Timestamp(START) + pd.Timedelta(minutes=one) for one in (low, high))
        september.requests.clear()
        frame = client.candles("KRW-DOGE", "1m", start=start, end=end)
        want = file[(file.index >= start) & (file.index < end)]
        pd.testing.assert_frame_equal(frame[PRICES], want, check_freq=False)
        if known[low:high].all():
            assert september.requests == []
        known[low:high] = True


def test_first_and_last_of_the_month(
    september: Exchange, make_client: Callable[..., uf.Client], history: Callable[[str], pd.DataFrame]
) -> None:
    client = make_client(september)
    file = history("KRW-DOGE_1m_2025-09.csv.gz")
    last = client.candles("KRW-DOGE", "1m", end="2025-09-20T12:00", count=777)
    pd.testing.assert_frame_equal(last[PRICES], file[file.index < "2025-09-20T12:00Z"].tail(777), check_freq=False)
    first = client.candles("KRW-DOGE", "1m", start="2025-09-10T07:03", count=777)
    pd.testing.assert_frame_equal(first[PRICES], file[file.index >= "2025-09-10T07:03Z"].head(777), check_freq=False)


@pytest.mark.parametrize("market", ["KRW-DOGE", "KRW-BTC"])
def test_minutes_aggregated_by_hand_equal_the_hours(
    september: Exchange, make_client: Callable[..., uf.Client], market: str
) -> None:
    client = make_client(september)
    minutes = client.candles(market, "1m", start=START, end="2025-09-08")
    hours = client.candles(market, "1h", start=START, end="2025-09-08")
    by_hand = minutes.resample("1h").agg(
        {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum", "value": "sum"}
    )
    assert len(hours) == 7 * 24
    pd.testing.assert_frame_equal(hours[PRICES[:4]], by_hand[PRICES[:4]], check_freq=False)
    # Sums of floats differ from the exchange's exact sums by rounding only.
    np.testing.assert_allclose(hours[["volume", "value"]], by_hand[["volume", "value"]], rtol=1e-12)


def test_hours_equal_the_file_of_real_hours(
    september: Exchange, make_client: Callable[..., uf.Client], history: Callable[[str], pd.DataFrame]
) -> None:
    hours = make_client(september).candles("KRW-BTC", "1h", start=START, end="2025-09-29")
    file = history("KRW-BTC_1h_2022-2025.csv.gz")
    file = file[(file.index >= START) & (file.index < "2025-09-29T00:00Z")]
    pd.testing.assert_frame_equal(hours[PRICES[:4]], file[PRICES[:4]], check_freq=False)
    np.testing.assert_allclose(hours["volume"], file["volume"], rtol=1e-9)


def test_offline_the_month_is_still_there(september: Exchange, make_client: Callable[..., uf.Client]) -> None:
    client = make_client(september)
    online = client.candles("KRW-DOGE", "1m", start="2025-09-03", end="2025-09-05")
    september.requests.clear()
    pd.testing.assert_frame_equal(
        client.candles("KRW-DOGE", "1m", start="2025-09-03", end="2025-09-05", source="store"), online
    )
    with pytest.raises(uf.errors.NotCached) as caught:
        client.candles("KRW-DOGE", "1m", start="2025-09-03", end="2025-09-06", source="store")
    assert caught.value.context["missing"] == [("2025-09-05T00:00:00Z", "2025-09-06T00:00:00Z")]
    assert september.requests == []


def test_only_the_missing_middle_is_asked_for(september: Exchange, make_client: Callable[..., uf.Client]) -> None:
    client = make_client(september)
    client.candles("KRW-BTC", "1m", start="2025-09-03", end="2025-09-04")
    client.candles("KRW-BTC", "1m", start="2025-09-05", end="2025-09-06")
    september.requests.clear()
    frame = client.candles("KRW-BTC", "1m", start="2025-09-03", end="2025-09-06")
    assert [step["channel"] for step in frame.attrs["upbit_frames"]["route"]] == ["store", "rest", "store"]
    asked = [one.params["to"] for one in september.requests]
    assert len(asked) <= 8 + 2
    assert all("2025-09-04T00:00:00Z" < to <= "2025-09-05T00:00:00Z" for to in asked)
