"""The background loop: from a script, a thread, any loop, after a fork; and out by Ctrl-C."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable

import pytest

from upbit_frames.errors import UsageError
from upbit_frames.runtime import event_loop


async def double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


async def fail() -> None:
    raise ValueError("as it is")


async def thread_name() -> str:
    return threading.current_thread().name


def test_results_and_errors_come_back() -> None:
    assert event_loop.run(double, 21) == 42
    with pytest.raises(ValueError, match="as it is"):
        event_loop.run(fail)


def test_a_timeout_error_of_the_work_is_not_mistaken_for_waiting() -> None:
    async def slow() -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        event_loop.run(slow)


def test_everything_runs_on_one_thread() -> None:
    names = {event_loop.run(thread_name)}
    thread = threading.Thread(target=lambda: names.add(event_loop.run(thread_name)))
    thread.start()
    thread.join()
    names.add(asyncio.run(event_loop.run_async(thread_name)))
    assert names == {event_loop.THREAD_NAME}


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_interrupt_while_the_work_is_handed_over_leaves_nothing_behind(
    moment: str, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    begun, unwound = threading.Event(), threading.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            unwound.set()

    loop = event_loop._started()
    hand_over = loop.call_soon_threadsafe

    def interrupted(callback: Callable[..., object], *args: object) -> asyncio.Handle:
        monkeypatch.undo()  # once
        if moment == "after":
            hand_over(callback, *args)
            assert begun.wait(60)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "call_soon_threadsafe", interrupted)
    with pytest.raises(KeyboardInterrupt):
        event_loop.run(work)
    assert unwound.is_set() == begun.is_set() == (moment == "after")
    gc.collect()
    assert not [str(warning.message) for warning in recwarn if "never awaited" in str(warning.message)]
    assert event_loop.run(double, 21) == 42


def test_blocking_inside_a_running_loop_works() -> None:
    async def cell() -> int:
        return event_loop.run(double, 4)

    assert asyncio.run(cell()) == 8


def test_blocking_on_the_own_loop_is_refused() -> None:
    async def inside() -> None:
        event_loop.run(double, 1)

    with pytest.raises(UsageError, match="own event loop"):
        event_loop.run(inside)


def test_awaiting_on_the_own_loop_works() -> None:
    async def inside() -> int:
        return await event_loop.run_async(double, 3)

    assert event_loop.run(inside) == 6


def test_cancelling_the_awaiting_task_cancels_the_work() -> None:
    begun, unwound = threading.Event(), threading.Event()

    async def forever() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            unwound.set()

    async def outer() -> None:
        task = asyncio.create_task(event_loop.run_async(forever))
        assert await asyncio.to_thread(begun.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(outer())
    assert unwound.wait(60)


def test_tick_is_called_while_waiting() -> None:
    ticked = threading.Event()

    async def slow() -> str:
        await asyncio.to_thread(ticked.wait, 60)
        return "done"

    assert event_loop.run(slow, tick=ticked.set) == "done"
    assert ticked.is_set()


def test_under_uvloop() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def outer() -> tuple[int, int]:
        return await event_loop.run_async(double, 5), event_loop.run(double, 6)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(outer()) == (10, 12)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_after_a_fork() -> None:
    assert event_loop.run(double, 1) == 2
    before = event_loop.generation()
    child = os.fork()
    if child == 0:
        good = event_loop.run(double, 10) == 20 and event_loop.generation() != 0
        os._exit(0 if good else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert event_loop.generation() == before


def run_script(text: str, *, interrupt_after: str | None = None) -> subprocess.CompletedProcess[str]:
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(text)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        if interrupt_after is not None:
            assert process.stdout is not None
            for line in process.stdout:
                if interrupt_after in line:
                    time.sleep(0.2)
                    process.send_signal(signal.SIGINT)
                    break
        out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def test_ctrl_c_stops_the_work_and_lets_it_unwind() -> None:
    done = run_script(
        """
        import asyncio, signal
        from upbit_frames.runtime import event_loop

        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell ignores it

        async def forever():
            print("begun", flush=True)
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0.1)
                print("unwound", flush=True)

        try:
            event_loop.run(forever)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        """,
        interrupt_after="begun",
    )
    assert done.stdout.split() == ["unwound", "interrupted"]
    assert done.returncode == 0


def test_the_interpreter_ends_without_a_hang_or_a_word() -> None:
    done = run_script(
        """
        import asyncio
        from upbit_frames.runtime import event_loop
        event_loop.start(asyncio.sleep, 60)
        print(event_loop.run(asyncio.sleep, 0, "fine"))
        """
    )
    assert (done.stdout.strip(), done.stderr, done.returncode) == ("fine", "", 0)


def test_importing_changes_nothing_in_asyncio() -> None:
    done = run_script(
        """
        import asyncio, sys

        def touchable():
            loop = asyncio.BaseEventLoop
            return asyncio.run, asyncio.get_event_loop, asyncio.Task, asyncio.Future, loop.run_until_complete

        before = touchable()
        import upbit_frames as uf
        for name in uf.__all__:
            getattr(uf, name)
        after = touchable()
        assert before == after
        assert not hasattr(asyncio, "_nest_patched")
        assert "nest_asyncio" not in sys.modules and "nest_asyncio2" not in sys.modules
        print("untouched")
        """
    )
    assert done.stdout.strip() == "untouched", done.stderr


def test_importing_costs_nothing_heavy() -> None:
    done = run_script(
        """
        import sys
        import upbit_frames
        heavy = {"pandas", "pyarrow", "pyarrow.dataset", "vcr", "matplotlib", "websockets", "httpx", "numpy", "msgspec"}
        print(sorted(heavy & set(sys.modules)))
        """
    )
    assert done.stdout.strip() == "[]", done.stderr


def _script(code: str, *, python: str = sys.executable) -> str:
    done = subprocess.run([python, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=150)
    return done.stdout + done.stderr


def test_calls_while_the_interpreter_ends_are_refused():
    code = """if True:
        import atexit

        def late():
            from upbit_frames import errors
            try:
                uf.markets("KRW")
            except errors.UsageError as error:
                print("refused:", error.message)

        atexit.register(late)
        import upbit_frames as uf
    """
    assert _script(code).startswith("refused: the interpreter is shutting down")


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
def test_no_free_file_handles_is_an_error_of_this_package():
    code = """if True:
        import os, resource
        import upbit_frames as uf
        from upbit_frames import errors
        from upbit_frames.runtime.preload import load
        markets = uf.markets
        load()
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
        held = []
        try:
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
        try:
            markets("KRW")
        except errors.UpbitFramesError as error:
            print("refused:", error.message)
    """
    assert _script(code).startswith("refused: the process has no free file handles")
