"""Let a coverage-guided fuzzer look for damage that a target does not refuse.

Run by hand where atheris is installed (``pip install atheris``): ``python tests/fuzz/run_atheris.py --seconds 60`` for
every target, or ``--target NAME`` for some. It starts from the committed seeds and, where they are, from real captures
(``UPBIT_FRAMES_REAL_DATA``). Prints how many inputs were tried; what it finds is kept below ``--findings``.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
LONGEST = 16_384  # bytes; longer inputs only repeat


def fuzz(name: str, options: list[str]) -> None:
    """Fuzz one target in this process, until libFuzzer ends it."""
    import atheris

    with atheris.instrument_imports(include=["upbit_frames", "fuzz.targets"]):
        from fuzz.targets import TARGETS

        from upbit_frames.errors import UpbitFramesError
    target = TARGETS[name]

    def one(data: bytes) -> None:
        with contextlib.suppress(UpbitFramesError):  # what it should raise
            target.read(data)

    atheris.Setup([sys.argv[0], *options], one)
    atheris.Fuzz()


def corpus(name: str, folder: Path) -> Path:
    from fuzz.targets import TARGETS

    target = TARGETS[name]
    real = os.environ.get("UPBIT_FRAMES_REAL_DATA")
    captures = [path.read_bytes() for path in sorted(Path(real).glob(target.real))] if real and target.real else []
    for data in [*target.seeds, *captures]:
        (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    return folder


def run(name: str, seconds: int, findings: Path) -> bool:
    """Fuzz one target in a process of its own; return whether nothing was found."""
    with tempfile.TemporaryDirectory() as folder:
        options = [
            f"-max_total_time={seconds}",
            f"-max_len={LONGEST}",
            "-timeout=60",
            "-rss_limit_mb=4096",
            "-print_final_stats=1",
            f"-artifact_prefix={findings / name.replace(' ', '-')}-",
            str(corpus(name, Path(folder))),
        ]
        done = subprocess.run(
            [sys.executable, __file__, "--inside", name, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    tried = re.search(r"number_of_executed_units:\s*(\d+)", done.stdout)
    print(
        f"{name}: {int(tried[1]) if tried else 0:,} inputs, {'clean' if done.returncode == 0 else 'FOUND'}", flush=True
    )
    if done.returncode:
        print(done.stdout[-4_000:], flush=True)
    return done.returncode == 0


def main() -> int:
    if sys.argv[1:2] == ["--inside"]:
        fuzz(sys.argv[2], sys.argv[3:])
        return 0
    from fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--target", action="append", choices=list(TARGETS), help="all without it")
    parser.add_argument("--findings", type=Path, default=Path(tempfile.gettempdir()))
    chosen = parser.parse_args()
    chosen.findings.mkdir(parents=True, exist_ok=True)
    clean = [run(name, chosen.seconds, chosen.findings) for name in chosen.target or TARGETS]
    return 0 if all(clean) else 1


if __name__ == "__main__":
    sys.path.insert(0, str(TESTS))
    sys.exit(main())
