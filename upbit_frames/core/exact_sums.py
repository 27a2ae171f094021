"""Sums of amounts without rounding: decimal numbers as whole parts and units of 1e-8, in int64 (pure).

Prices and volumes of the exchange have up to eight decimals, so their products have up to sixteen. An
amount is kept as a column of *digits* in base 1e8, most significant first: whole numbers, units of 1e-8
and, for products, units of 1e-16. Digits are added apart and carried over afterwards, so a sum depends
neither on the order of its terms nor on where a table was cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from upbit_frames.errors import QueryError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Digits = NDArray[np.int64]

__all__ = ["UNIT", "carried", "cumulative", "digits_of", "product_digits", "to_floats"]

UNIT = 10**8  # of the smallest amount in one
_MOST = 2.0**62  # sums of whole numbers below it fit into an int64
_WHOLE = 2**53  # whole numbers below it are exact in a float64
_TIE = 2.0**-50  # more than the rounding of a fraction
_EXACT = _WHOLE // UNIT  # whole numbers below which an amount in units is exact in a float64


def digits_of(values: NDArray[np.float64], name: str = "volume") -> Digits:
    """Return amounts as whole numbers and units of 1e-8, an array of two rows.

    Parameters
    ----------
    values : numpy.ndarray
        Finite, not negative. What lies below half a unit is rounded.
    name : str
        Of the column, for the error.

    Raises
    ------
    QueryError
        If a value is NaN, infinite or negative, or if they are too large to be added.

    Examples
    --------
    >>> digits_of(np.array([1.5, 0.00000001])).tolist()
    [[1, 0], [50000000, 1]]
    """
    wholes = np.floor(values)
    if len(values) and not (values.min() >= 0 and wholes.sum() < _MOST):  # also where a value is NaN
        raise _not_summable(values, name)
    fractions = values - wholes
    digits = np.empty((2, len(values)), dtype=np.int64)
    digits[0] = wholes
    np.rint(np.multiply(fractions, UNIT, out=fractions), out=fractions)
    digits[1] = fractions
    return digits


def product_digits(price: Digits, volume: Digits) -> Digits:
    """Return the products of prices and volumes, an array of three rows.

    Parameters
    ----------
    price, volume : numpy.ndarray
        As :func:`digits_of` returns them.

    Raises
    ------
    QueryError
        If a product is too large.

    Examples
    --------
    >>> product_digits(digits_of(np.array([0.00000003])), digits_of(np.array([0.00000002]))).tolist()
    [[0], [0], [6]]
    """
    wholes, units = price
    _check_product(wholes, volume[0], in_all=True)
    _check_product(wholes, volume[1])
    high, middle = wholes * volume[0], wholes * volume[1]
    low = np.zeros_like(wholes)
    if units.any():
        _check_product(units, volume[0])
        middle += units * volume[0]
        carry, low = np.divmod(units * volume[1], UNIT)
        middle += carry
    carry, middle = np.divmod(middle, UNIT)
    high += carry
    return np.stack([high, middle, low])


def cumulative(digits: Digits, start: Digits | None = None) -> Digits:
    """Return running sums, every digit below 1e8 but for the first; ``start`` is a column to begin from."""
    sums = np.cumsum(digits, axis=1)
    if start is not None:
        sums += start.reshape(-1, 1)
    return carried(sums)


def carried(sums: Digits) -> Digits:
    """Return sums of digits with every digit below 1e8, but for the first.

    Examples
    --------
    >>> carried(np.array([[1], [250_000_000]])).tolist()
    [[3], [50000000]]
    """
    sums = sums.copy()
    for row in range(len(sums) - 1, 0, -1):
        if (sums[row] >= UNIT).any() or (sums[row] < 0).any():
            carry, sums[row] = np.divmod(sums[row], UNIT)
            sums[row - 1] += carry
    return sums


def to_floats(sums: Digits) -> NDArray[np.float64]:
    """Return the float64 nearest to each sum, rounded to eight decimals first, half to even."""
    sums = carried(sums)
    if len(sums) == 3:
        half, odd = UNIT // 2, sums[1] % 2 == 1
        sums[1] += (sums[2] > half) | ((sums[2] == half) & odd)
    wholes, units = sums[0], sums[1]
    exact = np.abs(wholes) < _EXACT  # there both sides of the division are exact
    floats = np.where(exact, (np.where(exact, wholes, 0) * UNIT + units) / UNIT, wholes + units / UNIT)
    # Above, a sum that lies next to the middle of two floats may have been rounded to the wrong one.
    rest = np.abs((wholes - floats) + units / UNIT)
    for row in np.flatnonzero(~exact & (np.abs(rest - np.spacing(floats) / 2) < _TIE) | (wholes >= _WHOLE)).tolist():
        floats[row] = (int(wholes[row]) * UNIT + int(units[row])) / UNIT  # correctly rounded for any integers
    return np.asarray(floats, dtype=np.float64)


def _check_product(left: Digits, right: Digits, *, in_all: bool = False) -> None:
    """Refuse if a product, or with ``in_all`` the sum of the products, does not fit into an int64."""
    bound = float(left.max(initial=0)) * float(right.max(initial=0))
    if bound * (len(left) if in_all else 1) < _MOST:
        return
    products = left.astype(np.float64) * right
    if (products.sum() if in_all else products.max()) >= _MOST:
        raise QueryError(
            f"prices times volumes must be below {_MOST:.0e} in all to be added exactly",
            suggestion="check the columns price and volume: the exchange serves no amounts of this size",
        )


def _not_summable(values: NDArray[Any], name: str) -> QueryError:
    odd = ~(np.isfinite(values) & (values >= 0))
    first = values[np.argmax(odd)] if odd.any() else values.max()
    return QueryError(
        f"{name} must be finite, not negative and below {_MOST:.0e} in all, got {first!r} among {len(values):,} rows",
        suggestion=f"drop such rows first: df = df[df[{name!r}].between(0, 1e15)]",
    )
