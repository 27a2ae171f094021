"""``upbit-frames demo``: the tour of the README, offline, through the real client."""

from __future__ import annotations

import tempfile
from pathlib import Path

import upbit_frames as uf
from upbit_frames.errors import NotRecorded, UsageError

__all__ = ["cassette_folder", "run"]

NAME = "demo"
HERE = Path(__file__).resolve().parent.parent


def cassette_folder() -> Path:
    """Return the folder of the packaged cassettes: in the wheel, or beside the package in a clone."""
    for folder in (HERE / "_cassettes", HERE.parent / "cassettes"):
        if (folder / f"{NAME}.yaml").exists():
            return folder
    raise NotRecorded(
        "the demo's cassette did not come with this installation",
        suggestion="install the package again from its source",
        request="", nearest="",
    )  # fmt: skip


def transcript() -> list[str]:
    """Return the output of the demo's calls, which are recorded in its cassette."""
    lines = ['>>> df = uf.candles("KRW-BTC", "15m", start="2026-02-22", end="2026-03-01", tz="Asia/Seoul")']
    frame = uf.candles("KRW-BTC", "15m", start="2026-02-22", end="2026-03-01", tz="Asia/Seoul", progress=False)
    lines += [frame.tail(4).to_string(), f"{len(frame):,} rows", ""]
    lines += ["Where it came from:", repr(uf.notebook.provenance(frame)), ""]
    again = uf.candles("KRW-BTC", "15m", start="2026-02-22", end="2026-03-01", tz="Asia/Seoul", progress=False)
    lines += ["The same call again:", repr(uf.notebook.provenance(again)), ""]
    lines += [">>> uf.cache", repr(uf.cache), ""]
    lines += [
        '>>> uf.ticker(quote="KRW")',
        uf.ticker(quote="KRW")[["price", "change_rate", "value_24h"]].head(3).to_string(),
        "",
    ]
    return lines


def run(chart: Path) -> str:
    """Replay the demo, write its chart, and return what there is to read.

    Parameters
    ----------
    chart : pathlib.Path
        Where the PNG goes.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        raise UsageError("the demo draws a chart", suggestion="pip install 'upbit-frames[plot]'") from None

    with (
        tempfile.TemporaryDirectory() as store,
        uf.using(
            cassette_dir=cassette_folder(),
            cache_dir=store,
            region="kr",
            rest_url="https://api.upbit.com",
            output="pandas",
            tz="UTC",
        ),
    ):
        with uf.cassette(NAME, mode="none") as tape:
            lines = transcript()
            frame = uf.candles("KRW-BTC", "15m", start="2026-02-22", end="2026-03-01", tz="Asia/Seoul", progress=False)
        mpl.use("Agg")
        from matplotlib import pyplot as plt

        figure, axes = plt.subplots(figsize=(10, 6))
        frame.uf.plot(ax=axes, title="KRW-BTC 15m (stand-in exchange)")
        figure.savefig(chart, dpi=130)
        plt.close(figure)
    source = "a recording of the stand-in exchange (its prices are invented)"
    lines += [f"{tape.played} requests replayed from {source}, none sent."]
    lines += [f"Chart: {chart}"]
    return "\n".join(lines)
