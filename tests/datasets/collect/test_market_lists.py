"""Lists of markets on the disk: one a day, atomic, and damage costs that day only."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import upbit_frames as uf
from upbit_frames.core.intervals import iso
from upbit_frames.datasets.collect.market_lists import Listed, MarketList, MarketLists, Rescaled, decode, encode
from upbit_frames.testing import Exchange

DAY = 86_400_000_000
AT = 20_000 * DAY + 3 * 3_600_000_000
LISTED = Listed("비트코인", "Bitcoin", True, ("PRICE_FLUCTUATIONS",))


def lists_of(client: uf.Client, exchange: Exchange) -> MarketLists:
    return MarketLists(client.config.cache_dir / client.config.origin)


@given(
    st.dictionaries(
        st.from_regex(r"(KRW|BTC|USDT)-[A-Z0-9]{1,8}", fullmatch=True),
        st.builds(Listed, st.none() | st.text(), st.none() | st.text(), st.booleans(), st.lists(st.text()).map(tuple)),
    ),
    st.integers(0, 30_000 * DAY),
    st.data(),
)
def test_a_list_survives_and_its_damage_is_noticed(markets: dict[str, Listed], at: int, data: st.DataObject) -> None:
    try:
        listing = MarketList(at, markets)
        packed = encode(listing)
    except UnicodeEncodeError:
        return  # lone surrogates are no text
    day = iso(at)[:10]
    assert decode(packed, day) == listing or any(code.startswith("BTC-KRW") for code in markets)
    place = data.draw(st.integers(10, len(packed) - 1))
    broken = bytearray(packed)
    broken[place] ^= 1 << data.draw(st.integers(0, 7))
    assert decode(bytes(broken), day) is None or decode(bytes(broken), day) == listing
    assert decode(packed[:place], day) is None
    assert decode(packed, "1969-12-31") is None


def test_one_a_day_is_kept_and_read_again(tmp_path: Path) -> None:
    kept = MarketLists(tmp_path)
    assert kept.keep(MarketList(AT, {"KRW-BTC": LISTED}))
    assert not kept.keep(MarketList(AT + 1, {"KRW-ETH": LISTED}))
    assert not MarketLists(tmp_path).keep(MarketList(AT + 2, {"KRW-ETH": LISTED}))
    assert kept.keep(MarketList(AT + DAY, {"KRW-ETH": LISTED}))
    found = MarketLists(tmp_path).read()
    assert [list(one.markets) for one in found.lists] == [["KRW-BTC"], ["KRW-ETH"]]
    assert found.lists[0].markets["KRW-BTC"] == LISTED
    assert sorted(path.name for path in kept.folder.iterdir()) == [f"{iso(at)[:10]}.json.gz" for at in (AT, AT + DAY)]


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-5]),
        lambda path: path.write_bytes(encode(MarketList(AT + DAY, {}))),  # of another day
        lambda path: path.write_bytes(encode(MarketList(AT, {"../x": LISTED}))),
        lambda path: (path.unlink(), path.mkdir()),
    ],
)
def test_damage_costs_its_day_alone(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    kept = MarketLists(tmp_path)
    for at in (AT, AT + DAY):
        kept.keep(MarketList(at, {"KRW-BTC": LISTED}))
    path = kept.folder / f"{iso(AT)[:10]}.json.gz"
    damage(path)
    found = MarketLists(tmp_path).read()
    assert [one.at for one in found.lists] == [AT + DAY]
    assert found.damaged == (path.name,)
    if path.is_file():  # the next list of the day takes its place
        assert MarketLists(tmp_path).keep(MarketList(AT + 5, {"KRW-BTC": LISTED}))
        assert len(MarketLists(tmp_path).read().lists) == 2


def test_events_are_kept(tmp_path: Path) -> None:
    kept = MarketLists(tmp_path)
    event = Rescaled("KRW-STRAX", "1d", 0.1, "2020-01-01T00:00:00Z", "2026-01-01T00:00:00Z", AT)
    kept.note(event)
    assert kept.read().rescaled == (event,)
    (kept.folder / "rescaled_KRW-BTC_2026-01-01.json").write_text("{")
    assert kept.read().damaged == ("rescaled_KRW-BTC_2026-01-01.json",)


def test_every_call_that_fetches_a_list_keeps_it(exchange: Exchange, client: uf.Client) -> None:
    frame = client.markets("KRW")
    lists = lists_of(client, exchange).read().lists
    assert len(lists) == 1
    assert {code for code in lists[0].markets if code.startswith("KRW-")} == set(frame.index)
    assert lists[0].at == exchange.clock.now()
    exchange.requests.clear()
    client.candles("KRW-BTC", "1h", start="2026-02-01", end="2026-02-02")
    client.update()  # today's list is kept already
    assert "/v1/market/all" not in [one.path for one in exchange.requests]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_costs_no_answer(client: uf.Client, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir(mode=0o500)
    assert len(client.markets()) > 10


def test_a_file_in_the_way_costs_no_answer(
    exchange: Exchange, client: uf.Client, caplog: pytest.LogCaptureFixture
) -> None:
    folder = lists_of(client, exchange).folder
    folder.parent.parent.mkdir(parents=True)
    folder.parent.write_text("in the way")
    with caplog.at_level(logging.WARNING, "upbit_frames.datasets.collect"):
        assert len(client.markets()) > 10
    assert "not kept" in caplog.text


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("KRW-MATIC", "KRW-MATIC is called KRW-POL now"),
        ("KRW-SRM", "was delisted by 2026-09-13"),
        ("KRW-XYZ", "misspelt"),
    ],
)
def test_an_old_code_says_what_it_is_called_now(client: uf.Client, code: str, text: str) -> None:
    for call in (lambda: client.candles(code, "1d", count=3), lambda: client.ticker(code)):
        with pytest.raises(uf.errors.MarketNotFound) as caught:
            call()
        assert text in str(caught.value)
