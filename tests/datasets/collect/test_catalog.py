"""``uf.catalog``: what is stored, as a frame and as one piece of HTML."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

import upbit_frames as uf
from upbit_frames.core.intervals import INTERVALS, Span
from upbit_frames.datasets.collect.catalog import entries
from upbit_frames.datasets.collect.pages import coverage_bar, searchable
from upbit_frames.store.base import Series
from upbit_frames.store.memory import MemoryStore
from upbit_frames.testing import Exchange, MarketModel


class Page(HTMLParser):
    """The tags of a page in order, and whether each closes what is open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[dict[str, str | None]] = []
        self.sources: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("input", "meta", "br"):
            self.open.append(tag)
        if tag == "tr" and "data-text" in dict(attrs):
            self.rows.append(dict(attrs))
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def micros(text: str) -> int:
    return int(pd.Timestamp(text, tz="UTC").value // 1000)


@pytest.fixture
def filled(exchange: Exchange, client: uf.Client) -> uf.Client:
    client.candles("KRW-BTC", "1h", start="2026-02-01", end="2026-02-10")
    client.candles("KRW-BTC", "1h", start="2026-02-20", end="2026-02-24")
    client.candles("USDT-DOGE", "1d", start="2026-02-01", end="2026-02-10")
    client.trades("KRW-ELF", start="2026-02-27", end="2026-02-28")
    exchange.requests.clear()
    return client


def test_the_frame(exchange: Exchange, filled: uf.Client) -> None:
    frame = filled.catalog().set_index(["market"])
    assert exchange.requests == []
    assert len(frame) == 3
    btc = frame.loc["KRW-BTC"]
    assert (btc["rows"], btc["holes"]) == (13 * 24, 1)
    assert btc["covered_until"] == pd.Timestamp("2026-02-24", tz="UTC")
    assert btc["covered"] == pytest.approx(13 * 24 / (28 * 24 + 3))
    assert pd.isna(btc["expires"])
    assert frame.loc["KRW-ELF", "expires"] == pd.Timestamp("2026-03-08", tz="UTC")
    assert len(filled.catalog(quote="USDT")) == 1
    text = repr(filled.catalog())
    assert text.startswith("3 series, ")
    assert "next to expire: trades KRW-ELF after 2026-02-28" in text


def test_the_page_loads_nothing_and_is_well_formed(filled: uf.Client, tmp_path: Path) -> None:
    report = filled.catalog()
    page = Page(report._repr_html_())
    assert page.open == []
    assert page.sources == []
    assert [row["data-text"].split()[:2] for row in page.rows if row["data-text"]] == [
        ["krw-btc", "1h"], ["usdt-doge", "1d"], ["krw-elf", "trades"],
    ]  # fmt: skip
    report.save(tmp_path / "catalog.html")
    whole = (tmp_path / "catalog.html").read_text(encoding="utf-8")
    assert whole.startswith("<!doctype html>")
    assert Page(whole).open == []


def test_what_is_shown_is_escaped() -> None:
    evil = "<script>alert('x')</script>\"'"
    page = Page(searchable([evil], [[(evil, evil)]]))
    assert page.open == []
    assert page.rows[0]["data-text"] == evil.lower()
    assert searchable([evil], [[(evil, evil)]]).count("<script>") == 1  # its own
    assert "<script>" not in coverage_bar(Span(0, 10), [], evil)


def test_an_empty_store(client: uf.Client) -> None:
    report = client.catalog()
    assert len(report) == 0
    assert repr(report).startswith("0 series, 0 rows")
    assert Page(report._repr_html_()).open == []


def test_bars_show_what_is_missing() -> None:
    store, series = MemoryStore(), Series("candles", "KRW-BTC", "1h")
    model = MarketModel(7, maintenance=())
    for low, high in (("2026-02-01", "2026-02-02"), ("2026-02-03", "2026-02-04")):
        span = Span(micros(low), micros(high))
        store.write(series, model.candles("KRW-BTC", INTERVALS["1h"], *span).table(), span)
    entry = entries(store, [series], micros("2026-02-05T00:00:10"))[0]
    assert entry.share == 0.5
    assert entry.holes == (Span(micros("2026-02-02"), micros("2026-02-03")),)
    assert entry.bar.count("left:25.00%;width:25.00%") == 1
    assert entry.bar.count("left:75.00%;width:25.00%") == 1
    assert entries(MemoryStore(), [series], 0) == []
