"""JSON → typed rows, and the errors that every endpoint shares."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar

import msgspec
import numpy as np
import pyarrow as pa

from upbit_frames.core.arrow import wrapped
from upbit_frames.errors import SchemaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Body",
    "Code",
    "Millis",
    "codes",
    "column",
    "distinct",
    "integers",
    "located",
    "moments",
    "no_json",
    "read",
    "refusal",
]

SAMPLE = 200  # characters of a refused body that the error shows
_AGAIN = (
    "nothing of it was used; try again. If the error persists, a proxy or captive portal may be altering responses: "
    "check HTTPS_PROXY"
)

# A market code, and milliseconds from 1970 up to the year 9999 (so that microseconds fit into int64).
Code = Annotated[str, msgspec.Meta(pattern=r"^[A-Z0-9]+-[A-Z0-9]+$")]
Millis = Annotated[int, msgspec.Meta(gt=0, lt=253_402_300_800_000)]

_LONG = re.compile(rb"[0-9]{9}\.00000000,")

T = TypeVar("T")


class _HasMarket(Protocol):
    @property
    def market(self) -> str: ...


M = TypeVar("M", bound=_HasMarket)


def column(values: list[float]) -> NDArray[np.float64]:
    """Return a list of floats as an array.

    ``struct`` packs a list of floats three times as fast as ``numpy.array`` reads it.
    """
    return np.frombuffer(struct.pack(f"{len(values)}d", *values), dtype=np.float64)


def integers(values: list[int]) -> NDArray[np.int64]:
    """Return a list of integers as an array, exact to the last digit."""
    return np.array(values, dtype=np.int64)


def moments(millis: list[int]) -> NDArray[np.int64]:
    """Convert milliseconds to microseconds."""
    return integers(millis) * 1000


def codes(values: list[str]) -> pa.Array:
    """Encode market codes as the schema's dictionary column."""
    places = {code: place for place, code in enumerate(dict.fromkeys(values))}
    indices = np.fromiter(map(places.__getitem__, values), np.int32, len(values))
    return pa.DictionaryArray.from_arrays(wrapped(indices, pa.int32()), pa.array(places, pa.string()))


def distinct(rows: list[M], body: bytes) -> tuple[list[M], Body]:
    """Return the rows with repeated markets dropped, and where on the wire they were.

    Raises
    ------
    SchemaError
        If a market occurs twice with different values.
    """
    seen: dict[str, int] = {}
    for i, row in enumerate(rows):
        if rows[seen.setdefault(row.market, i)] != row:
            raise refusal(body, f"{row.market} occurs twice, with different values", f"$[{i}].market")
    kept = list(seen.values())
    return [rows[i] for i in kept], Body(body, places=kept)


def read(decoder: msgspec.json.Decoder[list[T]], body: bytes, *, padded: bool = False, **context: Any) -> list[T]:
    """Decode the rows of a JSON array.

    Parameters
    ----------
    decoder : msgspec.json.Decoder
    body : bytes
    padded : bool
        Whether numbers come padded to eight decimals, and no string holds such text.
    **context
        Context of the error: market, interval.

    Raises
    ------
    SchemaError
        If the body is not JSON, not an array, or a row lacks a field or has a field of another type.
    """
    try:
        return decoder.decode(_unpadded(body) if padded else body)
    except msgspec.ValidationError as error:
        problem, path = located(str(error))
        raise refusal(body, problem, path, **context) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refusal(body, no_json(body, error), "$", **context) from error


def _unpadded(body: bytes) -> bytes:
    """Blank out decimals that are only padding.

    Where the digits exceed 2^53, msgspec takes three times as long for ``105118000.00000000`` as
    for ``105118000``, and a page of KRW-BTC is full of them. Spaces take the place of the padding,
    so that nothing has to move.
    """
    return body.replace(b".00000000,", b"         ,") if _LONG.search(body, 0, 600) else body


def located(text: str) -> tuple[str, str]:
    """Split a message of msgspec into problem and path; a missing field is part of the path."""
    problem, _, place = text.partition(" - at `")
    path = place.rstrip("`") or "$"
    missing = problem.removeprefix("Object missing required field `")
    if missing != problem:
        name = missing.rstrip("`")
        return f"the field {name!r} is missing", f"{path}.{name}"
    value = problem.removeprefix("Invalid enum value ")
    if value != problem:
        return f"{value} is none of the values it can have here", path
    return problem[:1].lower() + problem[1:], path


def no_json(body: bytes, error: Exception) -> str:
    """Say why a body cannot be read as JSON."""
    start = body.lstrip()[:64].lower()
    if not start:
        return "the body is empty"
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<body")):
        return "the body is a web page, not JSON"
    return f"the body is not valid JSON: {error}"


def refusal(body: bytes, problem: str, path: str, **context: Any) -> SchemaError:
    """Return the error for a body that is not what the API promises."""
    sample = body[: 4 * SAMPLE].decode("utf-8", "replace")[:SAMPLE]
    return SchemaError(
        f"the answer is not what the API promises: {problem}", suggestion=_AGAIN, path=path, sample=sample, **context
    )


class Body:
    """A body whose rows are being checked; names the place of an invalid row.

    Parameters
    ----------
    body : bytes
    places : sequence of int, optional
        Position of each row in the body, where rows were dropped.
    **context
        Context of every error: market, interval.
    """

    def __init__(self, body: bytes, *, places: Sequence[int] | None = None, **context: Any) -> None:
        self.body = body
        self.places = places
        self.context = context

    def refuse(self, row: int, field: str, problem: str) -> SchemaError:
        """Return the error about a row."""
        place = row if self.places is None else self.places[row]
        return refusal(self.body, problem, f"$[{place}].{field}", **self.context)

    def check(self, valid: NDArray[np.bool_], field: str, problem: str, order: NDArray[np.intp] | None = None) -> None:
        """Raise for the first row that is not valid; ``order`` maps the elements of ``valid`` to rows."""
        if valid.all():
            return
        row = int(np.argmin(valid))
        raise self.refuse(row if order is None else int(order[row]), field, problem)
