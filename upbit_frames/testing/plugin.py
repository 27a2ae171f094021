"""pytest plugin for users of the package: cassettes, the stand-in exchange and its clock.

::

    @pytest.mark.upbit_cassette                  # tests/cassettes/test_mine/test_mean.yaml
    def test_mean():
        assert uf.candles("KRW-BTC", "1d", count=30)["close"].mean() > 0

    @pytest.mark.upbit_cassette("shared/january", mode="none")
    def test_january(upbit_cassette): ...

    @pytest.mark.upbit_exchange(seed=3, now="2026-03-01T00:00:00Z")
    def test_live(upbit_exchange, upbit_clock): ...

A marked test replays its cassette, and records it where there is none yet; where CI is set it only replays.
A test without a mark does not reach the network: only this machine, such as the stand-in exchange.
``--upbit-record=once|new_episodes|all`` (or the setting ``record``) allows recording and the network,
``--upbit-record=none`` allows neither. pytest loads this file for every run, so nothing heavy is imported
before a fixture needs it.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from upbit_frames.runtime.network import refusing

if TYPE_CHECKING:
    from upbit_frames.replay.cassette import Cassette
    from upbit_frames.testing.server.exchange import Exchange
    from upbit_frames.testing.server.virtual_clock import VirtualClock

MODES = ("none", "once", "new_episodes", "all")  # written out, because config.py is only loaded when needed
FOLDER = "cassettes"
_failed = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the option and the setting."""
    group = parser.getgroup("upbit_frames")
    group.addoption(
        "--upbit-record",
        choices=MODES,
        default=None,
        help="record mode of Upbit cassettes; every mode but none also allows the network to tests without one",
    )
    parser.addini("upbit_cassette_dir", "folder of Upbit cassettes; default: 'cassettes' beside each test file")


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    config.addinivalue_line(
        "markers",
        "upbit_cassette(name=None, mode=None): record this test's Upbit calls once and replay them; "
        "a cassette for each test where no name is given",
    )
    config.addinivalue_line(
        "markers", "upbit_exchange(**options): options of the stand-in exchange of the fixture upbit_exchange"
    )


def pytest_collection_finish(session: pytest.Session) -> None:
    """Stop before the first test if cassettes are used and vcrpy is missing."""
    if importlib.util.find_spec("vcr") is not None:
        return
    using = [item.nodeid for item in session.items if _uses_cassette(item)]
    if using:
        raise pytest.UsageError(
            f"{len(using)} tests use Upbit cassettes (first: {using[0]}), but vcrpy is not installed: "
            "pip install 'upbit-frames[record]'"
        )


def _uses_cassette(item: pytest.Item) -> bool:
    marked = item.get_closest_marker("upbit_cassette") is not None
    return marked or "upbit_cassette" in getattr(item, "fixturenames", ())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Remember whether the test failed: what a failed test requested is not kept."""
    report = yield
    if report.when == "call":
        item.stash[_failed] = report.failed
    return report


# --- fixtures -----------------------------------------------------------------------------------


@pytest.fixture
def upbit_cassette(request: pytest.FixtureRequest) -> Iterator[Cassette]:
    """Provide the open cassette of this test; nothing is recorded if the test fails."""
    from upbit_frames.replay.cassette import open_in

    marker = request.node.get_closest_marker("upbit_cassette")
    name, mode = _marked(marker)
    folder = _folder(request)
    chosen = request.config.getoption("--upbit-record") or mode
    tape = open_in(folder, name or _name_of(request.node), chosen)
    with tape:
        yield tape
        if request.node.stash.get(_failed, True):
            tape.discard()


def _marked(marker: pytest.Mark | None) -> tuple[str | None, str | None]:
    def read(name: str | None = None, mode: str | None = None) -> tuple[str | None, str | None]:
        return name, mode

    if marker is None:
        return None, None
    try:
        return read(*marker.args, **marker.kwargs)
    except TypeError as wrong:
        raise pytest.UsageError(f"upbit_cassette takes name and mode: {wrong}") from None


def _folder(request: pytest.FixtureRequest) -> Path:
    """Return the folder of cassettes: of the ini file, of the setting, else beside the test file."""
    from upbit_frames.core.config import Config, current

    given = request.config.getini("upbit_cassette_dir")
    if given:
        return request.config.rootpath / str(given)
    setting = current().cassette_dir
    return request.path.parent / FOLDER if setting == Config().cassette_dir else setting


def _name_of(item: pytest.Item) -> str:
    """File and test, as a name every file system can hold."""
    inside = item.nodeid.partition("::")[2] or item.name
    parts = [item.path.stem, *inside.split("::")]
    return "/".join(re.sub(r"[^\w.\-]+", "-", part).strip("-._") or "test" for part in parts)


@pytest.fixture
def upbit_exchange(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Exchange]:
    """Provide a stand-in exchange on this machine, to which every call of the test goes.

    Its clock stands still until it is moved. The store is empty, in the test's own folder.
    """
    from upbit_frames.core.config import config, configure
    from upbit_frames.testing.server.exchange import Exchange

    marker = request.node.get_closest_marker("upbit_exchange")
    with Exchange(**(marker.kwargs if marker else {})) as exchange:
        wanted = {**exchange.settings(), "cache_dir": tmp_path / "upbit_store"}
        before = {name: value if origin == "configure" else None for name, value, origin in config.rows()}
        configure(**wanted)
        try:
            yield exchange
        finally:
            configure(**{name: before[name] for name in wanted})


@pytest.fixture
def upbit_clock(upbit_exchange: Exchange) -> VirtualClock:
    """Provide the clock of the stand-in exchange: ``advance(seconds)``, ``set(when)``, ``run(speed)``."""
    return upbit_exchange.clock


@pytest.fixture(autouse=True)
def _upbit_frames(request: pytest.FixtureRequest) -> Iterator[None]:
    """Open the cassette of a marked test; keep every other test from the network unless recording is enabled."""
    if _uses_cassette(request.node):
        if request.node.get_closest_marker("upbit_cassette") is not None:
            request.getfixturevalue("upbit_cassette")
        yield
    elif _network_allowed(request.config):
        yield
    else:
        with refusing(_refusal):
            yield


def _network_allowed(config: pytest.Config) -> bool:
    """Return whether a test without a cassette may reach other machines: only on an explicit mode that records."""
    mode = config.getoption("--upbit-record") or os.environ.get("UPBIT_FRAMES_RECORD", "").strip()
    return mode in MODES and mode != "none"


def _refusal(url: str) -> Exception:
    from upbit_frames.core.urls import redacted
    from upbit_frames.errors import NotRecorded

    return NotRecorded(
        "a test without a cassette may not reach the network",
        suggestion="mark it with @pytest.mark.upbit_cassette, use the fixture upbit_exchange, "
        "or allow the network with --upbit-record=once",
        request=redacted(url),
    )
