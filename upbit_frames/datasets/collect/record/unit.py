"""A description of a recorder for systemd (pure)."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["unit_text"]


def unit_text(command: Sequence[str], cache_dir: str) -> str:
    """Return a unit file that keeps a recorder running.

    Examples
    --------
    >>> print(unit_text(["python", "-m", "upbit_frames.cli.main", "record", "KRW-BTC"], "/data").splitlines()[7])
    ExecStart="python" "-m" "upbit_frames.cli.main" "record" "KRW-BTC"
    """
    return "\n".join(
        [
            "[Unit]",
            "Description=Record Upbit market data with upbit_frames",
            "After=network-online.target",
            "Wants=network-online.target",
            "",
            "[Service]",
            f"Environment={_quoted(f'UPBIT_FRAMES_CACHE_DIR={cache_dir}')}",
            f"ExecStart={' '.join(map(_quoted, command))}",
            "Restart=always",
            "RestartSec=5",
            "TimeoutStopSec=60",
            "",
            "[Install]",
            "WantedBy=default.target",
            "",
        ]
    )


def _quoted(word: str) -> str:
    """Return a word as systemd reads it; it expands percent and dollar signs."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'
