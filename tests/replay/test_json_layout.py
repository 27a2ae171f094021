"""The layout of JSON bodies."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from upbit_frames.replay.json_layout import pretty_json

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8)
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
    pretty = pretty_json(text.encode())
    assert read(pretty) == read(text)
    assert pretty_json(pretty) == pretty


@given(st.binary(max_size=60))
def test_what_is_not_json_stays(body: bytes) -> None:
    try:
        json.loads(body.decode())
    except ValueError:
        assert pretty_json(body) == body


def test_numbers_keep_their_digits() -> None:
    body = b'[{"p":104890599315.22821000,"n":17732400590950000}]'
    assert pretty_json(body) == b'[\n  {"p": 104890599315.22821000, "n": 17732400590950000}\n]'


def test_deep_json_is_kept_as_it_came() -> None:
    deep = b"[" * 200_000 + b"]" * 200_000
    assert pretty_json(deep) == deep
    wide = "[1]".encode("utf-16")
    assert pretty_json(wide) == wide
