"""Which markets are meant: codes, frames, quote currencies and Korean names."""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upbit_frames.core.market_selection import MarketSelection, code_named, parse_selection
from upbit_frames.errors import InvalidMarket, MarketNotFound, QueryError

FRAME = pd.DataFrame({"korean_name": ["비트코인", "이더리움"]}, index=pd.Index(["KRW-BTC", "KRW-ETH"], name="market"))
LISTED = [
    ("KRW-BTC", "비트코인"), ("KRW-ETH", "이더리움"), ("KRW-XRP", "엑스알피(리플)"), ("BTC-ETH", "이더리움"),
    ("USDT-BTC", "비트코인"), ("BTC-SOLO", "솔로"), ("BTC-TWO", "둘"), ("USDT-TWO", "둘"), ("SGD-BTC", None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("markets", "quote", "wanted"),
    [
        ("krw-btc", None, MarketSelection(("KRW-BTC",), many=False)),
        (["krw-btc"], None, MarketSelection(("KRW-BTC",))),
        (["KRW-ETH", "KRW-BTC", "krw-eth"], None, MarketSelection(("KRW-ETH", "KRW-BTC"))),
        (FRAME, None, MarketSelection(("KRW-BTC", "KRW-ETH"))),
        (FRAME.index, None, MarketSelection(("KRW-BTC", "KRW-ETH"))),
        (np.array(["KRW-BTC"]), None, MarketSelection(("KRW-BTC",))),
        (pa.table({"market": ["KRW-BTC"]}), None, MarketSelection(("KRW-BTC",))),
        (None, "krw", MarketSelection((), ("KRW",))),
        (None, "BTC", MarketSelection((), ("BTC",))),
        ("비트코인", None, MarketSelection(("비트코인",), many=False)),
        ([" 비트코인 ", "KRW-ETH"], None, MarketSelection(("비트코인", "KRW-ETH"))),
        (unicodedata.normalize("NFD", "비트코인"), None, MarketSelection(("비트코인",), many=False)),
        ("엑스알피(리플)", None, MarketSelection(("엑스알피(리플)",), many=False)),
    ],
)
def test_what_is_meant(markets: Any, quote: Any, wanted: MarketSelection) -> None:
    selection = parse_selection(markets, quote)
    assert selection == wanted
    assert parse_selection(selection) is selection
    assert selection.settled == (not wanted.quotes and all(market.isascii() for market in wanted.markets))


@pytest.mark.parametrize(
    ("markets", "codes", "quotes"),
    [("KRW", (), ("KRW",)), (["KRW", "btc-eth", "krw"], ("BTC-ETH",), ("KRW",)), ("KRW-BTC", ("KRW-BTC",), ())],
)
def test_a_quote_currency_among_the_markets(markets: Any, codes: Any, quotes: Any) -> None:
    selection = parse_selection(markets, currencies=True)
    assert (selection.markets, selection.quotes) == (codes, quotes)
    if quotes:
        with pytest.raises(InvalidMarket, match="that is a quote currency"):
            parse_selection(markets)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((None, None), "neither markets nor quote was given.*quote='KRW'"),
        (("KRW-BTC", "KRW"), "both given"),
        ((None, "K-B"), "quote must be a quote currency"),
        ((None, 5), "quote must be a quote currency"),
        (("BTC", None), "did you mean 'KRW-BTC'"),
        (([], None), "this list is empty.*quote='KRW'"),
        ((FRAME.iloc[:0], None), "this DataFrame is empty"),
        ((iter(()), None), "is empty"),
        ((["KRW-BTC", 5], None), "must be a market code"),
        (("비트코인/../x", None), "must be a market code"),
        (("비" * 41, None), "must be a market code"),
        (("비\x00트", None), "must be a market code"),
    ],
)
def test_other_selections_are_refused(given: Any, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        parse_selection(*given)


@given(st.text(max_size=60))
def test_any_text_is_a_code_a_name_or_refused(text: str) -> None:
    try:
        selection = parse_selection(text)
    except InvalidMarket:
        return
    (market,) = selection.markets
    assert not (set("/\\\0.") & set(market)) or not market.isascii()
    assert parse_selection(market) == selection  # reading it again changes nothing


@pytest.mark.parametrize(
    ("name", "code"),
    [("비트코인", "KRW-BTC"), ("이더리움", "KRW-ETH"), ("솔로", "BTC-SOLO"), ("엑스알피(리플)", "KRW-XRP"),
     (unicodedata.normalize("NFD", "이더리움"), "KRW-ETH")],
)  # fmt: skip
def test_a_name_is_the_market_in_won_or_the_only_one(name: str, code: str) -> None:
    assert code_named(name, LISTED) == code


def test_a_name_of_several_markets_lists_them() -> None:
    with pytest.raises(InvalidMarket, match="'둘' is the name of 2 markets: BTC-TWO, USDT-TWO") as caught:
        code_named("둘", LISTED)
    assert caught.value.context["candidates"] == ["BTC-TWO", "USDT-TWO"]
    with pytest.raises(InvalidMarket, match="KRW-A, KRW-B"):
        code_named("같음", [("KRW-A", "같음"), ("KRW-B", "같음")])


def test_an_unknown_name_lists_those_that_are_near() -> None:
    with pytest.raises(MarketNotFound, match=r"'비트코잉'.*did you mean '비트코인' \(KRW-BTC\)"):
        code_named("비트코잉", LISTED)
    with pytest.raises(MarketNotFound, match=r"uf\.markets\(\)"):
        code_named("없음", LISTED)


def test_a_name_that_is_another_currency_is_never_suggested() -> None:
    listed = [("KRW-BTC", "비트코인"), ("KRW-ETH", "이더리움"), ("KRW-ETC", "이더리움클래식"), ("KRW-XRP", "엑스알피")]
    for other in ("비트코인캐쉬", "비트코인골드", "이더리움네임서비스", "리플", "이더파이"):
        with pytest.raises(MarketNotFound) as caught:
            code_named(other, listed)
        assert "KRW-" not in str(caught.value)
    with pytest.raises(MarketNotFound, match=r"did you mean '비트코인캐시' \(KRW-BCH\)\?"):
        code_named("비트코인캐쉬", [*listed, ("KRW-BCH", "비트코인캐시")])
    for slip in ("이더륨", "이더움", "이대리움"):
        with pytest.raises(MarketNotFound, match=r"did you mean '이더리움' \(KRW-ETH\)\?"):
            code_named(slip, listed)


def test_no_market_is_no_name() -> None:
    with pytest.raises(MarketNotFound):
        code_named("비트코인", [])
