"""Cassettes for the command ``cassette``."""

from support.recordings import exchange, folder, recording, running

__all__ = ["exchange", "folder", "recording", "running"]
