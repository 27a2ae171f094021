"""Upbit market data as clean frames."""

from upbit_frames._version import __version__

__all__ = ["__version__"]
