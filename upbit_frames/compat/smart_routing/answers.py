"""The one dict that every call gives, and the true channel of an answer."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from upbit_frames.errors import QueryError, UpbitFramesError

__all__ = ["Rows", "answered", "of_route", "unified"]

FORMAT_VERSION = "2.0"
_CHANNELS = {"live": "websocket", "store": "cache", "memory": "cache", "shared": "cache", "derived": "cache"}
_RULE = re.compile(r"(?:^|; )(\w+): ")


@dataclass
class Rows:
    """Rows with Upbit's field names, and where they came from.

    Attributes
    ----------
    rows : list of dict
    channel : {"websocket", "rest_api", "cache"}
    reason : str
        The name of the rule that decided, or what the route says.
    """

    rows: list[dict[str, Any]]
    channel: str
    reason: str

    @classmethod
    def joined(cls, parts: Iterable[Rows]) -> Rows:
        """Return several answers one after the other; where any needed a request, so did the whole."""
        listed = list(parts)
        order = ["rest_api", "websocket", "cache"]
        deciding = min(listed, key=lambda item: order.index(item.channel))
        return cls([row for item in listed for row in item.rows], deciding.channel, deciding.reason)


def of_route(frame: Any) -> tuple[str, str]:
    """Return channel and rule of a frame, as its route says what happened."""
    steps = [step for step in frame.attrs["upbit_frames"]["route"] if step["channel"] != "none"]
    if not steps:
        return "cache", "nothing to read"
    order = ["rest_api", "websocket", "cache"]
    named = [(_CHANNELS.get(step["channel"], "rest_api"), step["reason"]) for step in steps]
    channel, reason = min(named, key=lambda item: order.index(item[0]))
    rule = _RULE.search(reason)
    return channel, rule[1] if rule else reason


async def answered(work: Callable[[], Awaitable[Rows]], shape: Callable[[Rows], Any]) -> dict[str, Any]:
    """Run a call and give the dict: with its rows, or with the error's text and no data."""
    begun = time.perf_counter()
    data, error = None, None
    channel: str | None = None
    try:
        answer = await work()
        data, channel, reason = shape(answer), answer.channel, answer.reason
    except UpbitFramesError as failure:
        error = str(failure)
        reason = type(failure).__name__
        # A wrong argument is refused before any request.
        channel = None if isinstance(failure, QueryError) else "rest_api"
    spent = (time.perf_counter() - begun) * 1000
    result: dict[str, Any] = {
        "success": error is None,
        "data": data,
        "metadata": {
            "channel": channel,
            "reason": reason,
            "confidence": 1.0,  # rules decide, not scores
            "response_time_ms": spent,
            "request_id": uuid.uuid4().hex,
        },
        "source": channel,
        "timestamp": datetime.now().astimezone().replace(tzinfo=None).isoformat(),
        "response_time_ms": spent,
    }
    if error is not None:
        result["error"] = error
    return result


# --- shapes ----------------------------------------------------------------------------------------


def unified(answer: Rows, *, many: bool) -> dict[str, Any]:
    """Return the nested form of the older system: one row with a note, or rows under ``data``."""
    now = datetime.now().astimezone().isoformat()
    if not many and answer.rows:
        return {**answer.rows[0], "_unified": _note(answer, now)}
    return {
        "_unified": True,
        "_source": answer.channel,
        "_timestamp": now,
        "_count": len(answer.rows),
        "_original_data": [dict(row) for row in answer.rows],
        "data": answer.rows,
    }


def newest_with_list(answer: Rows) -> dict[str, Any]:
    """Return the nested form of candles: the newest one, and all of them under ``_candles_list``."""
    now = datetime.now().astimezone().isoformat()
    newest = dict(answer.rows[0]) if answer.rows else {}
    return {**newest, "_unified": _note(answer, now), "_candles_list": answer.rows}


def _note(answer: Rows, now: str) -> dict[str, Any]:
    return {"source": answer.channel, "unified_at": now, "format_version": FORMAT_VERSION}
