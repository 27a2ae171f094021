"""The words of charts, tables and texts in English and in Korean, as Upbit uses them (pure): the one list of them."""

from __future__ import annotations

from typing import NamedTuple

from upbit_frames.core.arguments import choice

__all__ = ["LANGUAGES", "TERMS", "VOCABULARY", "Term", "korean_amount", "terms"]

LANGUAGES = ("ko", "en")

TERMS: dict[str, dict[str, str]] = {
    "en": {
        "market": "Market",
        "time": "Time",
        "price": "Price",
        "open": "Open",
        "high": "High",
        "low": "Low",
        "close": "Close",
        "volume": "Volume",
        "value": "Value",
        "change": "Change",
        "change_rate": "Change rate",
        "change_price": "Change",
        "prev_close": "Previous close",
        "side": "Side",
        "trades": "Trades",
        "orderbook": "Order book",
        "candles": "Candles",
        "vwap": "VWAP",
        "average": "MA {periods}",
        "normalised": "Close, first = 100",
        "filled": "no trade, filled in",
        "empty": "no candles",
        "coarser": "{count:,} candles of {base}, drawn as {drawn}",
        "drawn": "drawn as {drawn}",
        "all": "All",
        "newest": "newest {shown:,} of {count:,} rows",
    },
    "ko": {
        "market": "마켓",
        "time": "시각",
        "price": "가격",
        "open": "시가",
        "high": "고가",
        "low": "저가",
        "close": "종가",
        "volume": "거래량",
        "value": "거래대금",
        "change": "전일 대비",
        "change_rate": "변화율",
        "change_price": "변화액",
        "prev_close": "전일 종가",
        "side": "매수/매도",
        "trades": "체결",
        "orderbook": "호가",
        "candles": "캔들",
        "vwap": "거래량 가중 평균가",
        "average": "이동평균 {periods}",
        "normalised": "종가 (시작 = 100)",
        "filled": "체결 없음 (직전 종가)",
        "empty": "캔들 없음",
        "coarser": "{base} 캔들 {count:,}개를 {drawn} 단위로 표시",
        "drawn": "{drawn} 단위로 표시",
        "all": "전체",
        "newest": "전체 {count:,}행 중 최근 {shown:,}행",
    },
}


class Term(NamedTuple):
    """A word of the field: English, Korean as in Upbit's own documentation, and Korean words not used for it."""

    english: str
    korean: str
    rivals: tuple[str, ...] = ()


VOCABULARY = (
    Term("market data", "시세", ("시장 데이터", "마켓 데이터")),
    Term("market", "마켓", ("시장",)),
    Term("pair", "페어", ("거래쌍", "거래 쌍", "통화쌍")),
    Term("KRW markets", "원화 마켓", ("원화마켓", "KRW 마켓")),
    Term("candle", "캔들", ("캔들스틱", "봉차트", "봉 데이터")),
    Term("interval of candles", "캔들 단위", ("인터벌", "캔들 간격", "타임프레임")),
    Term("trade", "체결", ("거래 내역", "거래내역", "트레이드")),
    Term("order book", "호가", ("오더북", "주문장")),
    Term("grouping of prices", "호가 모아보기 단위", ("그룹핑", "그루핑")),
    Term("resting amount", "잔량", ("호가 수량",)),
    Term("bid", "매수", ("비드",)),
    Term("ask", "매도", ("애스크",)),
    Term("ticker", "현재가", ("티커",)),
    Term("open", "시가", ("시작가", "시초가")),
    Term("high", "고가"),
    Term("low", "저가"),
    Term("close", "종가", ("마감가",)),
    Term("volume", "거래량", ("볼륨",)),
    Term("value", "거래대금", ("거래 대금", "거래금액", "거래 금액", "거래액")),
    Term("change to the previous close", "전일 대비", ("전일대비", "전날 대비")),
    Term("rate limit", "요청 수 제한", ("요청 한도", "요청 제한", "호출 제한", "속도 제한", "레이트 리밋")),
    Term("subscription", "구독", ("서브스크립션",)),
    Term("real time", "실시간", ("리얼타임",)),
    Term("WebSocket", "WebSocket", ("웹소켓", "웹 소켓")),
    Term("time zone", "시간대", ("타임존", "표준시간대")),
    Term("forming candle", "진행 중인 캔들", ("형성 중인 캔들", "미완성 캔들")),
    Term("sealed candle", "확정된 캔들", ("봉인된 캔들", "완성된 캔들", "마감된 캔들")),
    Term("store", "저장소", ("스토어", "보관소")),
    Term("archive", "아카이브", ("기록 보관소",)),
    Term("cassette", "카세트", ("카세트테이프",)),
    Term("record", "녹화", ("레코딩",)),
    Term("replay", "재생", ("리플레이",)),
    Term("stand-in exchange", "모의 거래소", ("스탠드인", "가짜 거래소", "대역 거래소")),
)
"""The terms of the Korean texts, one word for one thing: Upbit's wording first, then this package's."""


def terms(lang: object) -> dict[str, str]:
    """Return the words of a language.

    Parameters
    ----------
    lang : {"ko", "en"}

    Raises
    ------
    QueryError
        If it is neither.

    Examples
    --------
    >>> terms("ko")["value"]
    '거래대금'
    """
    choice("lang", lang, LANGUAGES)
    return TERMS[str(lang)]


def korean_amount(value: float) -> str:
    """Return a large amount as Korean counts: 만 (1e4), 억 (1e8), 조 (1e12), with at most two decimals.

    Examples
    --------
    >>> korean_amount(1_458_408_000_000), korean_amount(39_469_190), korean_amount(-500)
    ('1.46조', '3,946.92만', '-500')
    """
    for unit, word in ((1e12, "조"), (1e8, "억"), (1e4, "만")):
        if abs(value) >= unit:
            text = f"{value / unit:,.2f}"
            return f"{text.rstrip('0').rstrip('.')}{word}"
    text = f"{value:,.8f}" if abs(value) < 1 else f"{value:,.2f}"
    return text.rstrip("0").rstrip(".")
