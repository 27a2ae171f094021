"""Why a channel is chosen, without a request."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from upbit_frames.api.calls.bars import bars
from upbit_frames.api.calls.call import Call, invoke
from upbit_frames.api.calls.candles import candles
from upbit_frames.api.calls.quotes import instruments, markets, orderbook, parse_selection_or_all, ticker
from upbit_frames.api.calls.trades import trades
from upbit_frames.api.engine import Engine, engine_for
from upbit_frames.core.config import Config
from upbit_frames.core.intervals import Span
from upbit_frames.core.market_selection import parse_selection
from upbit_frames.core.moments import parse_zone, zone_name
from upbit_frames.core.query import CandleQuery, TradeQuery
from upbit_frames.core.topics import DEPTHS, Topic
from upbit_frames.errors import QueryError
from upbit_frames.router.event_bars import decide_event_bars
from upbit_frames.router.explain import ExplainedPart, Explanation, explain_error, explain_step
from upbit_frames.router.live_rules import Choice, LiveRequest
from upbit_frames.router.market_selection import resolve, resolve_query
from upbit_frames.router.quotes import CACHED

__all__ = ["explain"]

_EXPLAINABLE: dict[str, Callable[..., Any]] = {
    call.__name__: call for call in (bars, candles, instruments, markets, orderbook, ticker, trades)
}
_NOT_FOR_LISTS = {
    "store": "prices and lists are never stored",
    "live": "there is no stream of it",
    "archive": "not published",
}


def explain(config: Config, call: str | Callable[..., Any], *args: Any, **kwargs: Any) -> Call[Explanation]:
    """Explain which source would serve a call now, why, and why not the others.

    Nothing is requested or changed, but for the list of markets where ``quote`` or a Korean name needs it.

    Parameters
    ----------
    call : str or function
        ``"ticker"``, ``"orderbook"``, ``"trades"``, ``"bars"``, ``"candles"``, ``"markets"``,
        ``"instruments"``, or the function itself.
    *args, **kwargs
        As for that call.

    Returns
    -------
    Explanation
        ``channel``, ``rule``, ``reason``, ``alternatives``, ``parts``, ``to_frame()``; readable when
        printed. The rules, in their order, stand in :mod:`upbit_frames.router.live_rules`.

    Raises
    ------
    QueryError
        If there is nothing to explain about that call, or an argument is wrong.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> uf.explain("ticker", "KRW-BTC").rule  # doctest: +SKIP
    'infrequent'
    """
    name = call if isinstance(call, str) else getattr(call, "__name__", repr(call))
    if name not in _EXPLAINABLE:
        near = difflib.get_close_matches(name, _EXPLAINABLE, n=1, cutoff=0.75)
        hint = f"did you mean {near[0]!r}? " if near else "the call comes first: explain('candles', 'KRW-BTC'). "
        raise QueryError(
            f"{name!r} cannot be explained", suggestion=f"{hint}There are {', '.join(sorted(_EXPLAINABLE))}"
        )
    func = _EXPLAINABLE[name]
    args = tuple(map(_reread, args))
    kwargs = {key: _reread(value) for key, value in kwargs.items()}
    invoke(func, config, *args, **kwargs)  # every check of its own; what it returns has not begun to work
    bound = inspect.signature(func).bind(config, *args, **kwargs)
    bound.apply_defaults()
    arguments = dict(bound.arguments)
    texts = [repr(value) for value in args] + [f"{key}={value!r}" for key, value in kwargs.items()]
    engine = engine_for(config)
    parts = {
        "bars": _trades, "candles": _candles, "trades": _trades, "ticker": _quotes, "orderbook": _quotes,
    }.get(name, _lists)  # fmt: skip

    async def work() -> Explanation:
        zone = arguments.get("tz")
        tz = config.tz if zone is None else zone_name(parse_zone(zone))
        return Explanation(f"{name}({', '.join(texts)})", tuple(await parts(config, engine, name, arguments)), tz)

    return Call(work, lambda explanation: explanation)


def _reread(value: Any) -> Any:
    """Return an argument that can be read twice: by the call's own checks, and here."""
    return list(value) if isinstance(value, Iterator) else value


async def _lists(_: Config, engine: Engine, name: str, arguments: dict[str, Any]) -> list[ExplainedPart]:
    key: Any = "markets"
    if name == "instruments":
        selection = parse_selection(arguments["markets"], arguments["quote"])
        key = ("instruments", tuple(sorted(await resolve(engine.quotes, selection))))
    if engine.ports.lists_cache.holds(key, engine.ports.clock.monotonic):
        return [ExplainedPart("", "memory", "cached", CACHED, {"rest": "it is in memory"} | _NOT_FOR_LISTS)]
    return [ExplainedPart("", "rest", "missing", "not fetched within the last minute", _NOT_FOR_LISTS, 1)]


async def _quotes(_: Config, engine: Engine, name: str, arguments: dict[str, Any]) -> list[ExplainedPart]:
    selection = parse_selection_or_all(arguments["markets"], arguments["quote"])
    if name == "ticker" and (selection is None or selection.quotes):
        others = _NOT_FOR_LISTS | {"live": "a stream needs a list of markets"}
        what = "every market" if selection is None else f"every {selection.quotes[0]} market"
        return [ExplainedPart("", "rest", "whole", f"{what} in one request", others, 1)]
    codes = await (engine.quotes.listed() if selection is None else resolve(engine.quotes, selection))
    level, depth = float(arguments.get("level") or 0), arguments.get("depth") or DEPTHS[-1]
    topics = [Topic(name, code, level, depth) for code in codes]
    request = LiveRequest(name, markets=len(codes), source=arguments["source"], may_subscribe=engine.ports.streams)
    return [_part(engine.live.decide(request, topics, note=False), codes[0] if len(codes) == 1 else "")]


def _part(choice: Choice, market: str, step: Span | None = None) -> ExplainedPart:
    start, end = (None, None) if step is None else step
    requests = 1 if choice.channel == "rest" else 0
    return ExplainedPart(market, choice.channel, choice.rule, choice.reason, choice.alternatives, requests, start, end)


async def _trades(config: Config, engine: Engine, name: str, arguments: dict[str, Any]) -> list[ExplainedPart]:
    """Explain trades, and what is aggregated from them."""
    tz = config.tz if arguments["tz"] is None else arguments["tz"]
    selection = parse_selection(arguments["market"], arguments.get("quote"))
    wanted = TradeQuery.build(
        selection, start=arguments["start"], end=arguments["end"], count=arguments.get("count"),
        source=arguments["source"], tz=tz, now=engine.ports.server_time.now,
    )  # fmt: skip
    parts: list[ExplainedPart] = []
    query = await resolve_query(engine.quotes, selection, wanted)
    for market in query.markets:
        one = replace(query, markets=(market,))
        if name == "bars":
            decision = await decide_event_bars(engine.ports, one, arguments["forming"])
        else:
            decision = await engine.trades.decide(one)
        if decision.choice is not None:
            parts.append(_part(decision.choice, market))
        parts += [explain_step(step, _no_archive(engine, query.source)) for step in decision.steps]
        if decision.error is not None and not decision.steps:
            parts.append(explain_error(market, decision.error))
    return parts


def _no_archive(engine: Engine, source: str) -> str:
    """Why the archive is not used at all; empty where it may be."""
    if engine.ports.archive is None:
        return "this exchange publishes none"
    if source == "auto" and not engine.ports.archive_allowed:
        return "not allowed (the setting archive=True allows it)"
    return ""


async def _candles(config: Config, engine: Engine, _: str, arguments: dict[str, Any]) -> list[ExplainedPart]:
    names = ("start", "end", "count", "forming", "gaps", "source", "base")
    tz = config.tz if arguments["tz"] is None else arguments["tz"]
    given = {name: arguments[name] for name in names}
    selection = parse_selection(arguments["market"], arguments["quote"])
    wanted = CandleQuery.build(selection, arguments["interval"], **given, tz=tz, now=engine.ports.server_time.now)
    query = await resolve_query(engine.quotes, selection, wanted)
    parts = []
    for decision in await engine.candles.decide(query):
        plan, forming = decision.plan, decision.forming
        parts += [explain_step(step, _no_archive(engine, query.source)) for step in plan.steps]
        if forming is not None and decision.choice is not None:
            parts.append(_part(decision.choice, plan.market, Span(forming.start, forming.end)))
        elif forming is not None:
            parts.append(explain_step(forming, _no_archive(engine, query.source)))
        if plan.error is not None and not plan.steps:
            parts.append(explain_error(plan.market, plan.error))
    return parts
