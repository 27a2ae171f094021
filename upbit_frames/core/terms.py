"""The words of charts and tables in English and in Korean, as Upbit uses them (pure): the one list of them."""

from __future__ import annotations

from upbit_frames.core.arguments import choice

__all__ = ["LANGUAGES", "TERMS", "korean_amount", "terms"]

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
        "price": "시세",
        "open": "시가",
        "high": "고가",
        "low": "저가",
        "close": "종가",
        "volume": "거래량",
        "value": "거래대금",
        "change": "전일 대비",
        "change_rate": "전일 대비율",
        "change_price": "전일 대비",
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
