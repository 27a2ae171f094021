"""``upbit-frames doctor``: check the installation and say what to do where something is wrong."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
from dataclasses import dataclass

from upbit_frames._version import __version__
from upbit_frames.api.engine import engine_for, open_store, store_root
from upbit_frames.core.config import current
from upbit_frames.core.urls import redacted
from upbit_frames.errors import UpbitFramesError

__all__ = ["Finding", "examine"]

PACKAGES = ("pandas", "pyarrow", "httpx", "websockets", "msgspec", "anyio", "filelock", "vcrpy", "matplotlib", "polars")
MAX_SKEW = 2.0  # seconds


@dataclass(frozen=True)
class Finding:
    """The result of a check."""

    good: bool
    what: str
    detail: str

    def __str__(self) -> str:
        return f"{'ok ' if self.good else 'BAD'}  {self.what:<14} {self.detail}"


def examine(*, online: bool = True) -> list[Finding]:
    """Check versions, store, cassettes, clock and reachability.

    Parameters
    ----------
    online : bool
        Whether to send a request to the exchange (for the market list).

    Returns
    -------
    list of Finding
    """
    findings = [_versions(), _store(), _space(), _loop()]
    if online:
        findings += _exchange()
    return findings


def _versions() -> Finding:
    versions = []
    for name in PACKAGES:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{name} –")
    python = f"Python {platform.python_version()}"
    return Finding(
        sys.version_info >= (3, 11), "versions", f"upbit_frames {__version__}, {python}, " + ", ".join(versions)
    )


def _store() -> Finding:
    root = store_root(current())
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            pass
        count = len(open_store(current()).series())
    except (OSError, UpbitFramesError) as error:
        return Finding(False, "store", f"{root}: {error}; set UPBIT_FRAMES_CACHE_DIR to a folder you may write to")
    return Finding(True, "store", f"{root}: writable, {count} series")


def _space() -> Finding:
    root = store_root(current())
    while not root.exists() and root != root.parent:
        root = root.parent
    free = shutil.disk_usage(root).free
    return Finding(free > 500e6, "disk", f"{free / 1e9:,.1f} GB free; a year of 1m candles takes about 12 MB")


def _loop() -> Finding:
    import asyncio

    patched = [name for name in ("nest_asyncio", "nest_asyncio2") if name in sys.modules]
    nested = getattr(asyncio, "_nest_patched", False)
    detail = f"asyncio is patched by {', '.join(patched) or 'something'}" if nested else "asyncio is untouched"
    return Finding(True, "event loop", f"{detail}, pid {os.getpid()}")


def _exchange() -> list[Finding]:
    from upbit_frames.runtime import event_loop

    config = current()
    engine = engine_for(config)

    async def count_markets() -> tuple[int, float]:
        started = engine.ports.clock.monotonic()
        page = await engine.ports.api.markets()
        return len(page.table), engine.ports.clock.monotonic() - started

    try:
        listed, seconds = event_loop.run(count_markets)
    except UpbitFramesError as error:
        return [Finding(False, "exchange", f"{redacted(config.rest_url)}: {type(error).__name__}: {error}")]
    skew = engine.ports.server_time.offset / 1e6
    width = (engine.ports.server_time.uncertainty or 0) / 1e6
    clock = f"this machine is {abs(skew):.1f} s {'behind' if skew > 0 else 'ahead'} (known to {width:.1f} s)"
    return [
        Finding(True, "exchange", f"{redacted(config.rest_url)} lists {listed:,} markets in {seconds * 1000:.0f} ms"),
        Finding(abs(skew) - width < MAX_SKEW, "clock", clock + "; what is sealed is decided by the exchange's"),
    ]
