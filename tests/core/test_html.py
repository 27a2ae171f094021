"""Tables for notebooks: escaped, amounts with thousands separators, codes that do not wrap."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upbit_frames.core.html import Html, badge, cell, lines, paragraph, table
from upbit_frames.core.text import amount, counted, moment_text


@given(st.text())
def test_text_can_never_become_markup(text: str) -> None:
    for markup in (cell(text), paragraph(text), badge(text, "#000000"), lines([text]), table([text], [[text]])):
        inner = re.sub(r"</?(table|thead|tbody|tr|th|td|p|b|br|span)( style='[^'<>]*')?>", "", markup)
        assert "<" not in inner
        assert ">" not in inner


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (131_500_000.0, "131,500,000"),
        (1234.5, "1,234.5"),
        (0.00012345, "0.00012345"),
        (2_000, "2,000"),
        (float("nan"), "NaN"),
        (-5_000.25, "-5,000.25"),
    ],
)
def test_amounts_have_thousands_separators_and_no_exponent(value: float, text: str) -> None:
    assert amount(value) == text
    assert cell(value) == f"<td style='text-align:right;white-space:nowrap'>{text}</td>"


def test_codes_do_not_wrap_and_sentences_do() -> None:
    assert "nowrap" in cell("KRW-BTC")
    assert "nowrap" not in cell("not in the store")
    assert cell(None) == cell("")
    assert ">a, b</td>" in cell(["a", "b"])
    assert cell(True).endswith(">True</td>")
    assert "<i>x</i>" in cell(Html("<i>x</i>"))


def test_long_tables_say_how_much_is_left_out() -> None:
    rows = [[number] for number in range(5)]
    assert "more" not in table(["n"], rows, limit=5)
    assert table(["n"], rows, limit=4).endswith("<p>… and 1 more row</p>")
    assert table(["n"], rows, limit=2, unit="step").endswith("<p>… and 3 more steps</p>")
    assert table(["n"], rows, limit=2).count("<tr>") == 3


@given(st.integers(0, 10**9))
def test_plurals(number: int) -> None:
    assert counted(number, "request").endswith("request" if number == 1 else "requests")


def test_moments_are_shown_in_a_zone() -> None:
    assert moment_text(1_772_290_800_000_000) == "2026-02-28T15:00:00Z"
    assert moment_text(1_772_290_800_000_000, "Asia/Seoul") == "2026-03-01T00:00:00+09:00"
    assert moment_text("2026-02-28T15:00:00.5Z", "Asia/Seoul") == "2026-03-01T00:00:00.500000+09:00"
    assert moment_text("2026-02-28T15:00:00Z") == "2026-02-28T15:00:00Z"
