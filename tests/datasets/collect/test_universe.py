"""``uf.universe``: never more than the kept lists show."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import upbit_frames as uf
from upbit_frames.datasets.collect.market_lists import Kept, Listed, MarketList, MarketLists, Rescaled
from upbit_frames.datasets.collect.universe import FirstCandle, Universe, mask, summary, to_rows
from upbit_frames.testing import Exchange

DAY = 86_400_000_000
FIRST = (date(2024, 1, 1) - date(1970, 1, 1)).days
DAYS = 3 * 366
CODES = ("KRW-A", "KRW-B", "KRW-EOS", "BTC-A", "USDT-B")


def micros(text: str) -> int:
    return int(pd.Timestamp(text, tz="UTC").value // 1000)


def lists_of(client: uf.Client) -> MarketLists:
    return MarketLists(client.config.cache_dir / client.config.origin)


def listing(at: int, codes: Iterable[str]) -> MarketList:
    return MarketList(at, {code: Listed(None, code) for code in codes})


@st.composite
def histories(draw: st.DrawFn) -> tuple[dict[str, list[int]], list[int]]:
    """For each market the days on which its state turns, over three years, and the moments of lists, one a day."""
    turns = {code: sorted(draw(st.sets(st.integers(0, DAYS), max_size=6))) for code in CODES}
    days = draw(st.sets(st.integers(0, DAYS), max_size=60))
    return turns, [(FIRST + day) * DAY + draw(st.integers(0, DAY - 1)) for day in sorted(days)]


def truth(turns: list[int], moment: int) -> bool:
    return sum(turn <= moment // DAY - FIRST for turn in turns) % 2 == 1


@given(histories(), st.lists(st.integers((FIRST - 2) * DAY, (FIRST + DAYS + 2) * DAY), min_size=1, max_size=20))
def test_three_years_of_changing_lists(history: tuple[dict[str, list[int]], list[int]], moments: list[int]) -> None:
    turns, taken = history
    lists = [listing(at, [code for code in CODES if truth(turns[code], at)]) for at in taken]
    universe = Universe(reversed(lists))
    kept_days = {at // DAY for at in taken}
    for moment in [*moments, *taken]:
        rows = {row[0]: row for row in to_rows(universe, Kept(tuple(lists)), moment, None, {})}
        for code in CODES:
            state = universe.state(code, moment)
            assert (state == "not known") == (moment // DAY not in kept_days)
            if state != "not known":
                assert (state == "listed") == truth(turns[code], moment)
            if code in rows:
                before = [one for one in lists if one.at // DAY <= moment // DAY]
                after = [one for one in lists if one.at // DAY >= moment // DAY]
                assert rows[code][1] == state
                assert rows[code][6] == (code in before[-1].markets if before else None)
                assert rows[code][7] == (code in after[0].markets if after else None)
                shown = [one.at for one in lists if code in one.markets]
                assert rows[code][8:10] == (shown[0], shown[-1])
            else:
                assert not any(code in one.markets for one in lists)
    days = np.array([moment // DAY for moment in moments])
    codes = {"listed": 1, "not listed": 0, "not known": -1}
    expected = [[codes[universe.state(code, moment)] for code in CODES] for moment in moments]
    assert universe.states(days, CODES).tolist() == expected


def test_mask() -> None:
    at = micros("2026-03-01T03:00")
    universe = Universe(
        [listing(at, ["KRW-A"]), listing(at + DAY, ["KRW-A", "KRW-B"]), listing(at + 3 * DAY, ["KRW-B"])]
    )
    index = pd.date_range("2026-03-01", periods=5, tz="Asia/Seoul", freq="D", name="time").as_unit("us") + pd.Timedelta(
        hours=9
    )
    frame = pd.DataFrame({"KRW-A": range(5), "KRW-B": range(5), "KRW-C": range(5)}, index=index, dtype=float)
    frame.attrs["upbit_frames"] = {"kind": "panel"}
    masked = mask(frame, universe)
    assert masked.fillna(-1).to_numpy().T.tolist() == [[0, 1, -1, -1, -1], [-1, 1, -1, 3, -1], [-1] * 5]
    assert masked.attrs["upbit_frames"] == {
        "kind": "panel", "universe": {"listed": 4, "not listed": 5, "not known": 6},
    }  # fmt: skip
    kept = mask(frame, universe, "keep")
    assert kept.fillna(-1).to_numpy().T.tolist() == [[0, 1, 2, -1, 4], [-1, 1, 2, 3, 4], [-1, -1, 2, -1, 4]]
    fields = pd.concat({"close": frame, "value": frame * 2}, axis=1, names=["field", "market"])
    both = mask(fields, universe)
    assert both["close"].equals(masked)
    assert both["value"].equals(masked * 2)
    with pytest.raises(uf.errors.QueryError, match="aware times"):
        mask(frame.tz_localize(None), universe)
    with pytest.raises(uf.errors.QueryError, match="level 'market'"):
        mask(fields.rename_axis([None, None], axis=1), universe)
    with pytest.raises(uf.errors.QueryError, match="unknown must be one of"):
        mask(frame, universe, "drop")


def test_renames_and_redenominations_are_named() -> None:
    universe = Universe([listing(FIRST * DAY, ["KRW-EOS", "KRW-STRAX"]), listing((FIRST + 9) * DAY, ["KRW-A"])])
    event = Rescaled("KRW-B", "1d", 0.1, "2024-01-01T00:00:00Z", "2024-01-05T00:00:00Z", (FIRST + 8) * DAY)
    kept = Kept(tuple(universe.lists), (event,), ("2024-01-03.json.gz",))
    rows = {
        row[0]: row
        for row in to_rows(
            universe, kept, (FIRST + 9) * DAY, "KRW", {"KRW-B": FirstCandle(5, True), "BTC-B": FirstCandle(6, False)}
        )
    }
    assert list(rows) == ["KRW-A", "KRW-B", "KRW-EOS", "KRW-STRAX"]
    assert rows["KRW-EOS"][12] == "KRW-A"
    assert rows["KRW-A"][13] == "KRW-EOS"
    assert rows["KRW-B"][10:12] == (5, True)
    assert rows["KRW-B"][14] == "prices times 0.1 by 2024-01-09 (noticed by update, 1d)"
    assert rows["KRW-STRAX"][14].startswith("ratio 0.0999 by 2026-09-13")
    lines = summary(universe, kept, (FIRST + 9) * DAY, list(rows.values()))
    assert "8 days without one, 1 damaged" in lines[0]


def test_the_call(exchange: Exchange, client: uf.Client) -> None:
    empty = client.universe()
    assert len(empty) == 0
    assert "uf.markets()" in repr(empty)
    exchange.clock.set("2025-12-20T12:00:00Z")
    client.markets()
    client.candles("KRW-BTC", "1h", start="2025-12-01", end="2025-12-03")
    exchange.requests.clear()
    today = client.universe(quote="KRW")
    assert exchange.requests == []
    assert today.loc["KRW-GONE", "state"] == "listed"
    assert bool(today.loc["KRW-GONE", "warning"])
    assert "KRW-EMPTY" not in today.index
    for day in ("2025-12-24", "2026-02-28"):  # as if fetched on other days
        table = [one.market for one in exchange.market.markets(micros(day))]
        lists_of(client).keep(listing(micros(day) + 7, table))
    later = client.universe("2026-02-28", quote="KRW")
    assert later.loc["KRW-GONE", "state"] == "not listed"
    assert later.loc["KRW-NEW", "state"] == "listed"
    assert later.loc["KRW-GONE", "last_seen"] == pd.Timestamp("2025-12-20T12:00", tz="UTC")
    between = client.universe("2026-01-10")
    assert set(between["state"]) == {"not known"}
    assert not between.loc["KRW-NEW", "before"]
    assert between.loc["KRW-NEW", "after"]
    assert between["warning"].isna().all()
    assert "2026-01-10 is not known" in repr(between)
    assert pd.isna(client.universe("2020-01-01")["before"]).all()


def test_first_candles_that_are_stored(exchange: Exchange, client: uf.Client) -> None:
    client.markets()
    client.candles("KRW-NEW", "1h", start="2026-01-01", end="2026-01-20")
    client.candles("KRW-BTC", "1d", start="2026-01-01", end="2026-01-20")
    frame = client.universe()
    first = exchange.market.candles("KRW-NEW", "1h", micros("2026-01-01"), micros("2026-01-20")).table()["time"][0]
    assert frame.loc["KRW-NEW", "first_candle"] == first.as_py()
    assert frame.loc["KRW-NEW", "beginning_known"]
    assert frame.loc["KRW-BTC", "first_candle"] == pd.Timestamp("2026-01-01", tz="UTC")
    assert not frame.loc["KRW-BTC", "beginning_known"]
    assert pd.isna(frame.loc["KRW-ETH", "first_candle"])


def test_arguments_and_aio(exchange: Exchange, client: uf.Client) -> None:
    import asyncio

    with pytest.raises(uf.errors.InvalidRange):
        client.universe("yesterdayish")
    with pytest.raises(uf.errors.QueryError):
        client.universe(quote="KRW-BTC")
    client.markets()

    async def main() -> pd.DataFrame:
        async with uf.AsyncClient(client.config) as other:
            return await other.universe()

    assert len(asyncio.run(main())) > 10


@pytest.mark.parametrize("field", ["close", ["close", "value"]])
def test_panels_of_what_was_listed(exchange: Exchange, client: uf.Client, field: str | list[str]) -> None:
    asked = {"start": "2026-01-10", "end": "2026-01-25", "field": field}
    codes = ["KRW-BTC", "KRW-NEW", "KRW-QUIET"]
    whole = client.panel(codes, "1d", **asked)
    with pytest.raises(uf.errors.QueryError, match="none is kept"):
        client.panel(codes, "1d", universe="listed", **asked)
    with pytest.raises(uf.errors.QueryError, match="universe must be one of"):
        client.panel(codes, "1d", universe="known", **asked)
    kept = [(11, ["KRW-BTC"]), (12, ["KRW-BTC", "KRW-QUIET"]), (18, ["KRW-BTC", "KRW-NEW"]), (20, ["KRW-NEW"])]
    for day, listed in kept:
        lists_of(client).keep(listing(micros(f"2026-01-{day}") + 5, listed))
    masked = client.panel(codes, "1d", universe="listed", **asked)
    expected = mask(whole, Universe(lists_of(client).read().lists))
    pd.testing.assert_frame_equal(masked, expected)
    first = masked if isinstance(field, str) else masked["close"]
    assert first["KRW-BTC"].dropna().index.day.tolist() == [11, 12, 18]
    assert first["KRW-NEW"].dropna().index.day.tolist() == [18, 20]
    assert masked.attrs["upbit_frames"]["universe"]["listed"] == 6
    table = client.panel(codes, "1d", universe="listed", output="arrow", **asked)
    assert np.array_equal(
        np.stack([table[name].to_numpy() for name in table.column_names[1:]], axis=1), masked.to_numpy(), equal_nan=True
    )
