"""Questions, nearest ones and the layout of bodies, against simpler ways to say the same."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from hypothesis import example, given
from hypothesis import strategies as st

from upbit_frames.replay import matching as recorded
from upbit_frames.replay.matching import Asked

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8)
PARAMS = st.dictionaries(st.sampled_from(["market", "to", "count", "cursor", "level"]), WORDS.filter(bool), max_size=4)
NUMBERS = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=8).map(lambda d: format(d, "f")),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["0E-8", "1.10000000", "-0.0", "1e5", "104890599315.22821000"]),
)
VALUES = st.one_of(NUMBERS, WORDS.map(json.dumps), st.sampled_from(["null", "true", "false"]))


def joined(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    spaces = st.sampled_from(["", " ", "\n  "])
    pairs = st.tuples(WORDS.map(json.dumps), children).map(lambda pair: f"{pair[0]}:{pair[1]}")
    return st.one_of(
        st.tuples(spaces, st.lists(children, max_size=4)).map(
            lambda t: "[" + t[0] + f",{t[0]}".join(t[1]) + t[0] + "]"
        ),
        st.tuples(spaces, st.lists(pairs, max_size=4)).map(lambda t: "{" + t[0] + f",{t[0]}".join(t[1]) + t[0] + "}"),
    )


def read(text: bytes | str) -> Any:
    """Every number exactly as it is written, every pair even where keys are repeated."""
    return json.loads(text, parse_float=str, parse_int=str, object_pairs_hook=lambda pairs: ["{", *map(list, pairs)])


@given(st.recursive(VALUES, joined, max_leaves=25))
@example('[{"a":[],"b":{}},[]]')
@example('["[{,:}]\\"\\\\", "}"]')
def test_layout_changes_nothing_but_spaces(text: str) -> None:
    pretty = recorded.pretty_json(text.encode())
    assert read(pretty) == read(text)
    assert recorded.pretty_json(pretty) == pretty


@given(st.binary(max_size=60))
def test_what_is_not_json_stays(body: bytes) -> None:
    try:
        json.loads(body.decode())
    except ValueError:
        assert recorded.pretty_json(body) == body


@given(PARAMS, st.randoms())
def test_order_and_host_do_not_matter(params: dict[str, str], chance: Any) -> None:
    pairs = list(params.items())
    chance.shuffle(pairs)
    one = Asked.parse(f"https://api.upbit.com/v1/ticker?{urlencode(params)}")
    other = Asked.parse(f"http://127.0.0.1:{chance.randint(1, 65535)}/v1/ticker?{urlencode(pairs)}")
    assert one == other
    assert dict(one.params).items() <= params.items()


@given(PARAMS, PARAMS)
def test_different_questions_stay_different(one: dict[str, str], other: dict[str, str]) -> None:
    """Except for parameters that say no more than the default."""

    def meaning(params: dict[str, str]) -> dict[str, str]:
        return {k: v for k, v in params.items() if (k, v) not in (("count", "1"), ("level", "0"))}

    url = "https://api.upbit.com/v1/candles/days?"
    same = Asked.parse(url + urlencode(one)) == Asked.parse(url + urlencode(other))
    assert same == (meaning(one) == meaning(other))


def test_regions_do_not_mix() -> None:
    kr, sg = (Asked.parse(f"https://{host}/v1/market/all") for host in ("api.upbit.com", "sg-api.upbit.com"))
    assert kr != sg
    assert Asked.parse(recorded.public_uri("http://127.0.0.1:80/v1/market/all", "sg"), None) == sg
    assert Asked.parse(recorded.public_uri("https://sg-api.upbit.com/v1/market/all", "sg")) == sg


@given(PARAMS, st.lists(st.tuples(st.sampled_from(["v1/ticker", "v1/orderbook"]), PARAMS), max_size=6))
def test_nearest_shares_most(params: dict[str, str], others: list[tuple[str, dict[str, str]]]) -> None:
    asked = Asked.parse(f"https://api.upbit.com/v1/ticker?{urlencode(params)}")
    known = [Asked.parse(f"https://api.upbit.com/{path}?{urlencode(p)}") for path, p in others]
    found = recorded.nearest(asked, known)
    if not known:
        assert found is None
        return
    assert found is not None

    def shared(one: Asked) -> tuple[bool, int]:
        return one.path == asked.path, len(set(one.params) & set(asked.params))

    assert shared(found) == max(map(shared, known))
    assert isinstance(recorded.difference(asked, found), str)


def test_addresses_of_machines_stay_out() -> None:
    assert recorded.without_traces(b"blocked: 203.0.113.9.") == b"blocked: 0.0.0.0."
    for address in (b"2001:db8::7", b"::1", b"fe80::1:2:3:4", b"2001:db8:0:0:0:0:0:1", b"::ffff:203.0.113.9"):
        for before, after in ((b"", b""), (b"ip: ", b"."), (b'{"ip":"', b'"}'), (b"[", b"]:443")):
            assert recorded.without_traces(before + address + after) == before + b"::" + after
    for harmless in (b'{"at":"2026-03-01T12:30:59+09:00"}', b'{"a":{"b":1}}', b'{"name":"no_authorization_token"}'):
        assert recorded.without_traces(harmless) == harmless
    uri = recorded.public_uri("http://user:pw@10.0.0.7:8080/v1/ticker?markets=KRW-BTC", "kr")
    assert uri == "http://other.invalid/v1/ticker?markets=KRW-BTC"


def test_numbers_keep_their_digits() -> None:
    body = b'[{"p":104890599315.22821000,"n":17732400590950000}]'
    assert recorded.pretty_json(body) == b'[\n  {"p": 104890599315.22821000, "n": 17732400590950000}\n]'


def test_tokens_stay_out_of_refusals() -> None:
    token = b"eyJhbGciOiJIUzI1NiJ9.eyJhY2Nlc3Nfa2V5IjoiWCJ9.c2lnbmF0dXJl"
    said = [b"Bearer " + token, b'{"access_key":"' + token + b'"}', b"token=abcdef&market=KRW-BTC", token]
    for one in said:
        left = recorded.without_traces(one)
        assert token not in left
        assert b"abcdef" not in left
        assert b"***" in left
    assert recorded.without_traces(b"token=abcdef&market=KRW-BTC") == b"token=***&market=KRW-BTC"


def test_deep_json_is_kept_as_it_came() -> None:
    deep = b"[" * 200_000 + b"]" * 200_000
    assert recorded.pretty_json(deep) == deep
    wide = "[1]".encode("utf-16")
    assert recorded.pretty_json(wide) == wide
