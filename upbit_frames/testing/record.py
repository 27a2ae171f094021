"""Record the repository's cassettes from the stand-in exchange: ``python -m upbit_frames.testing.record``.

The exchange's clock stands still and its trades come from a seed, so recording again gives the
same files. Notebooks are recorded by running their code cells.
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
from upbit_frames import demo
from upbit_frames.testing.exchange import Exchange

__all__ = ["main", "record"]

SEED, NOW = 7, "2026-03-01T03:30:30Z"


def record(folder: Path, notebooks: Path) -> list[Path]:
    """Record every cassette into a folder.

    Parameters
    ----------
    folder : pathlib.Path
        Where the cassettes go; existing ones are recorded afresh.
    notebooks : pathlib.Path
        The notebooks to record; none if it does not exist.

    Returns
    -------
    list of pathlib.Path
        What was written.
    """
    jobs: dict[str, Callable[[], object]] = {}
    jobs["demo"] = _demo
    for path in sorted(notebooks.glob("*.ipynb")):
        jobs[path.stem] = lambda path=path: run_cells(path)  # type: ignore[misc]
    with Exchange(seed=SEED, now=NOW, limits=False) as exchange, tempfile.TemporaryDirectory() as room:
        fresh = Path(room) / "cassettes"
        settings: dict[str, Any] = {
            "rest_url": exchange.rest_url, "cassette_dir": fresh, "cache_dir": Path(room) / "store",
            "record": "once", "progress": False,
        }  # fmt: skip
        for job in jobs.values():
            with uf.using(**settings):
                job()
        # Only now: a run that fails half-way leaves the old ones alone.
        folder.mkdir(parents=True, exist_ok=True)
        return [Path(shutil.copy(path, folder)) for path in sorted(fresh.glob("*.yaml"))]


def _demo() -> None:
    with uf.cassette(demo.NAME):
        demo.ask()


def run_cells(path: Path) -> None:
    """Run the code cells of a notebook in one namespace, as a kernel would, without drawing."""
    import matplotlib as mpl

    mpl.use("Agg")
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
        mpl.pyplot.close("all")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m upbit_frames.testing.record", description=__doc__)
    parser.add_argument("--into", type=Path, default=Path("cassettes"), help="folder of the cassettes")
    parser.add_argument("--notebooks", type=Path, default=Path("notebooks"), help="folder of the notebooks")
    options = parser.parse_args()
    for path in record(options.into, options.notebooks):
        print(f"{path.stat().st_size:>10,} bytes  {path}")


if __name__ == "__main__":
    main()
