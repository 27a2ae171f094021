"""The plan is exact, never uses what is not there, and is as cheap as a model that tries everything."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upbit_frames.archive import plan as planning
from upbit_frames.archive.catalog import (
    Listed,
    Portion,
    Published,
    file_cost,
    folders_worth_listing,
    saving_hint,
    to_steps,
)
from upbit_frames.archive.files import PUBLICATION_DELAY, TERMS, ArchiveFile, day_file, month_file
from upbit_frames.archive.plan import plan_candle_files, plan_trade_files
from upbit_frames.core.endpoints import LIMITS
from upbit_frames.core.intervals import INTERVALS, Interval, Span, intersect, merge, subtract, to_micros
from upbit_frames.core.route import rest_step

DAY = 86_400_000_000
MARKET = "KRW-BTC"
NAMES = ["1s", "1m", "3m", "5m", "10m", "15m", "30m", "1h", "4h", "1d"]


def at(text: str) -> int:
    return to_micros(datetime.fromisoformat(text).replace(tzinfo=UTC))


NOW = at("2026-03-17T09:30:00")
MIDNIGHT = NOW - NOW % DAY


def rest_seconds(interval: Interval, spans: list[Span], rate: float = 1.0) -> float:
    return sum(rest_step(MARKET, interval, span, "", rate).seconds for span in merge(spans))


@st.composite
def missing_spans(draw: st.DrawFn, interval: Interval, days: int, most: int = 4) -> list[Span]:
    first = MIDNIGHT - draw(st.integers(0, days)) * DAY
    slots = days * DAY // interval.step
    found = []
    for _ in range(draw(st.integers(1, most))):
        start = first + draw(st.integers(0, slots)) * interval.step
        found.append(Span(start, min(start + draw(st.integers(1, slots)) * interval.step, interval.floor(NOW))))
    return merge(found)


@st.composite
def publications(draw: st.DrawFn, interval: Interval, spans: list[Span]) -> Published:
    published = Published(NOW)
    if not spans:
        return published
    files = {
        file
        for day in range(spans[0].start - spans[0].start % DAY, spans[-1].end, DAY)
        for file in (day_file(MARKET, interval, day), month_file(MARKET, interval, day))
    }
    published = published.without(*(file.key for file in sorted(files) if draw(st.integers(0, 3)) == 0))
    for folder in sorted({file.folder for file in files}):
        if draw(st.booleans()):
            shown = [file for file in sorted(files) if file.folder == folder and draw(st.integers(0, 3))]
            moment = st.one_of(st.none(), st.integers(NOW - 40 * DAY, NOW))
            published = published.listing(
                folder, {f.key: Listed(draw(st.integers(0, 10**8)), draw(moment)) for f in shown}
            )
    return published


# --- exactness ----------------------------------------------------------------------------------


@settings(max_examples=150)
@given(data=st.data(), name=st.sampled_from(NAMES), prefer=st.booleans(), rate=st.sampled_from([1.0, 0.3]))
def test_plan_covers_exactly_what_is_missing(data: st.DataObject, name: str, prefer: bool, rate: float) -> None:
    interval = INTERVALS[name]
    spans = data.draw(missing_spans(interval, data.draw(st.sampled_from([3, 40, 400]))))
    published = data.draw(publications(interval, spans))
    rest_from = data.draw(st.sampled_from([0, None, MIDNIGHT - 20 * DAY, MIDNIGHT - 20 * DAY + 17]))
    plan = plan_candle_files(MARKET, interval, spans, published, rate=rate, rest_from=rest_from, prefer_files=prefer)
    pieces = [span for portion in plan for span in portion.spans]
    assert merge(pieces) == merge(spans)
    assert sum(span.end - span.start for span in pieces) == sum(span.end - span.start for span in spans)
    files = [portion.file for portion in plan if portion.file is not None]
    assert len(set(files)) == len(files)
    for portion in plan:
        assert (portion.channel == "archive") == (portion.file is not None)
        if portion.file is not None:
            assert published.has(portion.file)
            assert portion.file.period.end <= NOW
            assert subtract(portion.spans, [portion.file.answers]) == []
        else:
            allowed = rest_from is not None and portion.spans[0].start >= interval.ceil(rest_from)
            assert (portion.channel == "rest") == allowed
            if portion.channel == "none":  # only where really nobody has it
                for day in range(portion.spans[0].start // DAY * DAY, portion.spans[-1].end, DAY):
                    assert not published.has(day_file(MARKET, interval, day))
    if rest_from == 0 and not prefer:
        assert sum(p.seconds for p in plan) <= rest_seconds(interval, spans, rate) + 1e-6
    steps = to_steps(plan, MARKET)
    assert merge(Span(step.start, step.end) for step in steps) == merge(spans)
    for total in ("rows", "requests", "bytes"):
        assert sum(getattr(step, total) for step in steps) == sum(getattr(portion, total) for portion in plan)


def cheapest_by_trying_everything(interval: Interval, spans: list[Span], published: Published) -> float:
    days = sorted({day for span in spans for day in range(span.start // DAY * DAY, span.end, DAY)})
    options: list[list[ArchiveFile | None]] = []
    for day in days:
        files = [day_file(MARKET, interval, day), month_file(MARKET, interval, day)]
        options.append([None, *(file for file in files if published.has(file))])
    best = float("inf")
    for choice in itertools.product(*options):
        files = {file for file in choice if file is not None}
        by_rest = [Span(day, day + DAY) for day, file in zip(days, choice, strict=True) if file is None]
        cost = sum(file_cost(published, file) for file in files)
        best = min(best, cost + rest_seconds(interval, intersect(spans, by_rest)))
    return best


@settings(max_examples=150)
@given(data=st.data(), name=st.sampled_from(["1m", "3m", "5m", "15m", "1h", "4h"]))
def test_plan_is_as_cheap_as_any(data: st.DataObject, name: str) -> None:
    interval = INTERVALS[name]
    spans = data.draw(missing_spans(interval, 5, most=3).filter(bool))
    spans = intersect(spans, [Span(spans[0].start, spans[0].start // DAY * DAY + 6 * DAY)])
    published = data.draw(publications(interval, spans))
    plan = plan_candle_files(MARKET, interval, spans, published)
    assert sum(portion.seconds for portion in plan) == pytest.approx(
        cheapest_by_trying_everything(interval, spans, published)
    )


# --- the mix a reader expects -------------------------------------------------------------------


def channels(plan: list[Portion]) -> list[tuple[str, bool | None]]:
    return [(portion.channel, portion.file.monthly if portion.file else None) for portion in plan]


def test_year_of_minutes_is_twelve_files() -> None:
    plan = plan_candle_files(MARKET, INTERVALS["1m"], [Span(at("2025-01-01"), at("2026-01-01"))], Published(NOW))
    assert channels(plan) == [("archive", True)] * 12
    assert sum(portion.requests for portion in plan) == 24
    (step,) = to_steps(plan, MARKET)
    assert (step.channel, step.requests, step.rows) == ("archive", 24, 525_600)


def test_months_where_whole_days_at_the_edges_pages_for_today() -> None:
    span = Span(at("2025-11-29"), at("2026-03-17T09:00"))
    plan = plan_candle_files(MARKET, INTERVALS["1m"], [span], Published(NOW))
    assert channels(plan) == [
        *[("archive", False)] * 2, *[("archive", True)] * 3, *[("archive", False)] * 16, ("rest", None),
    ]  # fmt: skip
    assert plan[-1].spans == (Span(MIDNIGHT, at("2026-03-17T09:00")),)
    assert plan[-1].reason == "not published in the archive"


def test_second_candles_weigh_bytes() -> None:
    ten_days = plan_candle_files(MARKET, INTERVALS["1s"], [Span(at("2026-01-05"), at("2026-01-15"))], Published(NOW))
    assert channels(ten_days) == [("archive", False)] * 10
    minutes = plan_candle_files(MARKET, INTERVALS["1m"], [Span(at("2026-01-05"), at("2026-01-15"))], Published(NOW))
    assert channels(minutes) == [("archive", True)]


@pytest.mark.parametrize("name", ["1d", "1w", "1M", "1y"])
def test_long_candles_stay_with_rest(name: str) -> None:
    plan = plan_candle_files(MARKET, INTERVALS[name], [Span(at("2018-01-01"), at("2026-01-01"))], Published(NOW))
    assert channels(plan) == [("rest", None)]


def test_wished_files_are_taken_even_where_pages_are_cheaper() -> None:
    span = Span(at("2026-02-01"), at("2026-03-01"))
    assert channels(plan_candle_files(MARKET, INTERVALS["1d"], [span], Published(NOW))) == [("rest", None)]
    wished = plan_candle_files(MARKET, INTERVALS["1d"], [span], Published(NOW), prefer_files=True)
    assert channels(wished) == [("archive", True)]


def test_nothing_is_claimed_for_the_time_before_the_archive() -> None:
    span = Span(at("2017-10-01"), at("2017-11-01"))
    plan = plan_candle_files(MARKET, INTERVALS["1m"], [span], Published(NOW))
    assert [(p.channel, p.spans[0]) for p in plan] == [
        ("rest", Span(at("2017-10-01"), at("2017-10-24"))),
        *(("archive", Span(at("2017-10-24") + i * DAY, at("2017-10-25") + i * DAY)) for i in range(8)),
    ]


def test_holes_in_a_month_are_answered_by_one_file() -> None:
    holes = [Span(at(f"2026-02-{day:02}T03:00"), at(f"2026-02-{day:02}T20:00")) for day in range(2, 28, 3)]
    (portion,) = plan_candle_files(MARKET, INTERVALS["1m"], holes, Published(NOW))
    assert portion.spans == tuple(holes)
    assert portion.requests == 2


def test_expired_seconds_without_a_file_are_nobodys() -> None:
    span = Span(at("2025-05-01"), at("2025-05-03"))
    key = day_file(MARKET, INTERVALS["1s"], at("2025-05-02")).key
    month = month_file(MARKET, INTERVALS["1s"], at("2025-05-02")).key
    plan = plan_candle_files(
        MARKET, INTERVALS["1s"], [span], Published(NOW).without(key, month), rest_from=NOW - 93 * DAY
    )
    assert [(p.channel, p.spans) for p in plan] == [
        ("archive", (Span(at("2025-05-01"), at("2025-05-02")),)),
        ("none", (Span(at("2025-05-02"), at("2025-05-03")),)),
    ]


# --- publication --------------------------------------------------------------------------------


def test_a_day_is_expected_when_it_is_promised() -> None:
    file = day_file(MARKET, INTERVALS["1m"], MIDNIGHT - DAY)
    assert not Published(file.period.end + PUBLICATION_DELAY - 1).has(file)
    assert Published(file.period.end + PUBLICATION_DELAY).has(file)


def test_a_listing_knows_better_than_the_rule() -> None:
    file = day_file(MARKET, INTERVALS["1m"], MIDNIGHT - DAY)
    early = Published(file.period.end + DAY // 24)
    final = Listed(1000, file.period.end + 60_000_000)
    assert early.listing(file.folder, {file.key: final}).has(file)
    assert not early.listing(file.folder, {file.key: Listed(1000, None)}).has(file)
    assert not Published(NOW).listing(file.folder, {}).has(file)
    assert not Published(NOW).without(file.key).has(file)


def test_a_file_written_before_its_period_was_over_is_not_final() -> None:
    file = month_file(MARKET, INTERVALS["1m"], at("2026-02-01"))
    partial = Published(NOW).listing(file.folder, {file.key: Listed(1000, file.period.end - 1)})
    assert not partial.has(file)
    running = month_file(MARKET, INTERVALS["1m"], NOW)
    assert not Published(NOW).listing(running.folder, {running.key: Listed(1000, NOW)}).has(running)


def test_second_candles_before_their_archive_are_nobodys() -> None:
    file = month_file(MARKET, INTERVALS["1s"], at("2023-06-01"))
    assert not Published(NOW).has(file)
    assert not Published(NOW).listing(file.folder, {file.key: Listed(10, NOW)}).has(file)
    assert Published(NOW).has(month_file(MARKET, INTERVALS["1s"], at("2023-07-01")))


def test_only_folders_that_save_requests_are_listed() -> None:
    year = plan_candle_files(MARKET, INTERVALS["1m"], [Span(at("2024-12-30"), at("2026-01-01"))], Published(NOW))
    assert folders_worth_listing(year, Published(NOW)) == ["candle/KRW-BTC/monthly/1m/2025"]
    known = Published(NOW).listing("candle/KRW-BTC/monthly/1m/2025", {})
    days = plan_candle_files(MARKET, INTERVALS["1m"], [Span(at("2025-01-01"), at("2025-02-01"))], known)
    assert channels(days) == [("archive", False)] * 31
    assert folders_worth_listing(days, known) == ["candle/KRW-BTC/daily/1m/2025"]


# --- trades -------------------------------------------------------------------------------------


@settings(max_examples=100)
@given(data=st.data(), rest=st.booleans(), prefer=st.booleans())
def test_trades_never_mix_inside_a_day(data: st.DataObject, rest: bool, prefer: bool) -> None:
    unit = INTERVALS["1m"]
    missing = data.draw(missing_spans(unit, 14))
    covered = subtract(data.draw(missing_spans(unit, 14)), missing)
    refused = data.draw(st.lists(st.integers(0, 30), max_size=10))
    published = Published(NOW).without(*(day_file(MARKET, None, MIDNIGHT - i * DAY).key for i in refused))
    plan = plan_trade_files(MARKET, missing, covered, published, rest=rest, prefer_files=prefer)
    pieces = [span for portion in plan for span in portion.spans]
    assert merge(pieces) == merge(missing)
    assert sum(b - a for a, b in pieces) == sum(b - a for a, b in missing)
    for portion in plan:
        (day,) = {span.start // DAY * DAY for span in portion.spans}
        served = day >= MIDNIGHT - 7 * DAY
        stored = bool(intersect(covered, [Span(day, day + DAY)]))
        if portion.file is not None:
            assert published.has(portion.file)
            assert portion.file.period == Span(day, day + DAY)
            assert not (stored and served and rest)
        elif portion.channel == "rest":
            assert rest
            assert served
        else:
            assert not (rest and served)
            assert not published.has(day_file(MARKET, None, day))


def test_a_month_of_trades_is_its_days() -> None:
    plan = plan_trade_files(MARKET, [Span(at("2023-01-01"), at("2023-02-01"))], [], Published(NOW))
    assert channels(plan) == [("archive", False)] * 31
    assert plan_trade_files(MARKET, [Span(at("2022-04-30"), at("2022-05-01"))], [], Published(NOW))[0].channel == "none"


@pytest.mark.parametrize("rate", [1.0, 0.5])
def test_pages_of_trades_are_estimated_by_their_share_of_the_day(rate: float) -> None:
    day = MIDNIGHT - DAY
    pieces = [Span(day, day + DAY // 4), Span(day + DAY // 2, day + 3 * DAY // 4)]
    file = day_file(MARKET, None, day)
    (portion,) = plan_trade_files(MARKET, pieces, [], Published(NOW).without(file.key), rate=rate)
    assert (portion.channel, portion.reason) == ("rest", planning.UNPUBLISHED)
    assert portion.rows == planning.TRADES_A_DAY // 2
    assert portion.requests == -(-portion.rows // 500)
    assert portion.seconds == pytest.approx(portion.requests / (LIMITS["crix-trades"] * rate))
    tiny = [Span(day + hour * DAY // 24, day + hour * DAY // 24 + 1) for hour in range(3)]
    assert plan_trade_files(MARKET, tiny, [], Published(NOW).without(file.key))[0].requests == 3


def test_the_cheaper_source_of_a_day_of_trades_is_taken_unless_files_are_wished() -> None:
    day = MIDNIGHT - 2 * DAY
    minute, whole = [Span(day, day + 60_000_000)], [Span(day, day + DAY)]
    assert plan_trade_files(MARKET, minute, [], Published(NOW))[0].channel == "rest"
    assert plan_trade_files(MARKET, minute, [], Published(NOW), prefer_files=True)[0].channel == "archive"
    stored = [Span(day + DAY // 2, day + DAY)]
    assert plan_trade_files(MARKET, minute, stored, Published(NOW), prefer_files=True)[0].channel == "rest"
    assert plan_trade_files(MARKET, minute, [], Published(NOW), rest=False)[0].channel == "archive"
    (file,) = plan_trade_files(MARKET, whole, [], Published(NOW))
    size = Published(NOW).size(day_file(MARKET, None, day))
    assert (file.channel, file.bytes, file.rows) == ("archive", size, size // planning.TRADE_BYTES)


def test_what_no_source_has_says_why() -> None:
    day = at("2025-05-02")
    unlisted = Published(NOW).without(day_file(MARKET, None, day).key)
    (gone,) = plan_trade_files(MARKET, [Span(day, day + DAY)], [], unlisted)
    (unpublished,) = plan_trade_files(MARKET, [Span(day, day + DAY)], [], unlisted, rest=False)
    assert [gone.reason, unpublished.reason] == [planning.ABSENT, planning.UNPUBLISHED]
    minute = INTERVALS["1m"]
    without = Published(NOW).without(day_file(MARKET, minute, day).key, month_file(MARKET, minute, day).key)
    reasons = [
        plan_candle_files(MARKET, minute, [Span(day, day + DAY)], without, rest_from=rest_from)[0].reason
        for rest_from in (NOW - DAY, None, 0)
    ]
    assert reasons == [planning.EXPIRED, planning.UNPUBLISHED, planning.UNPUBLISHED]
    (cheaper,) = plan_candle_files(MARKET, minute, [Span(day, day + 60_000_000)], Published(NOW))
    assert (cheaper.channel, cheaper.reason) == ("rest", planning.CHEAPER)


# --- the hint -----------------------------------------------------------------------------------


def test_hint_says_what_is_saved_and_on_which_terms() -> None:
    span = Span(at("2025-01-01"), at("2026-01-01"))
    off = plan_candle_files(MARKET, INTERVALS["1m"], [span], Published(0))
    on = plan_candle_files(MARKET, INTERVALS["1m"], [span], Published(NOW))
    hint = saving_hint(off, on)
    assert "24 requests" in hint
    assert "2,628" in hint
    assert "configure(archive=True)" in hint
    assert TERMS in hint
    assert saving_hint(on, on) == ""


def test_hint_tells_of_what_the_api_has_no_more() -> None:
    span = Span(at("2025-01-01"), at("2025-01-02"))
    off = plan_candle_files(MARKET, INTERVALS["1s"], [span], Published(0), rest_from=NOW - 93 * DAY)
    on = plan_candle_files(MARKET, INTERVALS["1s"], [span], Published(NOW), rest_from=NOW - 93 * DAY)
    assert "does not serve any more" in saving_hint(off, on)
