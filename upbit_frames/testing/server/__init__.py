"""The loopback server of the stand-in exchange."""
