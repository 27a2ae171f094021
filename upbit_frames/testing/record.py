"""Record the repository's cassettes and tapes from the stand-in exchange: ``python -m upbit_frames.testing.record``.

The exchange's clock stands still and its trades come from a seed, so recording again gives the
same cassettes. Where a notebook listens to streams, the clock begins to run with the first of
them, a minute in a second; a tape of the same trades then differs in when they arrived. Notebooks
are recorded by running their code cells, and are to be run again after their tapes have changed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import upbit_frames as uf
from upbit_frames.cli import demo
from upbit_frames.replay.clocks import use_clock
from upbit_frames.replay.tape_file import SUFFIX
from upbit_frames.runtime.clock import SystemClock
from upbit_frames.testing.market.listings import Listing
from upbit_frames.testing.market.related import related_listings
from upbit_frames.testing.server.exchange import Exchange

__all__ = ["main", "record"]

SEED, NOW = 7, "2026-03-01T03:30:30Z"
RELATED = ("09_panel",)  # notebooks about markets that move together
SPEED = 60.0  # virtual seconds per real second, while streams are recorded


def record(folder: Path, notebooks: Path) -> list[Path]:
    """Record every cassette into a folder.

    Parameters
    ----------
    folder : pathlib.Path
        Where the cassettes go; existing ones are recorded afresh.
    notebooks : pathlib.Path
        Of its notebooks those are run that open a cassette of their own name; none if it does not exist.

    Returns
    -------
    list of pathlib.Path
        What was written.
    """
    jobs: dict[str, Callable[[], object]] = {}
    jobs["demo"] = _demo
    for path in sorted(notebooks.glob("*.ipynb")):
        if f'cassette("{path.stem}' not in path.read_text(encoding="utf-8").replace("\\", ""):
            continue  # it has an exchange of its own, or replays what others recorded
        jobs[path.stem] = lambda path=path: run_cells(path)  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as room:
        fresh = Path(room) / "cassettes"
        settings = {"cassette_dir": fresh, "cache_dir": Path(room) / "store", "record": "once", "progress": False}
        usual = [job for name, job in jobs.items() if name not in RELATED]
        related = [job for name, job in jobs.items() if name in RELATED]
        for markets, chosen in ((None, usual), (related_listings(), related)):
            if chosen:
                _run(chosen, settings, markets)
        # Only now: a run that fails half-way leaves the old ones alone.
        folder.mkdir(parents=True, exist_ok=True)
        recorded = sorted([*fresh.glob("*.yaml"), *fresh.glob(f"*{SUFFIX}")])
        return [Path(shutil.copy(path, folder)) for path in recorded]


def _run(jobs: list[Callable[[], object]], settings: dict[str, Any], markets: tuple[Listing, ...] | None) -> None:
    """Run jobs against an exchange with these markets; None for the default markets."""
    with Exchange(seed=SEED, now=NOW, limits=False, markets=markets) as exchange:
        for job in jobs:
            with uf.using(rest_url=exchange.rest_url, ws_url=exchange.ws_url, **settings), time_of(exchange, SPEED):
                job()


class _StreamTime(SystemClock):
    """The exchange's own time, which begins to run when it is first looked at."""

    def __init__(self, exchange: Exchange, speed: float) -> None:
        self.speed = speed
        self._clock = exchange.clock

    def now(self) -> int:
        """Return microseconds since the epoch."""
        if not self._clock.speed:
            self._clock.run(self.speed)
        return self._clock.now()


@contextlib.contextmanager
def time_of(exchange: Exchange, speed: float = 1.0) -> Iterator[None]:
    """Let tapes be recorded by the exchange's clock, which runs with them and goes back afterwards.

    So ``received_at`` can be compared with ``time``, and an hour need not take an hour.
    """
    now = exchange.clock.now()
    before = use_clock(_StreamTime(exchange, speed))
    try:
        yield
    finally:
        use_clock(before)
        exchange.clock.freeze()
        exchange.clock.set(now)


def _demo() -> None:
    with uf.cassette(demo.NAME):
        demo.transcript()


def run_cells(path: Path) -> None:
    """Run the code cells of a notebook in a single namespace, as a kernel would, without drawing."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    book = json.loads(path.read_text(encoding="utf-8"))
    space: dict[str, Any] = {"__name__": "__main__"}
    environment = dict(os.environ)
    try:
        with _quiet(), warnings.catch_warnings():
            for cell in book["cells"]:
                if cell["cell_type"] == "code":
                    exec(compile("".join(cell["source"]), f"<{path.name}>", "exec"), space)  # noqa: S102 - our own
    finally:
        # A kernel would end here and take its settings along.
        uf.configure(cassette_dir=None)
        os.environ.clear()
        os.environ.update(environment)
        plt.close("all")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m upbit_frames.testing.record", description=__doc__)
    parser.add_argument("--into", type=Path, default=Path("cassettes"), help="folder of the cassettes")
    parser.add_argument("--notebooks", type=Path, default=Path("notebooks"), help="folder of the notebooks")
    options = parser.parse_args()
    for path in record(options.into, options.notebooks):
        print(f"{path.stat().st_size:>10,} bytes  {path}")


if __name__ == "__main__":
    main()
