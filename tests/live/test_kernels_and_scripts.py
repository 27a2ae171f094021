"""Streams in a running Jupyter kernel, and in scripts that are interrupted or end: nothing hangs."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from upbit_frames.testing import Exchange
from upbit_frames.testing.market.listings import default_listings

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of jupyter_client and zmq
PATIENCE = 60.0
HEAD = """
import upbit_frames as uf
from pathlib import Path
client = uf.Client(uf.Config(**{settings!r}, cache_dir=Path({cache!r}), progress=False))
aclient = uf.AsyncClient(client.config)
"""


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    lively = [replace(one, trades_per_day=200_000.0) if one.market == "KRW-BTC" else one for one in default_listings()]
    with Exchange(seed=7, now="2026-03-01T03:30:20Z", markets=lively) as exchange:
        exchange.clock.run()
        yield exchange


@pytest.fixture
def head(exchange: Exchange, tmp_path: Path) -> str:
    return HEAD.format(settings=exchange.settings(), cache=str(tmp_path / "cache"))


class Kernel:
    """A kernel of its own, and what its cells say."""

    def __init__(self) -> None:
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.client = self._connect()

    def _connect(self) -> BlockingKernelClient:
        client = self.manager.client()
        client.start_channels()
        client.wait_for_ready(timeout=PATIENCE)
        return client

    def start(self, code: str) -> str:
        """Begin a cell."""
        return self.client.execute(code)

    def wait(self, cell: str, timeout: float = PATIENCE) -> tuple[str, str]:
        """Its text and the name of its error, when it is over."""
        text, error = "", ""
        ends = time.monotonic() + timeout
        while True:
            try:
                message = self.client.get_iopub_msg(timeout=max(0.1, ends - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"the cell did not end within {timeout:g} s: {text[-300:]}")
            if message["parent_header"].get("msg_id") != cell:
                continue
            content = message["content"]
            if message["msg_type"] == "stream":
                text += content["text"]
            elif message["msg_type"] == "error":
                error = content["ename"]
            elif message["msg_type"] == "status" and content["execution_state"] == "idle":
                return text, error

    def run(self, code: str) -> str:
        """A cell that works."""
        text, error = self.wait(self.start(code))
        assert error == "", f"{error}: {text}"
        return text

    def restart(self) -> None:
        self.client.stop_channels()
        self.manager.restart_kernel(now=False)
        self.client = self._connect()

    def stop(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=False)


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    kernel = Kernel()
    yield kernel
    kernel.stop()
    assert not kernel.manager.has_kernel or not kernel.manager.is_alive()


def test_collecting_awaiting_and_a_feed_beside_other_cells(kernel: Kernel, head: str) -> None:
    kernel.run(head)
    assert int(kernel.run("df = client.stream('KRW-BTC', seconds=2); print(len(df))")) >= 1
    # A cell runs inside a loop that is running already.
    assert (
        int(
            kernel.run("""
async with aclient.stream('KRW-BTC', 'ticker') as stream:
    rows = 0
    async for batch in stream:
        rows += len(batch)
        if rows >= 2: break
print(rows)
""")
        )
        >= 2
    )
    assert int(kernel.run("print(len(await aclient.ticker(['KRW-BTC', 'KRW-ETH'])))")) == 2
    kernel.run("feed = client.stream('KRW-BTC', background=True)")
    for rows in (1, 4):  # it fills up beside the cells
        kernel.run(f"import time\nwhile len(feed) < {rows}: time.sleep(0.05)")
    assert kernel.run("feed.close(); print(feed.closed)").strip() == "True"
    assert (
        int(
            kernel.run("""
with client.follow('KRW-BTC', '1m', history=5) as follow:
    for batch in follow:
        print(len(batch))
        break
""")
        )
        == 5
    )


@pytest.mark.parametrize(
    "code",
    [
        "frame = client.stream('KRW-BTC', 'candle.4h', count=1000)",
        "for batch in client.stream('KRW-BTC'): pass",
        "async with aclient.stream('KRW-BTC', 'candle.4h') as s: await s.collect(count=1000)",
        "for batch in client.follow('KRW-BTC', '4h', history=1): pass",
    ],
    ids=["collect", "iterate", "await", "follow"],
)
def test_interrupting_a_cell(kernel: Kernel, head: str, code: str, exchange: Exchange) -> None:
    kernel.run(head)
    before = len(exchange.streams.connections)
    cell = kernel.start(code)
    streaming(exchange, before)
    kernel.manager.interrupt_kernel()
    # A kernel that awaits notices an interruption with the next message only, whatever it awaits.
    kernel.client.kernel_info()
    _, error = kernel.wait(cell)
    if "frame =" in code:  # what has come until then is returned
        assert error == ""
        assert kernel.run("print(frame.attrs['upbit_frames']['interrupted'])").strip() == "True"
    else:
        assert error in ("KeyboardInterrupt", "CancelledError")
    assert kernel.run("print(len(client.ticker('KRW-BTC')))").strip() == "1"


def test_restarting_while_a_feed_runs(kernel: Kernel, head: str, exchange: Exchange) -> None:
    kernel.run(head)
    kernel.run("feed = client.stream('KRW-BTC', background=True); follow = client.follow('KRW-BTC', '1m', history=3)")
    kernel.restart()
    kernel.run(head)
    assert int(kernel.run("print(len(client.stream('KRW-BTC', seconds=1)))")) >= 0
    kernel.run("feed = client.stream('KRW-BTC', background=True)")  # and shut down with it


# --- scripts --------------------------------------------------------------------------------------


def streaming(exchange: Exchange, before: int) -> None:
    """Wait until something was sent on a connection that was not there before."""
    ends = time.monotonic() + PATIENCE
    while not any(one.sent for one in exchange.streams.connections[before:]):
        assert time.monotonic() < ends, "no stream was opened"
        time.sleep(0.05)


def script(code: str, interrupt: Exchange | None, tmp_path: Path) -> tuple[int, str]:
    """Exit code and stderr of a script that ends by itself, or once it is interrupted."""
    path, before = tmp_path / "script.py", len(interrupt.streams.connections) if interrupt else 0
    path.write_text(code, encoding="utf-8")
    env = {**os.environ, "PYTHONWARNINGS": "default"}
    process = subprocess.Popen(
        [sys.executable, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "ready"
    if interrupt is not None:
        streaming(interrupt, before)
        process.send_signal(signal.SIGINT)
    try:
        _, error = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        pytest.fail("the script did not end")
    return process.returncode, error


@pytest.mark.parametrize(
    "code",
    [
        "print('ready', flush=True)\nfor batch in client.stream('KRW-BTC'): pass",
        "with client.stream('KRW-BTC') as stream:\n    print('ready', flush=True)\n    for batch in stream: pass",
        "follow = client.follow('KRW-BTC', '4h', history=1)\nprint('ready', flush=True)\nfor batch in follow: pass",
        "import asyncio\nasync def main():\n    async with aclient.stream('KRW-BTC', 'candle.4h') as s:\n"
        "        print('ready', flush=True)\n        await s.collect(count=1000)\nasyncio.run(main())",
    ],
    ids=["loop", "iterate", "follow", "async"],
)
def test_ctrl_c(exchange: Exchange, head: str, tmp_path: Path, code: str) -> None:
    status, error = script(head + code, exchange, tmp_path)
    assert status in (1, -signal.SIGINT)
    assert error.strip().endswith("KeyboardInterrupt"), error


def test_ctrl_c_ends_a_collection_with_what_has_come(exchange: Exchange, head: str, tmp_path: Path) -> None:
    code = "print('ready', flush=True)\nframe = client.stream('KRW-BTC', 'trade', seconds=600)\nprint(len(frame))\n"
    status, error = script(head + code, exchange, tmp_path)
    assert status == 0
    assert "UpbitFramesWarning: the stream was interrupted" in error


@pytest.mark.parametrize(
    "code",
    [
        "feed = client.stream('KRW-BTC', background=True)",
        "feed = client.stream('KRW-BTC', background=True)\nfollow = client.follow('KRW-BTC', '1m', history=3)",
        "stream = client.stream('KRW-BTC').__enter__(); next(stream)",
        "import threading\nthread = threading.Thread(target=lambda: client.stream('KRW-BTC', seconds=1))\n"
        "thread.start(); thread.join()",
        "for _ in range(5): client.ticker('KRW-BTC')",
    ],
    ids=["feed", "follow", "stream", "thread", "channel"],
)
def test_the_end_of_the_interpreter(head: str, tmp_path: Path, code: str) -> None:
    status, error = script(f"{head}{code}\nprint('ready', flush=True)\n", None, tmp_path)
    assert (status, error) == (0, "")
