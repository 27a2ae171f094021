"""Keys of requests, the nearest of them and their differences, against simpler ways to say the same."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from hypothesis import given
from hypothesis import strategies as st

from upbit_frames.replay.matching import RequestKey, difference, nearest
from upbit_frames.replay.redaction import public_uri

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8)
PARAMS = st.dictionaries(st.sampled_from(["market", "to", "count", "cursor", "level"]), WORDS.filter(bool), max_size=4)


@given(PARAMS, st.randoms())
def test_order_and_host_do_not_matter(params: dict[str, str], chance: Any) -> None:
    pairs = list(params.items())
    chance.shuffle(pairs)
    one = RequestKey.parse(f"https://api.upbit.com/v1/ticker?{urlencode(params)}")
    other = RequestKey.parse(f"http://127.0.0.1:{chance.randint(1, 65535)}/v1/ticker?{urlencode(pairs)}")
    assert one == other
    assert dict(one.params).items() <= params.items()


@given(PARAMS, PARAMS)
def test_different_requests_stay_different(one: dict[str, str], other: dict[str, str]) -> None:
    """Except for parameters that have their default value."""

    def meaning(params: dict[str, str]) -> dict[str, str]:
        return {k: v for k, v in params.items() if (k, v) not in (("count", "1"), ("level", "0"))}

    url = "https://api.upbit.com/v1/candles/days?"
    same = RequestKey.parse(url + urlencode(one)) == RequestKey.parse(url + urlencode(other))
    assert same == (meaning(one) == meaning(other))


def test_regions_do_not_mix() -> None:
    kr, sg = (RequestKey.parse(f"https://{host}/v1/market/all") for host in ("api.upbit.com", "sg-api.upbit.com"))
    assert kr != sg
    assert RequestKey.parse(public_uri("http://127.0.0.1:80/v1/market/all", "sg"), None) == sg
    assert RequestKey.parse(public_uri("https://sg-api.upbit.com/v1/market/all", "sg")) == sg


@given(PARAMS, st.lists(st.tuples(st.sampled_from(["v1/ticker", "v1/orderbook"]), PARAMS), max_size=6))
def test_nearest_shares_most(params: dict[str, str], others: list[tuple[str, dict[str, str]]]) -> None:
    key = RequestKey.parse(f"https://api.upbit.com/v1/ticker?{urlencode(params)}")
    recorded = [RequestKey.parse(f"https://api.upbit.com/{path}?{urlencode(p)}") for path, p in others]
    closest = nearest(key, recorded)
    if not recorded:
        assert closest is None
        return
    assert closest is not None

    def shared(other: RequestKey) -> tuple[bool, int]:
        return other.path == key.path, len(set(other.params) & set(key.params))

    assert shared(closest) == max(map(shared, recorded))
    assert isinstance(difference(key, closest), str)
