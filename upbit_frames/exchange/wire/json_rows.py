"""JSON → typed rows, and the refusals every endpoint shares."""

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
_AGAIN = "nothing of it was used; ask again, and if it stays, check what stands between you and the exchange"

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
    """A list of floats as an array.

    ``struct`` packs a list of floats three times as fast as ``numpy.array`` reads it.
    """
    return np.frombuffer(struct.pack(f"{len(values)}d", *values), dtype=np.float64)


def integers(values: list[int]) -> NDArray[np.int64]:
    """A list of integers as an array, exact to the last digit."""
    return np.array(values, dtype=np.int64)


def moments(millis: list[int]) -> NDArray[np.int64]:
    """Milliseconds as microseconds."""
    return integers(millis) * 1000


def codes(values: list[str]) -> pa.Array:
    """Market codes in the encoding of the schema."""
    places = {code: place for place, code in enumerate(dict.fromkeys(values))}
    indices = np.fromiter(map(places.__getitem__, values), np.int32, len(values))
    return pa.DictionaryArray.from_arrays(wrapped(indices, pa.int32()), pa.array(places, pa.string()))


def distinct(rows: list[M], body: bytes) -> tuple[list[M], Body]:
    """The rows, each market once, and where on the wire they were.

    Raises
    ------
    SchemaError
        If two rows say different things of one market.
    """
    seen: dict[str, int] = {}
    for i, row in enumerate(rows):
        if rows[seen.setdefault(row.market, i)] != row:
            raise refusal(body, f"{row.market} occurs twice, with different facts", f"$[{i}].market")
    kept = list(seen.values())
    return [rows[i] for i in kept], Body([body], [len(rows)], places=kept)


def read(decoder: msgspec.json.Decoder[list[T]], body: bytes, *, padded: bool = False, **facts: Any) -> list[T]:
    """The rows of a JSON array.

    Parameters
    ----------
    decoder : msgspec.json.Decoder
    body : bytes
    padded : bool
        Whether numbers come padded to eight decimals, and no string holds such text.
    **facts
        What a refusal tells: market, interval.

    Raises
    ------
    SchemaError
        If the body is not JSON, not an array, or a row lacks a field or has one of another type.
    """
    try:
        return decoder.decode(_unpadded(body) if padded else body)
    except msgspec.ValidationError as error:
        what, path = located(str(error))
        raise refusal(body, what, path, **facts) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refusal(body, no_json(body, error), "$", **facts) from error


def _unpadded(body: bytes) -> bytes:
    """The same numbers without decimals that are nothing but padding.

    Where the digits exceed 2^53, msgspec takes three times as long for ``105118000.00000000`` as
    for ``105118000``, and a page of KRW-BTC is full of them. Spaces take the place of the padding,
    so that nothing has to move.
    """
    return body.replace(b".00000000,", b"         ,") if _LONG.search(body, 0, 600) else body


def located(text: str) -> tuple[str, str]:
    """What msgspec complains about, and where; a missing field is part of the place."""
    what, _, place = text.partition(" - at `")
    path = place.rstrip("`") or "$"
    missing = what.removeprefix("Object missing required field `")
    if missing != what:
        name = missing.rstrip("`")
        return f"the field {name!r} is missing", f"{path}.{name}"
    strange = what.removeprefix("Invalid enum value ")
    if strange != what:
        return f"{strange} is none of the values it can have here", path
    return what[:1].lower() + what[1:], path


def no_json(body: bytes, error: Exception) -> str:
    """Why a body cannot be read as JSON."""
    start = body.lstrip()[:64].lower()
    if not start:
        return "the body is empty"
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<body")):
        return "the body is a web page, not JSON"
    return f"the body is not valid JSON: {error}"


def refusal(body: bytes, what: str, path: str, **facts: Any) -> SchemaError:
    """The error for a body that is not what the API promises."""
    sample = body[: 4 * SAMPLE].decode("utf-8", "replace")[:SAMPLE]
    return SchemaError(
        f"the answer is not what the API promises: {what}", suggestion=_AGAIN, path=path, sample=sample, **facts
    )


class Body:
    """One or several bodies whose rows are looked at together; finds the place of a bad row.

    Parameters
    ----------
    bodies : sequence of bytes
    sizes : sequence of int
        Rows of each.
    places : sequence of int, optional
        Where each row was, counted over all bodies; needed if not every row is looked at.
    **facts
        What every refusal tells: market, interval.
    """

    def __init__(
        self, bodies: Sequence[bytes], sizes: Sequence[int], *, places: Sequence[int] | None = None, **facts: Any
    ) -> None:
        self.bodies = bodies
        self.sizes = sizes
        self.places = places
        self.facts = facts

    def refuse(self, row: int, field: str, what: str) -> SchemaError:
        """The error about one row."""
        place = row if self.places is None else self.places[row]
        page = 0
        while place >= self.sizes[page]:
            place -= self.sizes[page]
            page += 1
        return refusal(self.bodies[page], what, f"$[{place}].{field}", **self.facts)

    def check(self, fine: NDArray[np.bool_], field: str, what: str, order: NDArray[np.intp] | None = None) -> None:
        """Refuse the first row that is not fine; ``order`` tells which row each element is about."""
        if fine.all():
            return
        row = int(np.argmin(fine))
        raise self.refuse(row if order is None else int(order[row]), field, what)
