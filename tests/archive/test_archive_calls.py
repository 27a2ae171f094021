"""The archive behind the public calls, against the whole stand-in exchange."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.pauses import instant_retries

import upbit_frames as uf
from upbit_frames.archive.files import TERMS
from upbit_frames.errors import UpbitFramesWarning
from upbit_frames.testing.server.exchange import Exchange


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    with (
        Exchange(now="2026-03-01T06:00:00Z", markets=["KRW-BTC", "KRW-ELF"], limits=False) as exchange,
        instant_retries(),
    ):
        yield exchange


def client(exchange: Exchange, folder: Path, **settings: Any) -> uf.Client:
    return uf.Client(exchange.config(cache_dir=folder, progress=False, output="arrow", **settings))


def route(table: Any) -> list[tuple[str, str, str]]:
    import json

    meta = json.loads(table.schema.metadata[b"upbit_frames"])
    return [(step["channel"], step["start"][:10], step["end"][:10]) for step in meta["route"]]


def asked(exchange: Exchange, part: str) -> int:
    return sum(part in request.path for request in exchange.requests)


def test_both_channels_give_the_same_rows(exchange: Exchange, tmp_path: Path) -> None:
    call = ("KRW-BTC", "5m")
    span = {"start": "2026-02-08", "end": "2026-03-01T05:00"}
    by_files = client(exchange, tmp_path / "files", archive=True).candles(*call, **span)
    files, pages = asked(exchange, ".zip"), asked(exchange, "/v1/candles")
    exchange.requests.clear()
    by_pages = client(exchange, tmp_path / "pages").candles(*call, **span)
    assert by_files.equals(by_pages)
    assert 0 < files + pages < asked(exchange, "/v1/candles") / 2
    assert asked(exchange, "/archive") == 0


def test_with_every_fault_at_once_too(exchange: Exchange, tmp_path: Path) -> None:
    span = {"start": "2026-02-08", "end": "2026-03-01T05:00"}
    truth = client(exchange, tmp_path / "pages").candles("KRW-BTC", "5m", **span)
    for number, kind in enumerate(("404", "403", "drop", "html", "cut", "wrong_checksum", "bomb", "wrong_columns",
                                   "other_day", "duplicate")):  # fmt: skip
        exchange.archive.fault(kind, f"202602{number + 10}", times=3)
    exchange.archive.fault("wrong_checksum", "_202602.")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        table = client(exchange, tmp_path / "files", archive=True).candles("KRW-BTC", "5m", **span)
    assert table.equals(truth)
    assert any("was not used" in str(one.message) for one in told)
    assert all(issubclass(one.category, UpbitFramesWarning) for one in told)


def test_it_is_off_until_wanted_and_the_plan_says_what_it_would_save(exchange: Exchange, tmp_path: Path) -> None:
    off, on = client(exchange, tmp_path), client(exchange, tmp_path, archive=True)
    span = {"start": "2025-01-01", "end": "2026-01-01"}
    hint = off.plan("KRW-BTC", "1m", **span).hint
    assert TERMS in hint
    assert "configure(archive=True)" in hint
    assert {step.channel for step in off.plan("KRW-BTC", "1m", **span).steps} == {"rest"}
    plan = on.plan("KRW-BTC", "1m", **span)
    assert plan.hint == ""
    assert {step.channel for step in plan.steps} == {"archive"}
    assert plan.requests == 24
    assert exchange.requests == []


def test_old_second_candles_come_from_files_and_do_not_disturb_rest(exchange: Exchange, tmp_path: Path) -> None:
    old = client(exchange, tmp_path).candles("KRW-ELF", "1s", start="2025-11-25", end="2025-11-27", source="archive")
    truth = exchange.market.candles("KRW-ELF", "1s", 1764028800000000, 1764201600000000).table()
    assert len(old) > 50
    assert old["time"].equals(truth["time"])
    # The API's second candles begin later. That is no contradiction to older ones being known.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UpbitFramesWarning)
        recent = client(exchange, tmp_path).candles("KRW-ELF", "1s", start="2025-11-27", end="2025-12-03")
    assert len(recent) > 50
    again = client(exchange, tmp_path).candles("KRW-ELF", "1s", start="2025-11-25", end="2025-11-27", source="store")
    assert again["time"].equals(old["time"])


def test_old_trades_come_from_files(exchange: Exchange, tmp_path: Path) -> None:
    table = client(exchange, tmp_path).trades("KRW-ELF", start="2025-06-01", end="2025-06-03", source="archive")
    truth = exchange.market.trades("KRW-ELF", 1748736000000000, 1748908800000000).table()
    for name in ("time", "price", "volume", "value", "side"):
        assert table[name].equals(truth[name])
    assert table["sequential_id"].null_count == len(table) > 50


def test_nothing_counts_as_expired_before_the_exchange_told_its_time(exchange: Exchange, tmp_path: Path) -> None:
    # The machine's clock and the exchange's are months apart here.
    recent = client(exchange, tmp_path).trades("KRW-ELF", start="2026-02-25", end="2026-02-27")
    truth = exchange.market.trades("KRW-ELF", 1771977600000000, 1772150400000000)
    assert recent["sequential_id"].to_pylist() == truth.sequential_id.tolist()
