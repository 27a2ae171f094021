"""A running stand-in exchange, and ways to ask it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from upbit_frames.testing import Exchange

NOW = "2026-03-01T03:30:00Z"


@pytest.fixture(scope="module")
def unlimited() -> Iterator[Exchange]:
    """An exchange that refuses nobody; its clock stands still."""
    with Exchange(seed=7, now=NOW, limits=False) as exchange:
        yield exchange


@pytest.fixture(scope="module")
def ask(unlimited: Exchange) -> Iterator[Callable[..., httpx.Response]]:
    """GET a path below /v1 of it."""
    with httpx.Client(base_url=f"{unlimited.rest_url}/v1/") as client:

        def get(path: str, **params: Any) -> httpx.Response:
            # An empty dict would take a query off the path.
            return client.get(path, params=params or None)

        yield get


@pytest.fixture(scope="module")
def rows(ask: Callable[..., httpx.Response]) -> Callable[..., list[dict[str, Any]]]:
    """The rows of a 200, numbers as they are spelt."""

    def get(path: str, **params: Any) -> list[dict[str, Any]]:
        reply = ask(path, **params)
        assert reply.status_code == 200, reply.text
        found: list[dict[str, Any]] = json.loads(reply.content, parse_float=str)
        return found

    return get
