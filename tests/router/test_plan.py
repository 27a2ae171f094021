"""Plans and explanations in print: the zone of the settings, plurals, amounts with thousands separators."""

from __future__ import annotations

from upbit_frames.core.route import Step
from upbit_frames.router.explain import ExplainedPart, Explanation
from upbit_frames.router.plan import Plan

HOUR = 3_600_000_000
STEP = Step("rest", "not in the store", 0, HOUR, rows=60, requests=1, market="KRW-BTC")
LONG = Step("rest", "not in the store", HOUR, 2 * HOUR, rows=240_000, requests=1_200, market="KRW-BTC")


def test_a_plan_shows_times_in_its_zone() -> None:
    plan = Plan((STEP, LONG), tz="Asia/Seoul")
    for text in (repr(plan), plan._repr_html_()):
        assert "1970-01-01T09:00:00+09:00" in text
        assert "Z" not in text
    assert "1970-01-01T00:00:00Z" in repr(Plan((STEP,)))
    assert Plan((STEP,)) == Plan((STEP,), tz="Asia/Seoul")  # the same plan


def test_counts_have_plurals_and_separators() -> None:
    assert repr(Plan((STEP,))).startswith("Plan: 1 request, about")
    assert "at most 60 rows" in repr(Plan((STEP,)))
    assert "<p>1,201 requests, about" in Plan((STEP, LONG))._repr_html_()
    assert "nowrap'>1,200</td>" in Plan((LONG,))._repr_html_()
    assert "nowrap'>KRW-BTC</td>" in Plan((LONG,))._repr_html_()


def test_an_explanation_shows_its_range_in_its_zone_and_escapes() -> None:
    part = ExplainedPart("KRW-BTC", "rest", "missing", "<not> stored", {"store": "a & b"}, 1, 0, HOUR)
    explanation = Explanation("candles('KRW-BTC')", (part,), "Asia/Seoul")
    assert "1970-01-01T09:00:00+09:00 → 1970-01-01T10:00:00+09:00" in repr(explanation)
    page = explanation._repr_html_()
    assert "1970-01-01T09:00:00+09:00 → 1970-01-01T10:00:00+09:00" in page
    assert "&lt;not&gt; stored" in page
    assert "not store: a &amp; b" in page
