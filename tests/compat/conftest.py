"""pyupbit itself and the drop-in, before the same stand-in exchange."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import upbit_frames as uf
from upbit_frames.testing import Exchange

NOW = "2026-03-01T03:30:00Z"
ZONES = ("UTC", "Asia/Seoul", "America/New_York")


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    """An exchange that refuses nobody; its clock stands still."""
    with Exchange(seed=7, now=NOW, limits=False) as running:
        yield running


@pytest.fixture(params=ZONES)
def zone(request: pytest.FixtureRequest) -> Iterator[str]:
    """The machine's time zone."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield request.param
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.fixture
def theirs(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> Any:
    """pyupbit itself; its host is fixed, so requests are led to the loopback server on their way."""
    pyupbit = pytest.importorskip("pyupbit", reason="pyupbit is not installed")
    import datetime as dt

    import requests
    from pyupbit import quotation_api

    sent = requests.get
    fixed = dt.datetime.fromisoformat(NOW.replace("Z", "+00:00"))

    def get(url: str, **kwargs: Any) -> requests.Response:
        return sent(url.replace("https://api.upbit.com", exchange.rest_url), **kwargs)

    class Clock(dt.datetime):
        """The exchange's time is this machine's."""

        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:
            return fixed.astimezone(tz) if tz else fixed.astimezone().replace(tzinfo=None)

    monkeypatch.setattr(requests, "get", get)
    # Only `now` differs; the module's own `datetime` and `timezone` stay as they are.
    module = SimpleNamespace(datetime=Clock, timezone=dt.timezone)
    monkeypatch.setattr(quotation_api, "datetime", module)
    return pyupbit


@pytest.fixture
def ours(exchange: Exchange, tmp_path: Any) -> Iterator[Any]:
    """The drop-in, with a store of its own and its default settings."""
    from upbit_frames.compat import pyupbit

    pyupbit.configure(to="utc", errors="none", like="0.2.34")
    with uf.using(**exchange.settings(), cache_dir=tmp_path / "store"):
        yield pyupbit
    pyupbit.configure(to="utc", errors="none", like="0.2.34")


@pytest.fixture
def quiet() -> Iterator[None]:
    """Traps are taken knowingly here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", uf.compat.CompatWarning)
        yield
