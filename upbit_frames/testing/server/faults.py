"""What can go wrong on the way, on demand: refusals, failures, lies and broken connections."""

from __future__ import annotations

import json
import random
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from upbit_frames.testing.server import rest_json as wire
from upbit_frames.testing.server.http_messages import Reply, Request

__all__ = ["KINDS", "Fault", "Faults"]

KINDS: dict[str, str] = {
    "429": "refused as over the limit",
    "418": "refused as blocked; options seconds (60), block (real for as long if true)",
    "500": "internal error",
    "502": "bad gateway, with a page of HTML",
    "503": "unavailable, with plain text",
    "html": "a page of HTML; option status (200)",
    "garbage": "bytes that are no text; status 200",
    "blank": "200 with no body at all",
    "cut": "the JSON ends in the middle, the HTTP answer does not",
    "missing": "a row lacks a field; options field, row",
    "null": "a field is null; options field, row",
    "type": "a field has another type; options field, row",
    "extra": "every row has an undocumented field; option field",
    "unit": "candles say they are of another unit",
    "other_market": "rows say they are of another market",
    "object": "an object instead of the array",
    "empty": "200 and [] although there are rows",
    "short": "the oldest rows are left out; option rows (1)",
    "skew": "the Date header is off; option seconds (3600), negative for the past",
    "undated": "no Date header",
    "ahead": "the newest trade is stamped later than it happened; option seconds (86400)",
    "drop": "the connection breaks before the answer",
    "drop_body": "the connection breaks in the middle of the body",
    "silence": "no answer, and the connection stays open",
    "drip": "the answer comes in small pieces; options size (64), pause (0.05)",
    "slow": "the answer comes late; option seconds (1)",
}
_HTML = (
    "<!DOCTYPE html><html><head><title>{title}</title></head>"
    "<body><h1>{title}</h1><hr><center>nginx</center></body></html>"
)
_VALUE = r'("(?:[^"\\]|\\.)*"|[-+0-9.eE]+|true|false|null)'


@dataclass
class Fault:
    """A fault that waits for its requests.

    Attributes
    ----------
    kind : str
        From :data:`KINDS`.
    match : str or function (Request) -> bool
        Part of path and query, or a test of the request. Empty matches every request.
    after : int
        How many matching requests pass unharmed first.
    times : int or None
        How many it hits; None: all.
    probability : float
        Chance to hit a matching request.
    seed : int
        Of those chances.
    options : dict
        What the kind takes.
    seen, hits : int
        Matching requests so far, and how many of them it hit.
    """

    kind: str
    match: str | Callable[[Request], bool] = ""
    after: int = 0
    times: int | None = 1
    probability: float = 1.0
    seed: int = 0
    options: dict[str, object] = field(default_factory=dict)
    seen: int = 0
    hits: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        self._random = random.Random(self.seed)

    def wants(self, request: Request) -> bool:
        """Return whether it applies to this request; count the request."""
        if callable(self.match):
            if not self.match(request):
                return False
        elif self.match not in f"{request.path}?{request.query}":
            return False
        self.seen += 1
        if self.seen <= self.after or (self.times is not None and self.hits >= self.times):
            return False
        if self._random.random() >= self.probability:
            return False
        self.hits += 1
        return True

    def number(self, name: str, default: float) -> float:
        """Return a numeric option."""
        return float(str(self.options.get(name, default)))


class Faults:
    """The faults of an exchange; a request suffers the first that wants it.

    Examples
    --------
    >>> faults = Faults()
    >>> faults.add("429", match="/v1/candles", after=3).kind
    '429'
    """

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(
        self,
        kind: str,
        match: str | Callable[[Request], bool] = "",
        *,
        after: int = 0,
        times: int | None = 1,
        probability: float = 1.0,
        seed: int = 0,
        **options: object,
    ) -> Fault:
        """Let something go wrong from now on; see :class:`Fault` and :data:`KINDS`.

        Raises
        ------
        ValueError
            If there is no such kind.
        """
        fault = Fault(kind, match, after, times, probability, seed, options)
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._faults.clear()

    def __iter__(self) -> Iterator[Fault]:
        return iter(list(self._faults))

    def __len__(self) -> int:
        return len(self._faults)

    def pick(self, request: Request) -> Fault | None:
        """Return the fault of this request, if any."""
        with self._lock:
            return next((fault for fault in self._faults if fault.wants(request)), None)


def refusal(fault: Fault) -> tuple[int, bytes, str] | None:
    """Status, body and content type of a fault that takes the place of the answer; else None."""
    kind = fault.kind
    if kind == "500":
        return 500, wire.error(500, "Internal server error.").encode(), "application/json;charset=UTF-8"
    if kind == "502":
        return 502, _HTML.format(title="502 Bad Gateway").encode(), "text/html"
    if kind == "503":
        return 503, b"upstream connect error or disconnect/reset before headers", "text/plain"
    if kind == "html":
        status = int(fault.number("status", 200))
        return status, _HTML.format(title="Just a moment...").encode(), "text/html; charset=UTF-8"
    if kind == "garbage":
        return 200, bytes(range(128, 256)) * 4, "application/json;charset=UTF-8"
    if kind == "blank":
        return 200, b"", "application/json;charset=UTF-8"
    return None


def spoil(fault: Fault, reply: Reply) -> Reply:
    """Return the response after the fault; its content is wrong, or how it is sent."""
    reply = replace(reply, fault=fault.kind)
    if fault.kind == "silence":
        return replace(reply, silent=True)
    if fault.kind == "drop":
        return replace(reply, drop_after=-1)
    if fault.kind == "drop_body":
        return replace(reply, drop_after=len(reply.body) // 2)
    if fault.kind == "drip":
        return replace(reply, drip=(int(fault.number("size", 64)), fault.number("pause", 0.05)))
    if fault.kind == "slow":
        return replace(reply, delay=fault.number("seconds", 1.0))
    if fault.kind == "skew":
        return replace(reply, skew=int(fault.number("seconds", 3600)))
    if fault.kind == "undated":
        return replace(reply, skew=None)
    if reply.status != 200:
        return reply
    return replace(reply, body=_LIES[fault.kind](fault, reply.body.decode()).encode())


# --- bodies that are wrong ----------------------------------------------------------------------


def _split(body: str) -> list[str]:
    """Return the rows of a flat array, spelling untouched; nested rows are distinguished by depth."""
    rows, depth, begin = [], 0, 0
    for place, sign in enumerate(body):
        if sign in "{[":
            depth += 1
            if depth == 2 and sign == "{":
                begin = place
        elif sign in "}]":
            depth -= 1
            if depth == 1 and sign == "}":
                rows.append(body[begin : place + 1])
    return rows


def _cut(fault: Fault, body: str) -> str:
    return body[: max(1, len(body) * 2 // 3)]


def _field(fault: Fault, row: str) -> str:
    """Return the field that a fault spoils: the field it names, else the first price or number of the row."""
    if "field" in fault.options:
        return str(fault.options["field"])
    names = re.findall(r'"(\w+)":' + _VALUE, row)
    return next(
        (name for name, _ in names if name in ("trade_price", "bid_price")), names[-1][0] if names else "market"
    )


def _in_row(change: Callable[[Fault, str, str], str]) -> Callable[[Fault, str], str]:
    def lie(fault: Fault, body: str) -> str:
        listed = _split(body)
        if not listed:
            return body
        place = min(int(fault.number("row", 0)), len(listed) - 1)
        listed[place] = change(fault, listed[place], _field(fault, listed[place]))
        return wire.rows(listed)

    return lie


def _missing(fault: Fault, row: str, name: str) -> str:
    return re.sub(rf',?"{name}":{_VALUE}', "", row, count=1).replace("{,", "{", 1)


def _null(fault: Fault, row: str, name: str) -> str:
    return re.sub(rf'"{name}":{_VALUE}', f'"{name}":null', row, count=1)


def _type(fault: Fault, row: str, name: str) -> str:
    def other(match: re.Match[str]) -> str:
        return f'"{name}":' + ("12345" if match[1].startswith('"') else json.dumps("not a number"))

    return re.sub(rf'"{name}":{_VALUE}', other, row, count=1)


def _extra(fault: Fault, body: str) -> str:
    name = fault.options.get("field", "brand_new_field")
    return wire.rows(f'{row[:-1]},"{name}":{{"since":[2027]}}}}' for row in _split(body))


def _unit(fault: Fault, body: str) -> str:
    return re.sub(r'"unit":(\d+)', lambda match: f'"unit":{7 if match[1] != "7" else 8}', body)


def _other_market(fault: Fault, body: str) -> str:
    return re.sub(r'"market":"[^"]*"', '"market":"KRW-OTHER"', body)


def _object(fault: Fault, body: str) -> str:
    return f'{{"data":{body}}}'


def _empty(fault: Fault, body: str) -> str:
    return "[]"


def _short(fault: Fault, body: str) -> str:
    listed = _split(body)
    return wire.rows(listed[: max(0, len(listed) - int(fault.number("rows", 1)))])


def _ahead(fault: Fault, body: str) -> str:
    listed = _split(body)
    stamped = re.search(r'"timestamp":(\d+)', listed[0]) if listed else None
    if stamped is None or '"sequential_id"' not in listed[0]:
        return body
    moment = int(stamped[1]) + int(fault.number("seconds", 86_400) * 1000)
    when = datetime.fromtimestamp(moment / 1000, UTC)
    row = listed[0].replace(stamped[0], f'"timestamp":{moment}', 1)
    row = re.sub(r'"trade_date_utc":"[^"]*"', f'"trade_date_utc":"{when:%Y-%m-%d}"', row, count=1)
    listed[0] = re.sub(r'"trade_time_utc":"[^"]*"', f'"trade_time_utc":"{when:%H:%M:%S}"', row, count=1)
    return wire.rows(listed)


_LIES: dict[str, Callable[[Fault, str], str]] = {
    "cut": _cut,
    "missing": _in_row(_missing),
    "null": _in_row(_null),
    "type": _in_row(_type),
    "extra": _extra,
    "unit": _unit,
    "other_market": _other_market,
    "object": _object,
    "empty": _empty,
    "short": _short,
    "ahead": _ahead,
}
