"""A cache that cannot be used does not stop a call: one warning, and nothing is stored."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import upbit_frames as uf
from upbit_frames.errors import StoreError, UpbitFramesWarning
from upbit_frames.router import call_store
from upbit_frames.store import directories
from upbit_frames.testing import Exchange

RANGE = {"start": "2026-02-20", "end": "2026-02-20 12:00"}
CALLS: dict[str, Callable[[uf.Client], Any]] = {
    "range": lambda client: client.candles("KRW-BTC", "1m", **RANGE),
    "newest": lambda client: client.candles("KRW-BTC", "1m", count=500),
    "first": lambda client: client.candles("KRW-BTC", "1m", start="2026-02-20", count=500),
    "filled": lambda client: client.candles("KRW-BTC", "1m", count=50, gaps="fill", forming=True),
    "rest": lambda client: client.candles("KRW-BTC", "1m", source="rest", **RANGE),
    "two markets": lambda client: client.candles(["KRW-BTC", "KRW-ETH"], "1m", count=50),
    "trades": lambda client: client.trades("KRW-BTC", start="2026-02-26", end="2026-02-26 00:05"),
    "newest trades": lambda client: client.trades("KRW-BTC", count=20),
}


@pytest.fixture(autouse=True)
def nobody_warned_yet() -> Iterator[None]:
    call_store._warned.clear()
    yield
    call_store._warned.clear()


def refuse_writing(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Refuse every write as a read-only file system does; permissions do not bind a superuser."""

    def refused(*args: Any, **kwargs: Any) -> Any:
        raise PermissionError(30, "Read-only file system", str(folder))

    monkeypatch.setattr(directories.Directory, "write_new", refused)


@pytest.fixture(params=["a file in its place", "read-only"])
def unusable(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "store"
    if request.param == "a file in its place":
        folder.write_text("not a folder")
    else:
        refuse_writing(monkeypatch, folder)
    return folder


@pytest.mark.parametrize("name", CALLS)
def test_calls_go_on_without_storing_and_warn_once(
    exchange: Exchange, make_client: Callable[..., uf.Client], tmp_path: Path, unusable: Path, name: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UpbitFramesWarning)  # nothing can be written there either
        expected = CALLS[name](make_client(exchange, cache_dir=tmp_path / "another"))
    client = make_client(exchange)
    with pytest.warns(UpbitFramesWarning, match="cannot be used") as caught:
        first = CALLS[name](client)
    assert len(caught) == 1
    assert str(unusable) in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = CALLS[name](client)
    assert first.equals(expected)
    assert again.equals(expected)
    assert not list(unusable.rglob("*.parquet")) if unusable.is_dir() else True


def test_what_is_there_is_still_read_where_nothing_can_be_written(
    exchange: Exchange, make_client: Callable[..., uf.Client], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(exchange)
    expected = client.candles("KRW-BTC", "1m", **RANGE)
    refuse_writing(monkeypatch, tmp_path / "store")
    asked = len(exchange.requests)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert client.candles("KRW-BTC", "1m", **RANGE).equals(expected)
    assert len(exchange.requests) == asked
    with pytest.warns(UpbitFramesWarning, match="cannot be used"):
        more = client.candles("KRW-BTC", "1m", start="2026-02-19 23:00", end=RANGE["end"])
    assert more.iloc[60:].equals(expected)


def test_the_archive_gives_way_to_rest_where_its_downloads_cannot_be_kept(
    exchange: Exchange, make_client: Callable[..., uf.Client], tmp_path: Path
) -> None:
    arguments = {"start": "2024-01-01", "end": "2026-02-01"}
    expected = make_client(exchange, cache_dir=tmp_path / "usable").candles("KRW-BTC", "1h", **arguments)
    (tmp_path / "store").write_text("not a folder")
    client = make_client(exchange, archive=True)
    with pytest.warns(UpbitFramesWarning) as caught:
        assert client.candles("KRW-BTC", "1h", **arguments).equals(expected)
    assert {str(one.message)[:11] for one in caught} == {"the archive", "the cache i"}
    with pytest.raises(StoreError, match="downloads"):
        client.candles("KRW-BTC", "1h", source="archive", **arguments)


def test_what_only_the_store_can_give_is_an_error(
    exchange: Exchange, make_client: Callable[..., uf.Client], tmp_path: Path
) -> None:
    (tmp_path / "store").write_text("not a folder")
    client = make_client(exchange)
    with pytest.raises(StoreError):
        client.candles("KRW-BTC", "1m", source="store", **RANGE)
    summary = client.download(["KRW-BTC"], "1h", "2026-02-20")
    assert "StoreError" in summary["error"].iloc[0]


def test_rows_that_are_not_fit_to_be_stored_are_not_hidden_by_it(tmp_path: Path) -> None:
    from upbit_frames.core.intervals import Span
    from upbit_frames.core.schema import arrow_schema
    from upbit_frames.router.call_store import CallStore
    from upbit_frames.store.base import Series
    from upbit_frames.store.parquet import ParquetStore

    store = CallStore(ParquetStore(tmp_path))
    wrong = arrow_schema("candles").empty_table().drop_columns(["open"])
    for origin in ("rest", "archive"):
        with pytest.raises(StoreError, match="not fit to be stored"):
            store.write(Series("candles", "KRW-BTC", "1m"), wrong, Span(0, 60_000_000), origin=origin)
    assert list(tmp_path.iterdir()) == []
