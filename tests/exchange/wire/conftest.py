"""How the exchange spells things, for tests that make bodies."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import pytest


class Number(str):
    """Digits that stand in JSON as they are."""


def encode(value: Any, blank: str = "") -> str:
    """JSON whose numbers are spelled as given, in the given order of keys."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        inside = f",{blank}".join(f"{json.dumps(k)}:{blank}{encode(v, blank)}" for k, v in value.items())
        return "{" + blank + inside + blank + "}"
    if isinstance(value, list):
        return "[" + blank + f",{blank}".join(encode(one, blank) for one in value) + blank + "]"
    return json.dumps(value, ensure_ascii=False)


def spellings(value: Decimal) -> list[Number]:
    """Every way upbit-api 2.5 knows to spell a number."""
    plain = f"{value:f}"
    found = [f"{value:.8f}" if value == value.quantize(Decimal("1e-8")) else plain, plain, f"{value:E}"]
    if value == value.to_integral_value():
        found.append(f"{value:.0f}")
    if value == 0:
        found.append("0E-8")
    return [Number(text) for text in found]


@pytest.fixture(scope="session")
def wire() -> Callable[..., bytes]:
    """Rows → bytes; with a random source, spellings, key order and white space vary."""

    def make(rows: Iterable[dict[str, Any]], rng: random.Random | None = None) -> bytes:
        done = []
        for row in rows:
            items = [(key, _spelled(value, rng)) for key, value in row.items()]
            if rng is not None:
                rng.shuffle(items)
            done.append(dict(items))
        return encode(done, "" if rng is None else rng.choice(["", " ", "\n  "])).encode()

    return make


def _spelled(value: Any, rng: random.Random | None) -> Any:
    if isinstance(value, Decimal):
        choices = spellings(value)
        return choices[0] if rng is None else rng.choice(choices)
    if isinstance(value, list):
        return [_spelled(one, rng) for one in value]
    if isinstance(value, dict):
        return {key: _spelled(one, rng) for key, one in value.items()}
    return value
