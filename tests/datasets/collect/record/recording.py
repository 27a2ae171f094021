"""A process that records until it is ended: ``python recording.py REST WS FOLDER MARKET``."""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Run the command line with the settings given."""
    rest, streams, folder, market = sys.argv[1:]
    os.environ |= {
        "UPBIT_FRAMES_REST_URL": rest, "UPBIT_FRAMES_WS_URL": streams, "UPBIT_FRAMES_CACHE_DIR": folder,
    }  # fmt: skip
    from upbit_frames.cli.main import main as run
    from upbit_frames.exchange.transport import rate_limiter as limiter

    limiter.limiter_for = lambda url, rate=1.0: limiter.NullLimiter()
    return run(["record", market])


if __name__ == "__main__":
    sys.exit(main())
