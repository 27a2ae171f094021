"""Thirty markets that move together, for examples that need more than one coin. No I/O.

Codes and names are those of real coins; every price and everything that happens to it is invented.
"""

from __future__ import annotations

from dataclasses import replace

from upbit_frames.testing.market.listings import DEFAULT_LISTINGS, Listing

__all__ = ["related_listings"]

# Code, names, price, volatility, the group it belongs to, and how much it moves with all coins and with the group.
_COINS: tuple[tuple[str, str, str, float, float, str, float, float], ...] = (
    ("ETH", "이더리움", "Ethereum", 3_025_000, 0.030, "platforms", 0.75, 0.40),
    ("SOL", "솔라나", "Solana", 185_000, 0.041, "platforms", 0.65, 0.55),
    ("ADA", "에이다", "Cardano", 620, 0.040, "platforms", 0.65, 0.50),
    ("AVAX", "아발란체", "Avalanche", 27_400, 0.043, "platforms", 0.60, 0.60),
    ("DOT", "폴카닷", "Polkadot", 4_150, 0.040, "platforms", 0.60, 0.60),
    ("NEAR", "니어프로토콜", "NEAR Protocol", 3_080, 0.046, "platforms", 0.55, 0.60),
    ("ATOM", "코스모스", "Cosmos", 4_620, 0.041, "platforms", 0.55, 0.55),
    ("APT", "앱토스", "Aptos", 5_240, 0.047, "platforms", 0.50, 0.60),
    ("SUI", "수이", "Sui", 3_310, 0.050, "platforms", 0.50, 0.60),
    ("XRP", "엑스알피(리플)", "XRP", 2_045, 0.035, "payments", 0.55, 0.60),
    ("XLM", "스텔라루멘", "Stellar", 352, 0.038, "payments", 0.50, 0.70),
    ("BCH", "비트코인캐시", "Bitcoin Cash", 682_000, 0.036, "payments", 0.65, 0.40),
    ("LTC", "라이트코인", "Litecoin", 132_000, 0.034, "payments", 0.65, 0.45),
    ("ETC", "이더리움클래식", "Ethereum Classic", 23_100, 0.036, "payments", 0.60, 0.40),
    ("TRX", "트론", "TRON", 418, 0.022, "payments", 0.35, 0.35),
    ("HBAR", "헤데라", "Hedera", 214, 0.045, "payments", 0.45, 0.60),
    ("DOGE", "도지코인", "Dogecoin", 298, 0.044, "memes", 0.60, 0.60),
    ("SHIB", "시바이누", "Shiba Inu", 0.0185, 0.046, "memes", 0.55, 0.68),
    ("PEPE", "페페", "Pepe", 0.0142, 0.058, "memes", 0.50, 0.72),
    ("BONK", "봉크", "Bonk", 0.0271, 0.060, "memes", 0.45, 0.72),
    ("UNI", "유니스왑", "Uniswap", 9_870, 0.045, "finance", 0.55, 0.55),
    ("AAVE", "에이브", "Aave", 268_000, 0.045, "finance", 0.55, 0.60),
    ("LINK", "체인링크", "Chainlink", 21_300, 0.041, "finance", 0.60, 0.50),
    ("ONDO", "온도파이낸스", "Ondo", 1_120, 0.050, "finance", 0.40, 0.55),
    ("PENDLE", "펜들", "Pendle", 5_430, 0.054, "finance", 0.40, 0.60),
    ("SAND", "샌드박스", "The Sandbox", 402, 0.048, "games", 0.50, 0.68),
    ("MANA", "디센트럴랜드", "Decentraland", 411, 0.047, "games", 0.50, 0.68),
    ("AXS", "엑시인피니티", "Axie Infinity", 3_620, 0.050, "games", 0.45, 0.68),
    ("IMX", "이뮤터블엑스", "Immutable", 742, 0.050, "games", 0.45, 0.60),
)


def related_listings() -> tuple[Listing, ...]:
    """Return thirty coins in won that share what happens to all and to their group, and two for the price of a dollar.

    ``USDT-BTC`` follows ``KRW-BTC`` closely but for noise of its own, so that their ratio, beside ``KRW-USDT``,
    shows a premium that comes and goes.

    Examples
    --------
    >>> listings = related_listings()
    >>> len(listings), sum(listing.market.startswith("KRW-") for listing in listings)
    (32, 31)
    """
    known = {listing.market: listing for listing in DEFAULT_LISTINGS}
    everybody, bitcoin = "coins", "bitcoin"
    listings = [
        replace(known["KRW-BTC"], trades_per_day=60, steady=False, factors=((everybody, 0.8), (bitcoin, 0.6))),
        replace(known["USDT-BTC"], trades_per_day=60, factors=((everybody, 0.797), (bitcoin, 0.597))),
        replace(known["KRW-USDT"], trades_per_day=60, volatility=0.0016),
    ]
    for code, korean, english, price, volatility, group, shared, own_group in _COINS:
        factors = ((everybody, shared), (group, own_group))
        listings.append(Listing(f"KRW-{code}", korean, english, price, 60, 300_000, volatility, factors=factors))
    return tuple(listings)
