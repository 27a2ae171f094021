"""What is left out of cassettes: addresses, keys and tokens."""

from __future__ import annotations

from upbit_frames.replay.redaction import masked_body, public_uri


def test_addresses_of_machines_stay_out() -> None:
    assert masked_body(b"blocked: 203.0.113.9.") == b"blocked: 0.0.0.0."
    for address in (b"2001:db8::7", b"::1", b"fe80::1:2:3:4", b"2001:db8:0:0:0:0:0:1", b"::ffff:203.0.113.9"):
        for before, after in ((b"", b""), (b"ip: ", b"."), (b'{"ip":"', b'"}'), (b"[", b"]:443")):
            assert masked_body(before + address + after) == before + b"::" + after
    for harmless in (b'{"at":"2026-03-01T12:30:59+09:00"}', b'{"a":{"b":1}}', b'{"name":"no_authorization_token"}'):
        assert masked_body(harmless) == harmless
    uri = public_uri("http://user:pw@10.0.0.7:8080/v1/ticker?markets=KRW-BTC", "kr")
    assert uri == "http://other.invalid/v1/ticker?markets=KRW-BTC"


def test_tokens_stay_out_of_refusals() -> None:
    token = b"eyJhbGciOiJIUzI1NiJ9.eyJhY2Nlc3Nfa2V5IjoiWCJ9.c2lnbmF0dXJl"
    bodies = [b"Bearer " + token, b'{"access_key":"' + token + b'"}', b"token=abcdef&market=KRW-BTC", token]
    for body in bodies:
        masked = masked_body(body)
        assert token not in masked
        assert b"abcdef" not in masked
        assert b"***" in masked
    assert masked_body(b"token=abcdef&market=KRW-BTC") == b"token=***&market=KRW-BTC"
