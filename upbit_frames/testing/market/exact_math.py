"""Exponential, logarithm and random numbers that are the same to the last bit on every machine. No I/O.

``numpy.exp`` and the C library's ``log`` choose their code by the CPU's instruction sets and may
differ in the last digit; a price rounded to its step or a volume to 1e-8 then differs visibly.
Here only operations are used whose result IEEE 754 fixes: addition, subtraction, multiplication,
division, rounding, and scaling by powers of two, each by itself and in a fixed order.
"""

from __future__ import annotations

import math
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

__all__ = ["Floats", "exp", "exponentials", "log", "normals", "seeded"]

Floats = npt.NDArray[np.float64]

# ln 2 in two parts: the first has so few bits that a small whole number times it is exact.
_LN2_HIGH = float.fromhex("0x1.62e42fee00000p-1")
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_PER_LN2 = float.fromhex("0x1.71547652b82fep+0")
_FACTORIALS = [1.0 / math.factorial(n) for n in range(14)]
_ODD = [1.0 / n for n in range(1, 24, 2)]
# The library samples normal and exponential numbers from tables, except beyond these bounds, where it calls
# the C library's log. Numbers beyond them are replaced by the bounds: 1 in 3,900, and 1 in 2,200.
_NORMAL_TABLE = 3.6541528853610088
_EXPONENTIAL_TABLE = 7.69711747013104972


def exp(values: Any) -> Any:
    """Raise e to each number, within 2 units in the last place; for results that are normal numbers."""
    x = np.asarray(values, dtype=np.float64)
    twos = np.rint(x * _PER_LN2)
    rest = (x - twos * _LN2_HIGH) - twos * _LN2_LOW
    total = np.full_like(rest, _FACTORIALS[-1])
    for factor in _FACTORIALS[-2::-1]:
        total *= rest
        total += factor
    return np.ldexp(total, twos.astype(np.int64))


def log(value: float) -> float:
    """Return the natural logarithm of a positive number, within 2 units in the last place."""
    fraction, twos = math.frexp(value)
    if fraction < 0.7071067811865476:
        fraction, twos = 2.0 * fraction, twos - 1
    ratio = (fraction - 1.0) / (fraction + 1.0)
    square, total = ratio * ratio, 0.0
    for factor in reversed(_ODD):
        total = total * square + factor
    return (2.0 * ratio * total + twos * _LN2_LOW) + twos * _LN2_HIGH


def seeded(seed: int, *key: int | str) -> np.random.Generator:
    """Return a random number generator of its own for every seed and key."""
    words = [crc32(part.encode()) if isinstance(part, str) else part for part in key]
    return np.random.Generator(np.random.PCG64([seed, *words]))


def normals(rng: np.random.Generator, size: int | tuple[int, ...]) -> Floats:
    """Return numbers of mean 0 and deviation 1."""
    drawn: Floats = np.clip(rng.standard_normal(size), -_NORMAL_TABLE, _NORMAL_TABLE)
    return drawn


def exponentials(rng: np.random.Generator, size: int) -> Floats:
    """Exponentially distributed numbers of mean 1."""
    drawn: Floats = np.minimum(rng.standard_exponential(size), _EXPONENTIAL_TABLE)
    return drawn
