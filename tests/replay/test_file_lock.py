"""Several processes record into one cassette: what each recorded is kept, or refused aloud."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

import upbit_frames as uf
from upbit_frames import errors
from upbit_frames.replay.cassette_file import load
from upbit_frames.replay.file_lock import exclusive
from upbit_frames.testing import Exchange

Elsewhere = Callable[..., None]


@pytest.fixture
def elsewhere(recording: Exchange, folder: Path) -> Elsewhere:
    """Record tickers into a cassette from another process."""

    def record(name: str, *markets: str, mode: str = "new_episodes") -> None:
        code = f"""
            import upbit_frames as uf
            uf.configure(rest_url={recording.rest_url!r}, ws_url={recording.ws_url!r}, cassette_dir={str(folder)!r})
            with uf.cassette({name!r}, mode={mode!r}):
                for market in {markets!r}:
                    uf.ticker(market)
            """
        subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=120)

    return record


def asked(folder: Path, name: str) -> list[str]:
    return sorted(one.key.text.partition("=")[2] for one in load(folder / f"{name}.yaml")[0] if "ticker" in one.uri)


@pytest.mark.parametrize("mode", ["new_episodes", "once", "all"])
def test_what_another_process_saved_meanwhile_is_kept(
    recording: Exchange, folder: Path, elsewhere: Elsewhere, mode: str
) -> None:
    with uf.cassette("both", mode=mode):
        uf.ticker("KRW-BTC")
        uf.ticker("KRW-ETH")
        elsewhere("both", "KRW-XRP", "KRW-ETH")
    assert asked(folder, "both") == ["KRW-BTC", "KRW-ETH", "KRW-XRP"]
    with uf.cassette("both", mode="none"):
        for market in ("KRW-BTC", "KRW-ETH", "KRW-XRP"):
            assert uf.ticker(market)["price"].iloc[0] > 0


def test_what_was_recorded_of_another_moment_is_refused_aloud(
    recording: Exchange, folder: Path, elsewhere: Elsewhere
) -> None:
    def record() -> None:
        with uf.cassette("both", mode="new_episodes"):
            uf.ticker("KRW-BTC")
            recording.clock.advance(60)
            elsewhere("both", "KRW-XRP")

    with pytest.raises(errors.StoreError, match="another process meanwhile") as caught:
        record()
    assert "-n 0" in str(caught.value)
    assert asked(folder, "both") == ["KRW-XRP"]


def test_a_tape_that_another_process_saved_meanwhile_is_kept(recording: Exchange, folder: Path) -> None:
    def record() -> None:
        with uf.cassette("both"):
            with uf.stream("KRW-BTC", "ticker") as stream:
                next(iter(stream))
            (folder / "both.jsonl.gz").write_bytes(b"theirs")

    with pytest.raises(errors.StoreError, match="another process meanwhile"):
        record()
    assert (folder / "both.jsonl.gz").read_bytes() == b"theirs"
    assert sorted(path.suffix for path in folder.iterdir()) in ([".gz"], [".gz", ".yaml"])


def test_nothing_is_left_behind_by_the_lock(tmp_path: Path) -> None:
    with exclusive(tmp_path / "new" / "one.yaml"):
        pass
    assert list((tmp_path / "new").iterdir()) == []
