"""Notebook helpers: provenance tables, and nesting only on request."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest

import upbit_frames as uf
from upbit_frames.api.notebook import provenance
from upbit_frames.errors import QueryError

META: dict[str, Any] = {
    "kind": "candles",
    "market": "KRW-<b>",
    "interval": "1m",
    "fetched_at": "2026-03-01T00:00:00Z",
    "route": [
        {
            "channel": "store",
            "reason": "stored",
            "start": "2026-02-27T00:00:00Z",
            "end": "2026-02-28T00:00:00Z",
            "rows": 1200,
            "requests": 0,
            "market": "",
        },
        {
            "channel": "rest",
            "reason": "not <in>",
            "start": "2026-02-28T00:00:00Z",
            "end": "2026-03-01T00:00:00Z",
            "rows": 3,
            "requests": 2,
            "market": "",
        },
    ],
}


class Balanced(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def frame() -> pd.DataFrame:
    made = pd.DataFrame({"close": [1.0]})
    made.attrs["upbit_frames"] = META
    return made


def test_provenance_reads_and_shows() -> None:
    found = provenance(frame())
    assert found.requests == 2
    assert "1,200 rows" in repr(found)
    html = found._repr_html_()
    parser = Balanced()
    parser.feed(html)
    assert parser.open == []
    assert "<in>" not in html
    assert "KRW-<b>" not in html


def test_ipython_calls_the_html() -> None:
    from IPython.core.formatters import HTMLFormatter

    assert HTMLFormatter()(provenance(frame())) == provenance(frame())._repr_html_()


def test_a_foreign_frame_is_refused() -> None:
    with pytest.raises(QueryError, match="where it came from"):
        provenance(pd.DataFrame())


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_nesting_works_on_request_only() -> None:
    assert (
        run(
            """
        import asyncio
        from upbit_frames import notebook

        async def inner():
            return "inner"

        async def outer():
            try:
                asyncio.run(inner())
            except RuntimeError:
                print("refused", end=" ")
            notebook.enable_nested()
            return asyncio.run(inner())

        import warnings
        warnings.simplefilter("ignore")
        print(asyncio.new_event_loop().run_until_complete(outer()))
        """
        )
        == "refused inner"
    )


def test_nesting_prefers_the_maintained_package() -> None:
    assert run("from upbit_frames import notebook; print(notebook.enable_nested())") == "nest_asyncio2"


def test_provenance_shows_times_in_the_zone_of_the_settings() -> None:
    with uf.using(tz="Asia/Seoul"):
        for text in (repr(provenance(frame())), provenance(frame())._repr_html_()):
            assert "+09:00" in text
            assert not re.search(r"\d{2}Z", text)
