"""A process that updates a store until it is killed: ``python updating.py URL FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

import upbit_frames as uf
from upbit_frames.exchange.transport import rate_limiter as limiter


def main() -> None:
    """Update everything."""
    url, folder = sys.argv[1:]
    limiter.limiter_for = lambda url, rate=1.0: limiter.NullLimiter()
    uf.Client(uf.Config(rest_url=url, cache_dir=Path(folder), progress=False)).update()


if __name__ == "__main__":
    main()
