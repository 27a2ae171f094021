"""Modes, names, strangers' files, other people's traffic, and what an exception leaves behind."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from support.pauses import instant_retries

import upbit_frames as uf
from upbit_frames import errors
from upbit_frames.api import engine
from upbit_frames.live.hub import substitution
from upbit_frames.replay.cassette_file import cassette_path, load
from upbit_frames.replay.library import problems, record_again
from upbit_frames.replay.recording import eject
from upbit_frames.testing import Exchange

Offline = Callable[[], list[Any]]


def days(count: int = 3) -> pd.DataFrame:
    return uf.candles("KRW-BTC", "1d", count=count)


# --- modes --------------------------------------------------------------------------------------


def test_none_names_the_request_and_the_nearest(recording: Exchange, offline: Offline) -> None:
    with uf.cassette("small"):
        days()
        uf.ticker(["KRW-BTC"])
    attempts = offline()
    with uf.cassette("small", mode="none"), pytest.raises(errors.NotRecorded) as caught:
        days(4)
    error = pickle.loads(pickle.dumps(caught.value))
    assert error.request == "GET /v1/candles/days?count=4&market=KRW-BTC&to=2026-03-01T00:00:00Z"
    assert error.nearest == "GET /v1/candles/days?count=3&market=KRW-BTC&to=2026-03-01T00:00:00Z"
    assert "count=3 instead of 4" in str(error)
    assert "new_episodes" in error.suggestion
    assert attempts == []


def test_none_without_a_cassette(offline: Offline, folder: Path) -> None:
    attempts = offline()
    with uf.using(cassette_dir=folder), uf.cassette("absent", mode="none"):
        with pytest.raises(errors.NotRecorded, match="there is no cassette 'absent'"):
            days()
        assert len(uf.plan("KRW-BTC", "1d", start="2026-01-01", end="2026-02-01").steps) > 0  # asks nobody
    assert attempts == []
    assert not folder.exists()


def test_once_does_not_add(recording: Exchange) -> None:
    with uf.cassette("once"):
        days()
    with uf.cassette("once"), pytest.raises(errors.NotRecorded):
        days(5)
    recording.requests.clear()
    with uf.cassette("once"):
        days()
    assert recording.requests == []


def test_new_episodes_adds_at_the_recorded_moment(recording: Exchange, offline: Offline) -> None:
    with uf.cassette("grows"):
        first = days()
    recording.clock.advance(3 * 86_400)
    with uf.cassette("grows", mode="new_episodes") as tape:
        pd.testing.assert_frame_equal(days(), first)
        more = days(5)
    assert (tape.played, tape.recorded) == (1, 1)
    assert more.index[-1] == first.index[-1]
    offline()
    with uf.cassette("grows"):
        pd.testing.assert_frame_equal(days(), first)
        pd.testing.assert_frame_equal(days(5), more)


def test_all_records_afresh(recording: Exchange, folder: Path) -> None:
    with uf.cassette("fresh"):
        first = days()
    recording.clock.advance(86_400)
    with uf.cassette("fresh", mode="all") as tape:
        second = days()
    assert tape.recorded == 1
    assert second.index[-1] == first.index[-1] + pd.Timedelta("1D")
    with uf.cassette("fresh", mode="none"):
        pd.testing.assert_frame_equal(days(), second)


def test_the_mode_by_default(recording: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    assert uf.cassette("m").mode == "once"
    monkeypatch.setenv("CI", "true")
    assert uf.cassette("m").mode == "none"
    monkeypatch.setenv("CI", "false")
    assert uf.cassette("m").mode == "once"
    monkeypatch.setenv("UPBIT_FRAMES_RECORD", "all")
    assert uf.cassette("m").mode == "all"
    assert uf.cassette("m", mode="none").mode == "none"
    with pytest.raises(errors.ConfigError, match="new_episodes"):
        uf.cassette("m", mode="sometimes")


def test_a_repeated_request_has_the_same_response(recording: Exchange, offline: Offline) -> None:
    with uf.cassette("again"):
        first = uf.ticker(["KRW-BTC"])
    offline()
    with uf.cassette("again"):
        for _ in range(3):
            pd.testing.assert_frame_equal(uf.ticker(["KRW-BTC"]), first)


def test_unplayed_requests_are_listed(recording: Exchange) -> None:
    with uf.cassette("partly"):
        days()
        uf.ticker(["KRW-BTC"])
    with uf.cassette("partly") as tape:
        days()
    assert tape.unplayed == ["GET /v1/ticker?markets=KRW-BTC"]
    assert "1 not played" in repr(tape)
    assert "/v1/ticker" in tape._repr_html_()


# --- inside one another, one after the other, and exceptions -----------------------------------------


def test_nested_is_refused_and_the_outer_one_lives_on(recording: Exchange) -> None:
    with uf.cassette("outer") as tape:
        with pytest.raises(errors.UsageError, match="'outer' is still open"), uf.cassette("inner"):
            raise AssertionError("entered")
        with pytest.raises(errors.UsageError), tape:
            raise AssertionError("entered")
        days()
    assert tape.recorded == 1


def test_a_cell_that_ran_twice(recording: Exchange, folder: Path) -> None:
    lost = uf.cassette("lost").__enter__()
    days()
    with pytest.raises(errors.UsageError, match=r"eject\(\)"):
        uf.cassette("lost").__enter__()
    assert eject() == "lost"
    assert eject() is None
    with uf.cassette("found"):
        lost.__exit__(None, None, None)  # too late to do anything
        days()
    assert [path.name for path in folder.iterdir()] == ["found.yaml"]


def test_one_object_can_be_used_again(recording: Exchange) -> None:
    tape = uf.cassette("twice")
    with tape:
        first = days()
    assert (tape.recorded, tape.played) == (1, 0)
    with tape:
        pd.testing.assert_frame_equal(days(), first)
    assert (tape.recorded, tape.played) == (0, 1)


def fail(name: str, mode: str | None = None) -> None:
    with uf.cassette(name, mode):
        days(7)
        raise ZeroDivisionError


async def fail_later(name: str) -> None:
    async with uf.cassette(name):
        await uf.aio.candles("KRW-BTC", "1d", count=3)
        raise ZeroDivisionError


@pytest.mark.parametrize("failing", [fail, lambda name: asyncio.run(fail_later(name))], ids=["sync", "async"])
def test_an_exception_leaves_nothing_behind(recording: Exchange, folder: Path, failing: Callable[[str], None]) -> None:
    threads = set(threading.enumerate())
    with pytest.raises(ZeroDivisionError):
        failing("broken")
    assert not folder.exists()
    assert substitution.active() is None
    assert days().attrs["upbit_frames"]["fetched_at"].startswith("2026-03-01")
    with uf.cassette("next"):
        days()
    assert [path.name for path in folder.iterdir()] == ["next.yaml"]
    # Only the package's loop and its workers, which stay for later calls.
    new = {thread.name.partition("_")[0] for thread in set(threading.enumerate()) - threads}
    assert new <= {"upbit", "asyncio"}


def test_an_exception_keeps_the_old_cassette(recording: Exchange, folder: Path) -> None:
    with uf.cassette("kept"):
        days()
    before = (folder / "kept.yaml").read_bytes()
    with pytest.raises(ZeroDivisionError):
        fail("kept", "all")
    assert (folder / "kept.yaml").read_bytes() == before


def test_a_damaged_cassette_is_refused_and_kept(recording: Exchange, folder: Path) -> None:
    folder.mkdir()
    (folder / "cut.yaml").write_text("interactions:\n- request: {\n")
    with pytest.raises(errors.CorruptFile, match=r"cut\.yaml"), uf.cassette("cut"):
        raise AssertionError("entered")
    assert (folder / "cut.yaml").read_text() == "interactions:\n- request: {\n"
    with uf.cassette("fine"):
        days()
    listed = uf.cassettes(folder)
    assert listed["error"].map(bool).to_dict() == {"cut": True, "fine": False}


def test_a_folder_that_cannot_be_written(recording: Exchange, folder: Path) -> None:
    folder.write_text("a file stands where the folder should be")
    with pytest.raises(errors.StoreError, match="cassette_dir"), uf.cassette("lost"):
        days()
    assert substitution.active() is None
    assert len(days()) == 3


# --- names and strangers ------------------------------------------------------------------------------


HOSTILE = ["", "..", "../up", "a/../b", "/etc/passwd", "a//b", "a\\b", "c:evil", ".hidden", "a/", "a\0b", "con"]
HOSTILE += ["x" * 200, "nul.yaml", "a\nb", "end.", "~root"]


@pytest.mark.parametrize("name", [*HOSTILE, 7])
def test_names_that_lead_elsewhere(name: Any, tmp_path: Path) -> None:
    with pytest.raises(errors.QueryError, match="cannot name a cassette"):
        cassette_path(tmp_path, name)


def test_names_that_do_not(tmp_path: Path) -> None:
    for name in ("quickstart", "a/b/c-d_e.f", "노트", "test_x[KRW-BTC]", "v1.2"):
        assert cassette_path(tmp_path, name).is_relative_to(tmp_path)
    assert cassette_path(tmp_path, "a.yaml") == tmp_path / "a.yaml"


def test_a_link_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "out").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(errors.QueryError):
        cassette_path(tmp_path / "in", "out/x")


def test_a_strangers_file_can_do_no_harm(recording: Exchange, folder: Path, tmp_path: Path) -> None:
    folder.mkdir()
    victim = tmp_path / "victim"
    (folder / "evil.yaml").write_text(
        f"interactions: !!python/object/apply:pathlib.Path.touch [{victim}]\nversion: 1\n"
    )
    with pytest.raises(errors.CorruptFile), uf.cassette("evil"):
        raise AssertionError("entered")
    (folder / "evil2.yaml").write_text(
        f'interactions:\n- request: !!python/object/apply:os.system ["touch {victim}"]\n  response: {{}}\nversion: 1\n'
    )
    assert "evil2" in problems(folder / "evil2.yaml")[0]
    assert not victim.exists()


# --- what is written down -------------------------------------------------------------------------------


def test_what_is_in_the_file(recording: Exchange, folder: Path) -> None:
    with uf.cassette("look"):
        days()
    text = (folder / "look.yaml").read_text()
    assert "127.0.0.1" not in text
    document = yaml.safe_load(text)
    (one,) = document["interactions"]
    assert set(one["response"]["headers"]) == {"Content-Type", "Date", "Remaining-Req"}
    assert one["request"]["headers"] == {"Accept": ["application/json"]}
    lines = one["response"]["body"]["string"].splitlines()
    assert len(lines) == 5  # a bracket, one candle a line, a bracket
    assert document["metadata"]["upbit_frames"]["origin"].startswith("stand-in")
    assert document["metadata"]["upbit_frames"]["now"] == "2026-03-01T03:30:30Z"


def test_vcrpy_itself_plays_it(recording: Exchange, folder: Path) -> None:
    import httpx
    import vcr

    with uf.cassette("plain"):
        frame = days()
    with vcr.use_cassette(str(folder / "plain.yaml"), record_mode="none") as tape:
        rows = httpx.get(tape.requests[0].uri).json()
    assert [row["trade_price"] for row in reversed(rows)] == frame["close"].tolist()


def test_recording_twice_gives_the_same_bytes(recording: Exchange, folder: Path) -> None:
    def everything() -> None:
        uf.candles(["KRW-BTC", "KRW-ETH", "KRW-XRP"], "1m", count=500)
        uf.trades("KRW-BTC", count=600)

    with uf.cassette("one"):
        everything()
    with uf.cassette("two"):
        everything()

    def told(name: str) -> str:
        lines = (folder / name).read_text().splitlines()
        return "\n".join(line for line in lines if "group=" not in line)  # what is left of a real second

    assert told("one.yaml") == told("two.yaml")


def test_listing(recording: Exchange, folder: Path) -> None:
    assert uf.cassettes().empty
    with uf.cassette("sub/a"):
        days()
        uf.ticker(["KRW-BTC", "KRW-ETH"])
    row = uf.cassettes().loc["sub/a"]
    assert row["requests"] == 2
    assert row["covers"] == "candles 1d KRW-BTC, ticker KRW-BTC,KRW-ETH"
    assert row["origin"].startswith("stand-in")
    assert row["now"] == pd.Timestamp("2026-03-01 03:30:30", tz="UTC")


def test_secrets_and_unknown_requests_are_reported(recording: Exchange, folder: Path) -> None:
    with uf.cassette("clean"):
        days()
    path = folder / "clean.yaml"
    assert problems(path) == []
    document = yaml.safe_load(path.read_text())
    document["interactions"][0]["response"]["headers"]["Set-Cookie"] = ["session=1"]
    document["interactions"][0]["request"]["headers"]["Authorization"] = ["Bearer x"]
    document["interactions"][0]["request"]["uri"] = "https://me:pw@api.upbit.com/v1/accounts?access_key=x"
    document["interactions"][0]["response"]["body"]["string"] = "<html>"
    path.write_text(yaml.safe_dump(document))
    found = " ".join(problems(path))
    for word in ("Set-Cookie", "Authorization", "access_key", "credentials", "never played"):
        assert word in found


def test_recording_again_sends_the_same_requests(recording: Exchange, folder: Path) -> None:
    with uf.cassette("re"):
        days()
        uf.ticker(["KRW-BTC"])
    before, _ = load(folder / "re.yaml")
    recording.clock.advance(3600)
    assert record_again(folder / "re.yaml") == 2
    after, facts = load(folder / "re.yaml")
    assert [one.key for one in after] == [one.key for one in before]
    assert after[0].body == before[0].body  # candles of the past
    assert after[1].body != before[1].body
    assert facts["now"] == "2026-03-01T03:30:30Z"


def test_record_again_keeps_the_old_cassette_where_the_exchange_fails(recording: Exchange, folder: Path) -> None:
    with uf.cassette("re"):
        days()
    before = (folder / "re.yaml").read_bytes()
    recording.faults.add("503", times=None, match="/v1/candles")
    with instant_retries(), pytest.raises(errors.ServerError):
        record_again(folder / "re.yaml")
    assert (folder / "re.yaml").read_bytes() == before


def test_the_archive_is_not_for_cassettes(recording: Exchange) -> None:
    with uf.cassette("archive"), pytest.raises(errors.UsageError, match="archive"):
        uf.candles("KRW-BTC", "1d", start="2026-01-01", end="2026-01-03", source="archive")


# --- other people's traffic ---------------------------------------------------------------------------------


def test_other_traffic_is_left_alone(recording: Exchange, folder: Path) -> None:
    import httpx

    class Hello(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hello)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/"
    send = httpx.AsyncHTTPTransport.handle_async_request
    try:
        with uf.cassette("mixed") as tape:
            days()
            assert httpx.get(url).text == "hello"
            assert httpx.get(f"{recording.rest_url}/v1/ticker?markets=KRW-BTC").status_code == 200
            assert httpx.AsyncHTTPTransport.handle_async_request is send
        assert tape.recorded == 1
        with uf.cassette("mixed", mode="none"):
            days()
            assert httpx.get(url).text == "hello"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# --- real ones ---------------------------------------------------------------------------------------------


def test_real_cassettes_are_replayed_as_they_are(real_data: Path, offline: Offline) -> None:
    from upbit_frames.core.config import current
    from upbit_frames.core.endpoints import candles_endpoint
    from upbit_frames.core.intervals import INTERVALS
    from upbit_frames.exchange import wire as normalize
    from upbit_frames.runtime import event_loop

    attempts = offline()
    with uf.using(cassette_dir=real_data / "rest" / "cassettes"):
        listed = uf.cassettes()
        assert (listed["error"] == "").all()
        assert (listed["origin"] == "live").all()
        with uf.cassette("get_tickers", mode="none") as tape:
            assert tape.now is not None
            assert tape.now.date().isoformat() == "2026-03-11"
            assert uf.ticker("KRW-BTC").index.tolist() == ["KRW-BTC"]
        with uf.cassette("get_tickers_by_quote", mode="none"):
            assert len(uf.ticker(quote="KRW")) > 200
        with uf.cassette("get_orderbooks", mode="none"):
            assert len(uf.orderbook("KRW-BTC")) == 30  # count=30 is what leaving it out means
        with uf.cassette("get_orderbook_instruments", mode="none"):
            assert uf.instruments("KRW-BTC")["tick_size"].iloc[0] > 0
        for file, name in (("days", "1d"), ("minutes", "1m"), ("weeks", "1w"), ("months", "1M"), ("years", "1y")):
            interval = INTERVALS[name]
            with uf.cassette(f"get_candles_{file}", mode="none"):
                rest = engine.engine_for(current()).ports.api.transport
                reply = event_loop.run(rest.get, candles_endpoint(interval), {"market": "KRW-BTC", "count": "1"})
                assert len(normalize.candles(reply.body, "KRW-BTC", interval)) == 1
    assert attempts == []
