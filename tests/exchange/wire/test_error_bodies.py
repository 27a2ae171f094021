"""The text of a refusal, whatever its body is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upbit_frames.exchange.wire import error_message

BODIES = {
    "quotation": (b'{"error":{"name":404,"message":"Code not found"}}', "Code not found"),
    "gateway": (b'{"error":{"name":"not_found","message":"no Route matched"}}', "no Route matched"),
    "name only": (b'{"error":{"name":"too_many_requests"}}', "too_many_requests"),
    "error is text": (b'{"error":"Too many API requests"}', "Too many API requests"),
    "message at the top": (b'{"message":"API rate limit exceeded","request_id":"1"}', "API rate limit exceeded"),
    "other keys": (b'{"status":503,"reason":"x"}', '{"status":503,"reason":"x"}'),
    "text in JSON": (b'"stop"', "stop"),
    "empty object": (b"{}", ""),
    "null": (b"null", ""),
    "nothing": (b"", ""),
    "blanks": (b" \r\n ", ""),
    "plain": (b"Too many API requests.\n", "Too many API requests."),
    "korean": ("요청이 너무 많습니다".encode(), "요청이 너무 많습니다"),
    "page": (b"<!DOCTYPE html><html><title>502\n Bad Gateway</title><body><h1>x</h1></html>", "502 Bad Gateway"),
    "page without title": (
        b"<html><style>p{}</style><!-- no --><p>We&#39;ll be <b>back</b></p><script>a<b</script></html>",
        "We'll be back",
    ),
    "page cut in a script": (b"<html><p>Busy</p><script>let a = '<p>", "Busy"),
    "cut JSON": (b'{"error":{"name":', '{"error":{"name":'),
    "not UTF-8": (b"\xff\xfe", "\ufffd\ufffd"),
}


@pytest.mark.parametrize("name", BODIES)
def test_the_best_text_is_found(name: str):
    body, text = BODIES[name]
    assert error_message(body) == text


@given(st.binary(max_size=2000) | st.text(max_size=500).map(lambda text: text.encode()))
def test_any_body_gives_one_short_line(body: bytes):
    text = error_message(body)
    assert len(text) <= 200
    assert "\n" not in text


def test_deep_and_long_bodies_are_no_trouble():
    assert len(error_message(b"[" * 100_000)) == 200
    assert len(error_message(b"<" * 1_000_000)) <= 200
    assert error_message(json.dumps({"error": {"message": "x" * 5000}}).encode()) == "x" * 199 + "…"


def test_every_captured_refusal_is_read(real_data: Path):
    lines = (real_data / "rest/other/errors_2026-09-23.jsonl").read_text().splitlines()
    refusals = [one for one in map(json.loads, lines) if "body" in one]
    assert len(refusals) == 6
    for one in refusals:
        assert error_message(one["body"].encode()) == json.loads(one["body"])["error"]["message"]
