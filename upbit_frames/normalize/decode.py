"""JSON → typed rows, and the refusals every endpoint shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np

from upbit_frames.errors import SchemaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Body", "column", "read"]

SAMPLE = 200  # characters of a refused body that the error shows
_AGAIN = "nothing of it was used; ask again, and if it stays, check what stands between you and the exchange"

T = TypeVar("T")


def column(values: list[float]) -> NDArray[np.float64]:
    """A list of floats as an array.

    ``struct`` packs a list of floats three times as fast as ``numpy.array`` reads it.
    """
    import struct

    return np.frombuffer(struct.pack(f"{len(values)}d", *values), dtype=np.float64)


def read(decoder: msgspec.json.Decoder[list[T]], body: bytes, **facts: Any) -> list[T]:
    """The rows of a JSON array.

    Raises
    ------
    SchemaError
        If the body is not JSON, not an array, or a row lacks a field or has one of another type.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        what, path = _located(str(error))
        raise refusal(body, what, path, **facts) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refusal(body, _no_json(body, error), "$", **facts) from error


def _located(text: str) -> tuple[str, str]:
    """What msgspec complains about, and where; a missing field is part of the place."""
    what, _, place = text.partition(" - at `")
    path = place.rstrip("`") or "$"
    missing = what.removeprefix("Object missing required field `")
    if missing != what:
        name = missing.rstrip("`")
        return f"the field {name!r} is missing", f"{path}.{name}"
    return what[:1].lower() + what[1:], path


def _no_json(body: bytes, error: Exception) -> str:
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
    **facts
        What every refusal tells: market, interval.
    """

    def __init__(self, bodies: Sequence[bytes], sizes: Sequence[int], **facts: Any) -> None:
        self.bodies = bodies
        self.sizes = sizes
        self.facts = facts

    def refuse(self, row: int, field: str, what: str) -> SchemaError:
        """The error about one row, counted over all bodies."""
        page = 0
        while row >= self.sizes[page]:
            row -= self.sizes[page]
            page += 1
        return refusal(self.bodies[page], what, f"$[{row}].{field}", **self.facts)

    def check(self, fine: NDArray[np.bool_], field: str, what: str, order: NDArray[np.intp] | None = None) -> None:
        """Refuse the first row that is not fine; ``order`` tells the wire position of each row."""
        if fine.all():
            return
        row = int(np.argmin(fine))
        raise self.refuse(row if order is None else int(order[row]), field, what)
