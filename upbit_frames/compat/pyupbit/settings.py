"""How faithful the drop-in is: one set of settings a process, and the last failure behind a None."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from typing import Any

from upbit_frames.errors import ConfigError

__all__ = ["Settings", "configure", "failed", "last_error", "settings"]

CHOICES = {"to": ("utc", "kst", "error"), "errors": ("none", "raise"), "like": ("0.2.34", "0.2.29")}


@dataclass(frozen=True)
class Settings:
    """Settings of the drop-in; see :func:`configure`."""

    to: str = "utc"
    errors: str = "none"
    like: str = "0.2.34"

    @property
    def naive(self) -> str:
        """What a ``to`` without a time zone means: ``utc``, ``kst`` or ``error``."""
        # Up to 0.2.30 it was the machine's local time, which in Korea is Korean time.
        return "kst" if self.to == "utc" and self.like == "0.2.29" else self.to


_settings = Settings()
_last_error: Exception | None = None


def settings() -> Settings:
    """Return the settings in force."""
    return _settings


def configure(*, to: str | None = None, errors: str | None = None, like: str | None = None, **unknown: Any) -> None:
    """Make the drop-in stricter, or like an older pyupbit; what is not given stays.

    Parameters
    ----------
    to : {"utc", "kst", "error"}, optional
        What a ``to`` without a time zone means. ``"utc"`` is pyupbit's way since 0.2.31 and the
        default, ``"kst"`` reads it as Korean time, ``"error"`` refuses it.
    errors : {"none", "raise"}, optional
        Whether the candle functions return None where they fail, as pyupbit does, or raise.
    like : {"0.2.34", "0.2.29"}, optional
        Release of pyupbit to reproduce. ``"0.2.29"`` reads ``to`` as Korean time, regardless of the machine's
        zone, and gives a dict for ``get_current_price(…, verbose=True)`` of one market.

    Raises
    ------
    ConfigError
        If a name or value is unknown; nothing changes then.

    Examples
    --------
    >>> configure(to="kst")
    >>> configure(to="utc", errors="none", like="0.2.34")  # back to the defaults
    """
    global _settings
    if unknown:
        name = next(iter(unknown))
        near = difflib.get_close_matches(name, CHOICES, n=1) or ["to, errors and like"]
        raise ConfigError(f"there is no setting {name!r}", suggestion=f"did you mean {near[0]}?")
    values = {"to": to, "errors": errors, "like": like}
    chosen = {name: value for name, value in values.items() if value is not None}
    for name, value in chosen.items():
        if value not in CHOICES[name]:
            allowed = " or ".join(repr(item) for item in CHOICES[name])
            raise ConfigError(f"{name} must be {allowed}, got {value!r}")
    _settings = replace(_settings, **chosen)


def failed(error: Exception) -> None:
    """Keep the error behind a None."""
    global _last_error
    _last_error = error


def last_error() -> Exception | None:
    """Return the error behind the last None."""
    return _last_error
