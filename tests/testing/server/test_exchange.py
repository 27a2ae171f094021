"""The exchange's life: start, stop, clock, log, settings, other process."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading

import httpx
import pytest

from upbit_frames.core.config import Config, current
from upbit_frames.errors import UsageError
from upbit_frames.testing import Exchange, Listing, VirtualClock
from upbit_frames.testing.server.virtual_clock import moment


def test_it_leaves_nothing_behind():
    threads = threading.active_count()
    exchange = Exchange(limits=False)
    with exchange:
        url = f"{exchange.rest_url}/v1/market/all"
        with httpx.Client() as kept:  # this connection is open when the exchange ends
            assert kept.get(url).status_code == 200
            exchange.stop()
            with pytest.raises(httpx.TransportError):
                kept.get(url)
    exchange.stop()
    assert threading.active_count() == threads
    with exchange:  # and it can begin again
        assert httpx.get(f"{exchange.rest_url}/v1/market/all").status_code == 200


def test_misuse_is_reported():
    exchange = Exchange()
    with exchange, pytest.raises(UsageError, match="running already"):
        exchange.start()

    async def nothing() -> None: ...

    with pytest.raises(UsageError, match="not running"):
        exchange.call(nothing())
    with pytest.raises(UsageError, match="'KRW-NOPE' is not among the default markets"):
        Exchange(markets=["KRW-NOPE"])


def test_a_taken_port_is_an_error_and_leaves_no_thread():
    threads = threading.active_count()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match=r"[Aa]ddress"):
            Exchange(port=taken.getsockname()[1]).start()
    assert threading.active_count() == threads


def test_a_defect_of_its_own_is_not_hidden():
    class Broken:
        def handle(self, request):
            raise ZeroDivisionError("of its own")

    def asked():
        with Exchange() as exchange:
            exchange.apps.insert(0, ("/v1/market", Broken()))
            assert httpx.get(f"{exchange.rest_url}/v1/market/all").status_code == 500

    with pytest.raises(ZeroDivisionError, match="of its own"):
        asked()


def test_settings_lead_a_client_there(tmp_path, monkeypatch):
    monkeypatch.setenv("UPBIT_FRAMES_CACHE_DIR", str(tmp_path))
    with Exchange() as exchange:
        config = exchange.config(tz="Asia/Seoul")
        assert (config.rest_url, config.tz, config.cache_dir) == (exchange.rest_url, "Asia/Seoul", tmp_path)
        assert config.origin == exchange.rest_url.removeprefix("http://").replace(":", "_")
        assert httpx.get(config.archive_listing_url, params={"prefix": ""}).json()[0]["key"] == "candle"
        for name, value in exchange.env().items():
            monkeypatch.setenv(name, value)
        assert current().rest_url == exchange.rest_url == Config.from_env().rest_url


def test_the_archive_has_the_same_candles():
    with Exchange(markets=["KRW-ELF"], now="2026-03-01T03:30:00Z") as exchange:
        key = "candle/KRW-ELF/monthly/1m/2026/KRW-ELF_candle-1m_202602.zip"
        data = httpx.get(f"{exchange.archive_url}/{key}").content
        digest = httpx.get(f"{exchange.archive_url}/{key}.checksum").text.split()[0]
        assert hashlib.sha256(data).hexdigest() == digest
        listing = httpx.get(exchange.archive_listing_url, params={"prefix": key.rpartition("/")[0]}).json()
        assert key in [one["key"] for one in listing]
        assert httpx.get(f"{exchange.archive_url}/{key.replace('202602', '202603')}").status_code == 404
        assert [one.status for one in exchange.requests] == [200, 200, 200, 404]


def test_the_log_lists_the_requests():
    with Exchange() as exchange:
        httpx.get(f"{exchange.rest_url}/v1/ticker?markets=KRW-BTC%2CKRW-ETH", headers={"X-Me": "1"})
        httpx.get(f"{exchange.rest_url}/v1/nope")
        first, second = exchange.requests
    assert (first.path, first.params, first.status) == ("/v1/ticker", {"markets": "KRW-BTC,KRW-ETH"}, 200)
    assert (first.remaining, first.fault, first.at, first.headers["x-me"]) == (9, None, exchange.clock.now(), "1")
    assert (second.status, second.remaining) == (404, None)
    assert second.arrival >= first.arrival


def test_the_clock_moves_the_market():
    with Exchange(now="2026-03-01T03:30:10Z", limits=False) as exchange:
        url = f"{exchange.rest_url}/v1/candles/minutes/1?market=KRW-BTC"
        forming = httpx.get(url).json()[0]
        assert forming["candle_date_time_utc"] in ("2026-03-01T03:30:00", "2026-03-01T03:29:00")
        exchange.clock.set("2026-03-01T03:31:00Z")
        later = httpx.get(url)
        assert later.headers["date"] == "Sun, 01 Mar 2026 03:31:00 GMT"
        assert later.json()[0]["candle_acc_trade_volume"] >= forming["candle_acc_trade_volume"]
        exchange.clock.advance(3600)
        assert httpx.get(url).json()[0]["candle_date_time_utc"] > later.json()[0]["candle_date_time_utc"]


def test_a_clock_stands_steps_and_runs():
    clock, told = VirtualClock("2026-03-01"), []
    forget = clock.on_change(lambda: told.append(clock.now()))
    start = clock.now()
    assert (start, clock.now(), clock.speed) == (moment("2026-03-01T00:00:00+00:00"), start, 0)
    clock.advance(1.5)
    assert told == [start + 1_500_000]
    clock.run(1000)
    first = clock.now()
    while clock.now() == first:
        pass
    clock.freeze()
    stood = clock.now()
    assert stood == clock.now() > first
    forget()
    clock.set(5)
    assert (clock.now(), len(told)) == (5, 3)


def test_listings_of_ones_own():
    mine = Listing("KRW-MINE", "내것", "Mine", 50, 100, 1000)
    with Exchange(markets=["KRW-BTC", mine], extra=2, limits=False) as exchange:
        listed = httpx.get(f"{exchange.rest_url}/v1/market/all").json()
    assert [one["market"] for one in listed] == ["KRW-BTC", "KRW-MINE", "KRW-C001", "KRW-C002"]


def run_process(*arguments, **options):
    command = [sys.executable, "-W", "error", "-m", "upbit_frames.testing", *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options)


def test_another_process_generates_the_same_trades():
    with run_process("--json", "--until-eof", "--now", "2026-03-01T03:30:00Z", "--speed", "0") as process:
        url = json.loads(process.stdout.readline())["rest_url"]
        with Exchange(now="2026-03-01T03:30:00Z") as exchange:
            for path in (
                "/v1/candles/minutes/5?market=KRW-XRP&count=200",
                "/v1/ticker?markets=KRW-BTC,USDT-DOGE",
                "/v1/orderbook?markets=KRW-ELF",
                "/v1/trades/ticks?market=BTC-ETH&count=50&days_ago=3",
            ):
                theirs, mine = httpx.get(url + path), httpx.get(exchange.rest_url + path)
                assert theirs.status_code == 200
                assert theirs.content == mine.content
        process.stdin.close()


def test_a_process_of_its_own(tmp_path):
    path = tmp_path / "one.csv"
    path.write_text("timestamp,open,high,low,close,volume\n2026-02-28 23:59:00,3,4,1,2,0.5\n")
    arguments = ["--json", "--until-eof", "--now", "2026-03-01", "--speed", "0", "--file", f"KRW-ONE={path}"]
    with run_process(*arguments, "--fault", "500:0") as process:
        settings = json.loads(process.stdout.readline())
        rows = httpx.get(f"{settings['rest_url']}/v1/candles/minutes/1?market=KRW-ONE").json()
        process.stdin.close()
        assert process.wait(30) == 0
    assert [(row["candle_date_time_utc"], row["high_price"]) for row in rows] == [("2026-02-28T23:59:00", 4)]


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_a_process_ends_on_a_signal():
    with run_process("--extra", "1") as process:
        line = process.stdout.readline()
        while not line.startswith("UPBIT_FRAMES_REST_URL="):
            line = process.stdout.readline()
        assert httpx.get(line.split("=", 1)[1].strip() + "/v1/ticker?markets=KRW-C001").status_code == 200
        process.terminate()
        assert process.wait(30) == 0


@pytest.mark.skipif(os.name == "nt", reason="sends POSIX signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_process_that_waits_for_the_end_of_its_input_ends_on_a_signal(name):
    with run_process("--json", "--until-eof", stderr=subprocess.PIPE) as process:
        json.loads(process.stdout.readline())
        process.send_signal(getattr(signal, name))
        assert (process.wait(30), process.stderr.read()) == (0, "")


def test_a_bad_argument_is_refused():
    with run_process("--now", "yesterday", stderr=subprocess.PIPE) as process:
        assert "yesterday" in process.stderr.read()
        assert process.wait(30) == 2
