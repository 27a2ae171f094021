"""The numbers of order book levels as arrays, without a Python object a number (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import groupby
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

__all__ = ["Levels", "level_arrays"]

Floats = NDArray[np.float64]

_pack = msgspec.msgpack.Encoder().encode


class Levels(NamedTuple):
    """Prices and amounts of levels, an array each."""

    ask_price: Floats
    ask_size: Floats
    bid_price: Floats
    bid_size: Floats


def level_arrays(units: Sequence[Any]) -> Levels:
    """Return the levels of decoded order books as arrays, in their order.

    Parameters
    ----------
    units : sequence
        Structs with the fields of :class:`Levels`, each a float.

    Notes
    -----
    msgpack writes structs of floats as records of one length, which numpy reads as they are: a third of the time
    that a list of each field takes.
    """
    parts = [_read(cls, list(alike)) for cls, alike in groupby(units, type)]
    if len(parts) == 1:
        return parts[0]
    return Levels(*(np.concatenate([part[at] for part in parts] or [np.empty(0)]) for at in range(len(Levels._fields))))


def _read(cls: type, units: list[Any]) -> Levels:
    record, packed = _record(cls), _pack(units)
    assert len(packed) - len(units) * record.itemsize in (1, 3, 5), "a level holds a number that is no float"
    rows = np.frombuffer(packed, record, offset=len(packed) - len(units) * record.itemsize)
    return Levels(*(rows[name].astype(np.float64) for name in Levels._fields))


@cache
def _record(cls: type) -> np.dtype[Any]:
    """Return how msgpack lays out a struct: a byte, then each name behind a byte, and a float behind a byte."""
    offsets, at = {}, 1
    for field in msgspec.structs.fields(cls):
        offsets[field.name] = at = at + 1 + len(field.encode_name) + 1
        at += 8
    return np.dtype(
        {"names": list(offsets), "formats": [">f8"] * len(offsets), "offsets": list(offsets.values()), "itemsize": at}
    )
