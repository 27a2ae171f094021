"""A notebook shows every error as a traceback, not as the dump of an exception group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import upbit_frames as uf
from upbit_frames.testing import Exchange


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("candles", {"market": "KRW-NONE", "count": 3}),
        ("candles", {"market": ["KRW-BTC", "KRW-NONE"], "start": "2026-02-20", "end": "2026-02-22"}),
        ("trades", {"market": "KRW-NONE", "count": 3}),
        ("trades", {"market": "KRW-NONE", "start": "2026-02-27", "end": "2026-02-28"}),
        ("orderbook", {"markets": "KRW-NONE"}),
    ],
)
def test_no_error_has_a_group_among_its_contexts(client: uf.Client, call: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(uf.errors.MarketNotFound) as caught:
        getattr(client, call)(**arguments)
    check(caught.value)


def test_nor_when_nobody_listens(exchange: Exchange, make_client: Callable[..., uf.Client], tmp_path: Any) -> None:
    # "localhost" has two addresses, and what fails at both comes out of the socket library as a group.
    client = make_client(exchange, rest_url="http://localhost:9")
    with pytest.raises(uf.errors.ConnectionFailed) as caught:
        client.candles("KRW-BTC", count=3)
    check(caught.value)


def check(error: BaseException) -> None:
    link: BaseException | None = error
    while link is not None:
        assert not isinstance(link, BaseExceptionGroup)
        link = link.__context__
