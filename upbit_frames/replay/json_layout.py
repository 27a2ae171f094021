"""Lay out JSON bodies for reading and diffs without changing a digit. No I/O."""

from __future__ import annotations

import json
import re

__all__ = ["is_json", "pretty_json"]

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+')


def is_json(body: bytes) -> bool:
    """Return whether a body is JSON that nests no deeper than the parser can follow."""
    try:
        json.loads(body.decode())
    except (ValueError, RecursionError):
        return False
    return True


def pretty_json(body: bytes) -> bytes:
    """Break a JSON body into lines; return a body that is not JSON unchanged.

    Objects and lists of plain values take one line each. Tokens are kept as written: parsing numbers
    as floats could change what a frame holds.

    Examples
    --------
    >>> print(pretty_json(b'[{"a":1.10,"b":[]},{"a":2}]').decode())
    [
      {"a": 1.10, "b": []},
      {"a": 2}
    ]
    """
    if not is_json(body):
        return body
    return _layout(_TOKEN.findall(body.decode())).encode()


def _layout(symbols: list[str]) -> str:
    flat = _flat_brackets(symbols)
    pieces: list[str] = []
    broken: list[bool] = []  # for each open bracket, whether its content is broken into lines
    for position, symbol in enumerate(symbols):
        if symbol in "[{":
            broken.append(position not in flat)
            pieces.append(symbol)
            if broken[-1]:
                pieces.append("\n" + "  " * sum(broken))
        elif symbol in "]}":
            if broken.pop():
                pieces.append("\n" + "  " * sum(broken))
            pieces.append(symbol)
        elif symbol == ",":
            pieces.append(",\n" + "  " * sum(broken) if broken[-1] else ", ")
        else:
            pieces.append(": " if symbol == ":" else symbol)
    return "".join(pieces)


def _flat_brackets(symbols: list[str]) -> set[int]:
    """Return the positions of opening brackets that hold no others except empty ones."""
    flat: set[int] = set()
    stack: list[tuple[int, bool]] = []
    for position, symbol in enumerate(symbols):
        if symbol in "[{":
            stack.append((position, True))
        elif symbol in "]}":
            opener, simple = stack.pop()
            if simple:
                flat.add(opener)
            if stack and position > opener + 1:
                stack[-1] = (stack[-1][0], False)
    return flat
