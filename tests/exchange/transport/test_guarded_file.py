"""The file that processes share: what others may have done to it, and to its lock."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import random
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from upbit_frames.core.endpoints import LIMITS
from upbit_frames.errors import Blocked, ConnectionFailed
from upbit_frames.exchange.transport import rate_limit_state as shared_slots
from upbit_frames.exchange.transport.guarded_file import GuardedFile, LockBusy
from upbit_frames.exchange.transport.rate_limit_state import QUIET, SharedSlots, Taken
from upbit_frames.exchange.transport.rate_limiter import Limiter, limiter_for
from upbit_frames.runtime.clock import ManualClock

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links, modes and signals of POSIX")

NOW = 1_000.0


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The two folders that are tried, one after the other."""
    first, second = tmp_path / "temporary", tmp_path / "private"
    monkeypatch.setattr(shared_slots, "_temporary", lambda: first)
    monkeypatch.setattr(shared_slots, "_private", lambda: second)
    return first, second


def takes(slots: SharedSlots, now: float = NOW) -> int:
    """How many slots can be taken at once."""
    return sum(isinstance(slots.take("candles", now, 10), Taken) for _ in range(20))


# --- the folder -----------------------------------------------------------------------------------


def test_all_processes_of_a_user_share_the_first_folder(folders: tuple[Path, Path]) -> None:
    assert takes(SharedSlots("test")) == 10
    assert takes(SharedSlots("test")) == 0
    assert [path.name for path in folders[0].iterdir()] == ["test.limits"]
    assert not folders[1].exists()


@pytest.mark.parametrize("plant", ["link", "writable", "file", "file link", "hard link", "fifo", "folder"])
def test_what_others_may_control_is_not_used(
    folders: tuple[Path, Path], tmp_path: Path, plant: str, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    first, second = folders
    victim = tmp_path / "victim"
    victim.mkdir()
    treasure = victim / "test.limits"
    treasure.write_bytes(b"treasure" * 1000)
    if plant == "link":
        first.symlink_to(victim)
    elif plant == "file":
        first.write_bytes(b"")
    else:
        first.mkdir(mode=0o700)
    slots = first / "test.limits"
    if plant == "writable":
        first.chmod(0o777)
    elif plant == "file link":
        slots.symlink_to(treasure)
    elif plant == "hard link":
        os.link(treasure, slots)
    elif plant == "fifo":
        os.mkfifo(slots)
    elif plant == "folder":
        slots.mkdir()

    with caplog.at_level(logging.WARNING):
        assert takes(SharedSlots("test")) == 10
    assert takes(SharedSlots("test")) == 0  # still shared
    assert (second / "test.limits").exists()
    assert treasure.read_bytes() == b"treasure" * 1000
    assert list(victim.iterdir()) == [treasure]
    assert "using another folder" in caplog.text
    assert str(first) in caplog.text


def test_a_folder_of_another_user_is_not_used(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert takes(SharedSlots("test")) == 10
    monkeypatch.setattr(os, "geteuid", lambda: folders[0].stat().st_uid + 1)
    slots = SharedSlots("test")
    with caplog.at_level(logging.WARNING):
        assert takes(slots) == 10
    assert "belongs to another user" in caplog.text


def test_without_any_folder_a_process_keeps_to_the_limits_alone(
    folders: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    for folder in folders:
        folder.write_bytes(b"")
    slots = SharedSlots("test")
    with caplog.at_level(logging.WARNING):
        assert takes(slots) == 10
    assert takes(slots) == 0
    assert "not shared with other processes" in caplog.text
    assert len(caplog.records) == 2  # once for each folder, not for each request


def test_the_name_of_a_host_becomes_a_file_name(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for url in (
        "https://xn--bcher-kva.example/",
        "https://" + "a" * 60 + "." + "b" * 190,
        "https://[::1]:7",
        "https://ü_.x",
    ):
        limiter = limiter_for(url, rate=0.99)
        assert isinstance(limiter._slots.take("candles", NOW, 10), Taken)
    assert len(list(folders[0].iterdir())) == 4


# --- its content ----------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["random", "short", "long", "flipped", "empty head", "text"])
def test_a_damaged_file_heals_and_is_quiet_for_a_second(tmp_path: Path, damage: str) -> None:
    slots = SharedSlots("test", folder=tmp_path)
    assert takes(slots) == 10
    path = tmp_path / "test.limits"
    sound = path.read_bytes()
    path.write_bytes(
        {
            "random": random.Random(1).randbytes(len(sound)),
            "short": sound[:50],
            "long": sound + b"\0",
            "flipped": sound[:300] + bytes([sound[300] ^ 1]) + sound[301:],
            "empty head": bytes(8) + sound[8:],
            "text": b"garbage",
        }[damage]
    )
    # What was sent in the last second is not known any more, so nothing may be sent in the next.
    wait = slots.take("candles", NOW, 10)
    assert isinstance(wait, float)
    assert wait == pytest.approx(QUIET)
    assert len(path.read_bytes()) == len(sound)
    assert takes(slots, NOW + QUIET) == 10


def test_a_removed_file_is_made_again_and_is_quiet_for_a_second(tmp_path: Path) -> None:
    slots = SharedSlots("test", folder=tmp_path / "slots")
    assert takes(slots) == 10
    (tmp_path / "slots/test.limits").unlink()
    (tmp_path / "slots").rmdir()
    assert takes(slots) == 0
    assert takes(slots, NOW + QUIET) == 10


@pytest.mark.parametrize("seed", range(40))
def test_no_value_in_the_file_raises_or_makes_anyone_wait_for_long(tmp_path: Path, seed: int) -> None:
    source = random.Random(seed)
    odd = [float("nan"), float("inf"), -float("inf"), 1e308, -1e308, 1e18, 0.0, NOW, NOW - 1, NOW + 59, 5e-324]
    whole = [2**63 - 1, -(2**63), -1, 0]
    content = b"".join(
        source.choice([struct.pack("<d", source.choice(odd)), struct.pack("<q", source.choice(whole))])
        for _ in range(shared_slots._SIZE // 8)
    )  # fmt: skip
    assert len(content) == shared_slots._SIZE
    (tmp_path / "test.limits").write_bytes(struct.pack("<4sI", b"UFS3", zlib.crc32(content)) + content)
    slots, now, wall = SharedSlots("test", folder=tmp_path), NOW, 1.7e9
    assert slots.blocked_until(now, wall) <= wall + 86_400
    for group in LIMITS:
        arrivals = []
        for _ in range(60):
            while not isinstance(got := slots.take(group, now, LIMITS[group]), Taken):
                assert 0 < got <= shared_slots.TOO_FAR
                now += got
            arrivals.append(now)
            now += 0.01
            slots.give_back(got, now, 1.0, 0.01)
            slots.leave_room(got, now, 1.0, 9, LIMITS[group])
        assert all(late - early > 0.98 for early, late in zip(arrivals, arrivals[10:], strict=False))
        slots.rest(group, now, 15.0, LIMITS[group])
        slots.pause(group, now, now + 1.0)
    assert now < NOW + 8 * shared_slots.TOO_FAR


# --- its lock -------------------------------------------------------------------------------------

HOLD = """
import fcntl, os, signal, sys
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.flock(fd, fcntl.LOCK_EX)
print("held", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
fcntl.flock(fd, fcntl.LOCK_UN)
print("released", flush=True)
sys.stdin.read()
"""


@contextmanager
def stopped_holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that was stopped while it holds the lock."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()


class TickingClock(ManualClock):
    """Counts how often the loop went on while somebody waited."""

    sleeps = 0

    def __init__(self) -> None:
        super().__init__(1_772_323_200_000_000)

    async def sleep(self, seconds: float) -> None:
        self.sleeps += 1
        await super().sleep(seconds)


def test_a_held_lock_is_refused_at_once(tmp_path: Path) -> None:
    first, second = (GuardedFile(tmp_path, "test", 8) for _ in range(2))
    with first.exclusively() as state:
        state.content[:] = b"content!"
        with pytest.raises(LockBusy), second.exclusively():
            pass
    with second.exclusively() as state:
        assert state.content == b"content!"


def test_a_stopped_holder_keeps_nobody_waiting(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "test.limits"
    used = SharedSlots("test", folder=tmp_path)
    assert takes(used, 1_000.0) == 10

    async def work() -> None:
        clock = TickingClock()
        limiters = [Limiter(SharedSlots("test", folder=tmp_path), clock=clock) for _ in range(3)]
        begun = clock.monotonic()
        slots = await asyncio.gather(*(limiter.acquire("candles") for limiter in limiters))
        assert clock.sleeps > 100  # the loop was never held
        assert QUIET < clock.monotonic() - begun < 30
        for slot in slots:
            slot.done()

    with stopped_holder(path) as holder:
        with caplog.at_level(logging.WARNING):
            asyncio.run(work())
        assert "a stopped process holds the lock" in caplog.text
        assert (tmp_path / "test.1.limits").exists()
        holder.send_signal(signal.SIGCONT)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "released\n"
        # The old file is free again, but everybody, the continued process included, is at the new one.
        now = 100_000.0
        assert takes(SharedSlots("test", folder=tmp_path), now) == 10
        assert takes(used, now) == 0


def test_what_is_given_back_while_the_lock_is_held_arrives_later(tmp_path: Path) -> None:
    async def work() -> None:
        clock = TickingClock()
        slots = SharedSlots("test", folder=tmp_path)
        limiter = Limiter(slots, clock=clock)
        held = [await limiter.acquire("candles") for _ in range(10)]
        with GuardedFile(tmp_path, "test", shared_slots._SIZE).exclusively():
            for slot in held:
                slot.sent()
                slot.done(5)
            error = limiter.blocked("http://x", 5.0)
            with pytest.raises(Blocked):  # known to this process without the file
                await limiter.acquire("market")
            assert limiter._postponed
        while limiter._postponed:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        other = Limiter(SharedSlots("test", folder=tmp_path), clock=clock)
        with pytest.raises(Blocked):
            await other.acquire("market")
        clock.advance(error.until.timestamp() - clock.now() / 1e6 + 1)
        await asyncio.gather(*(other.acquire("candles") for _ in range(10)))

    asyncio.run(work())


def test_without_file_handles_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slots = SharedSlots("test", folder=tmp_path)
    assert isinstance(slots.take("candles", NOW, 10), Taken)

    def none_left(*args: object, **options: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    async def work() -> None:
        limiter = Limiter(slots, clock=TickingClock())
        with monkeypatch.context() as patched:
            patched.setattr(os, "open", none_left)
            patched.setattr(os, "supports_dir_fd", {none_left})
            with pytest.raises(ConnectionFailed, match="Too many open files"):
                await limiter.acquire("candles")
        slot = await limiter.acquire("candles")  # and it is still the shared file
        slot.done()

    asyncio.run(work())
    assert takes(SharedSlots("test", folder=tmp_path), NOW) < 10


@pytest.mark.parametrize("seconds", [1e300, float("inf"), float("nan"), -5.0, 86_401.0, 0.0, None])
def test_an_absurd_block_lasts_no_longer_than_one_that_states_nothing(tmp_path: Path, seconds: float | None) -> None:
    async def work() -> None:
        clock = TickingClock()
        limiter = Limiter(SharedSlots("test", folder=tmp_path), clock=clock)
        error = limiter.blocked("http://x", seconds)
        assert error.until.timestamp() - clock.now() / 1e6 == pytest.approx(60.0)
        assert "no stated time" in str(error)
        other = Limiter(SharedSlots("test", folder=tmp_path), clock=clock)
        with pytest.raises(Blocked):
            await other.acquire("candles")
        clock.advance(61)
        (await other.acquire("candles")).done()
        (await limiter.acquire("candles")).done()

    asyncio.run(work())


def test_a_block_of_a_machine_whose_time_was_set_back_is_over(tmp_path: Path) -> None:
    async def work() -> None:
        clock = TickingClock()
        limiter = Limiter(SharedSlots("test", folder=tmp_path), clock=clock)
        limiter.blocked("http://x", 3600.0)
        clock.set(clock.now() - 10 * 86_400_000_000)
        (await limiter.acquire("candles")).done()

    asyncio.run(work())
