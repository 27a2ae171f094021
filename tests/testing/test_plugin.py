"""The pytest plugin, as another project would use it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.slow  # most run pytest itself, in a process of its own

TEST = """
import pytest
import upbit_frames as uf
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.delenv("UPBIT_FRAMES_CACHE_DIR", raising=False)
    monkeypatch.setenv("HOME", str(pytester.path))
    pytester.makeini("[pytest]\naddopts = --strict-markers -W error -p no:cacheprovider\n")
    return pytester


def run(project: pytest.Pytester, *args: str) -> pytest.RunResult:
    return project.runpytest_subprocess(*args, timeout=100)


def test_recorded_from_the_exchange_and_replayed_without(project: pytest.Pytester) -> None:
    body = """
        def test_days(upbit_cassette):
            assert len(uf.candles("KRW-BTC", "1d", count=5)) == 5

        @pytest.mark.upbit_cassette
        class TestMore:
            @pytest.mark.parametrize("market", ["KRW-BTC", "KRW-ETH"])
            def test_price(self, market):
                assert uf.ticker(market)["price"].iloc[0] > 0

        @pytest.mark.upbit_cassette("shared/named")
        def test_named():
            assert "KRW-BTC" in uf.markets().index
    """
    conftest = """
        import pytest

        @pytest.fixture(autouse=True)
        def _live(upbit_exchange):
            pass
    """
    import textwrap

    project.makepyfile(test_mine=TEST + textwrap.dedent(body))
    project.makeconftest(conftest)
    run(project, "--upbit-record=once").assert_outcomes(passed=4)
    found = sorted(path.relative_to(project.path / "cassettes").as_posix() for path in project.path.rglob("*.yaml"))
    assert found == [
        "shared/named.yaml",
        "test_mine/TestMore/test_price-KRW-BTC.yaml",
        "test_mine/TestMore/test_price-KRW-ETH.yaml",
        "test_mine/test_days.yaml",
    ]
    (project.path / "conftest.py").unlink()
    run(project, "--upbit-record=none").assert_outcomes(passed=4)
    run(project).assert_outcomes(passed=4)


def test_none_refuses_the_network(project: pytest.Pytester) -> None:
    project.makepyfile(
        TEST
        + """
def test_bare():
    uf.candles("KRW-BTC", "1d", count=5)

@pytest.mark.upbit_cassette
def test_unrecorded():
    uf.candles("KRW-BTC", "1d", count=5)

def test_here(upbit_exchange):
    assert len(uf.candles("KRW-BTC", "1d", count=5)) == 5

def test_pure():
    assert uf.schema("candles") is not None
"""
    )
    result = run(project, "--upbit-record=none")
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(
        ["*NotRecorded: a test without a cassette may not reach the network*", "*NotRecorded: there is no cassette*"]
    )


@pytest.mark.parametrize("ci", ["", "true"])
def test_without_a_mark_no_test_reaches_the_network(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: str
) -> None:
    project.makepyfile(
        TEST
        + """
def test_rest():
    uf.candles("KRW-BTC", "1d", count=5)

def test_stream():
    uf.stream("KRW-BTC", "trade", seconds=1)

def test_socket():
    from upbit_frames.exchange.transport.rate_limiter import NullLimiter
    from upbit_frames.exchange.transport.websocket import SocketDialer
    from upbit_frames.runtime.clock import SystemClock
    import asyncio
    asyncio.run(SocketDialer(uf.config.ws_url, clock=SystemClock(), limiter=NullLimiter(), timeout=5.0).dial())

def test_archive():
    with uf.using(archive=True):
        uf.candles("KRW-BTC", "1m", start="2024-01-01", end="2024-03-01", source="archive")

def test_here(upbit_exchange):
    assert len(uf.candles("KRW-BTC", "1d", count=5)) == 5
"""
    )
    monkeypatch.setenv("CI", ci)
    result = run(project)
    result.assert_outcomes(passed=1, failed=4)
    result.stdout.fnmatch_lines(
        ["E *NotRecorded: a test without a cassette may not reach the network*request=https://api.upbit.com*",
         "E *NotRecorded: a test without a cassette may not reach the network*request=wss://api.upbit.com*"]
    )  # fmt: skip
    assert not (project.path / "cassettes").exists()


def test_a_marked_test_records_at_first_but_never_in_ci(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.makepyfile(
        TEST
        + """
@pytest.mark.upbit_cassette
def test_marked(upbit_exchange):
    assert len(uf.candles("KRW-BTC", "1d", count=5)) == 5
"""
    )
    monkeypatch.setenv("CI", "true")
    run(project).assert_outcomes(failed=1)
    monkeypatch.delenv("CI")
    run(project).assert_outcomes(passed=1)
    monkeypatch.setenv("CI", "true")
    run(project).assert_outcomes(passed=1)


def test_a_cassette_of_vcrpy_itself_needs_no_mark(project: pytest.Pytester) -> None:
    """Its patch replaces the connection, so nothing reaches the network."""
    project.makepyfile(
        TEST
        + """
from pathlib import Path
import vcr

def test_record(upbit_exchange):
    with uf.cassette("price"):
        uf.ticker("KRW-BTC", source="rest")

def test_price(tmp_path):
    text = Path("cassettes/price.yaml").read_text().replace("http://stand-in.invalid", "https://api.upbit.com")
    (tmp_path / "price.yaml").write_text(text)
    with vcr.use_cassette(str(tmp_path / "price.yaml"), record_mode="none") as cassette:
        assert uf.ticker("KRW-BTC", source="rest")["price"].iloc[0] > 0
    assert cassette.play_count == 1

def test_not_recorded():
    with pytest.raises(uf.errors.NotRecorded):
        uf.ticker("KRW-BTC", source="rest")
"""
    )
    run(project).assert_outcomes(passed=3)


def test_a_failed_test_records_nothing(project: pytest.Pytester) -> None:
    project.makepyfile(
        TEST
        + """
def test_wrong(upbit_exchange, upbit_cassette):
    assert len(uf.candles("KRW-BTC", "1d", count=5)) == 6
"""
    )
    run(project).assert_outcomes(failed=1)
    assert not (project.path / "cassettes").exists()


def test_exchange_and_clock(project: pytest.Pytester) -> None:
    project.makepyfile(
        TEST
        + """
@pytest.mark.upbit_exchange(seed=3, now="2026-02-01T00:00:30Z")
def test_time(upbit_exchange, upbit_clock):
    before = uf.candles("KRW-BTC", "1h", count=1)
    assert before.index[-1].isoformat() == "2026-01-31T23:00:00+00:00"
    upbit_clock.advance(3600)
    upbit_exchange.requests.clear()
    uf.ticker("KRW-BTC")
    assert len(upbit_exchange.requests) == 1
    assert uf.config.rest_url == upbit_exchange.rest_url

def test_after():
    assert uf.config.rest_url == "https://api.upbit.com"
    assert "upbit_store" not in str(uf.config.cache_dir)
"""
    )
    run(project).assert_outcomes(passed=2)


def test_the_folder_can_be_chosen(project: pytest.Pytester) -> None:
    project.makeini("[pytest]\nupbit_cassette_dir = data/tapes\n")
    project.makepyfile(
        TEST
        + """
@pytest.mark.upbit_cassette("a")
def test_one(upbit_exchange):
    uf.markets()
"""
    )
    run(project).assert_outcomes(passed=1)
    assert (project.path / "data" / "tapes" / "a.yaml").exists()


def test_without_vcrpy_nothing_runs(project: pytest.Pytester) -> None:
    project.makeconftest(
        """
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "vcr" else real(name, *rest)
"""
    )
    project.makepyfile(
        TEST
        + """
@pytest.mark.upbit_cassette
def test_one():
    pass

def test_two():
    pass
"""
    )
    result = run(project)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*1 tests use Upbit cassettes*vcrpy is not installed*"])


def test_wrong_arguments_of_the_marker(project: pytest.Pytester) -> None:
    project.makepyfile(
        TEST
        + """
@pytest.mark.upbit_cassette(nmae="x")
def test_one():
    pass
"""
    )
    run(project).assert_outcomes(errors=1)


def test_loading_it_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys, upbit_frames.testing.plugin\n"
        "print([n for n in ('pandas', 'pyarrow', 'httpx', 'vcr', 'numpy', 'websockets', 'matplotlib', 'yaml') "
        "if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_workers_that_share_a_cassette_lose_nothing(project: pytest.Pytester) -> None:
    project.makepyfile(
        TEST
        + """
@pytest.fixture(autouse=True)
def _live(upbit_exchange): pass

@pytest.mark.upbit_cassette("shared")
@pytest.mark.parametrize("market", ["KRW-BTC", "KRW-ETH", "KRW-XRP", "KRW-DOGE", "BTC-ETH", "USDT-BTC"])
def test_price(market):
    assert uf.ticker(market)["price"].iloc[0] > 0
"""
    )
    run(project, "-n", "4", "--upbit-record=new_episodes").assert_outcomes(passed=6)
    run(project, "--upbit-record=none").assert_outcomes(passed=6)
    assert [path.name for path in (project.path / "cassettes").iterdir()] == ["shared.yaml"]
