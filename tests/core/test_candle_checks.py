"""One set of rules for a valid candle: as a mask and as named violations they say the same."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upbit_frames.core.candle_checks import NUMBERS, describe, is_valid, violations
from upbit_frames.core.intervals import INTERVALS
from upbit_frames.testing.strategies import candles

VALID = {"open": 100.0, "high": 110.0, "low": 90.0, "close": 105.0, "volume": 0.5, "value": 52.5}
numbers = st.one_of(st.sampled_from([0.0, -0.0, -1.0, inf, -inf, nan, 1.0, 2.0, 3.0]), st.floats())


@given(st.lists(st.tuples(*[numbers] * 6), max_size=8))
def test_a_row_is_valid_exactly_if_it_breaks_no_rule(rows: list[tuple[float, ...]]) -> None:
    columns = dict(zip(NUMBERS, np.array(rows, dtype=np.float64).reshape(-1, 6).T, strict=True))
    wrong = np.zeros(len(rows), dtype=bool)
    for violation in violations(columns):
        assert violation.wrong.any()
        wrong |= violation.wrong
    assert is_valid(*columns.values()).tolist() == (~wrong).tolist()
    assert [bool(is_valid(*row)) for row in rows] == (~wrong).tolist()  # single candles, as of a stream


EDGES = (-1.0, -0.0, 0.0, 0.5, 1.0, 90.0, 95.0, 110.0, 111.0, inf, -inf, nan)


@pytest.mark.parametrize("column", NUMBERS)
def test_every_rule_holds_up_to_its_edge(column: str) -> None:
    """A valid candle stays valid exactly as long as a single changed number obeys the rules, written out here."""
    for value in EDGES:
        row = VALID | {"open": 95.0} | {column: value}
        prices = [row[name] for name in NUMBERS[:4]]
        right = all(0 < price < inf and row["low"] <= price <= row["high"] for price in prices)
        right = right and all(0 <= row[name] < inf for name in ("volume", "value"))
        assert bool(is_valid(*row.values())) == right, row
        assert (violations({name: np.array([number]) for name, number in row.items()}) == []) == right, row


def test_prices_above_zero_are_no_rule_for_volume() -> None:
    columns = {name: np.array([number]) for name, number in (VALID | {"volume": 0.0, "value": 0.0}).items()}
    assert violations(columns) == []
    assert is_valid(*columns.values()).all()


@given(candles("1m"))
def test_generated_candles_are_valid(table: Any) -> None:
    columns = {name: np.asarray(table[name]) for name in NUMBERS}
    assert violations(columns | {"time": np.asarray(table["time"].cast("int64"))}, INTERVALS["1m"]) == []


@pytest.mark.parametrize(
    ("change", "rule", "column"),
    [
        ({"open": nan}, "not a finite number", "open"),
        ({"value": inf}, "not a finite number", "value"),
        ({"low": 0.0}, "price not above zero", "low"),
        ({"high": 80.0, "open": 80.0, "close": 80.0}, "high below low", "high"),
        ({"open": 111.0}, "open outside of low and high", "open"),
        ({"close": 89.0}, "close outside of low and high", "close"),
        ({"volume": -1.0}, "volume or value below zero", "volume"),
        ({"value": -1.0}, "volume or value below zero", "value"),
    ],
)
def test_each_rule_names_itself_and_its_column(change: dict[str, float], rule: str, column: str) -> None:
    columns = {name: np.array([VALID[name], value]) for name, value in (VALID | change).items()}
    broken = {(violation.rule, violation.column): violation for violation in violations(columns)}
    assert (rule, column) in broken
    assert broken[rule, column].wrong.tolist() == [False, True]
    text = describe(broken[rule, column], np.array([0, 60_000_000]))
    assert text == f"{column}: {rule} at 1970-01-01T00:01:00.000000 (1 such row)"


def test_times_are_checked_where_they_are_given() -> None:
    minute = 60_000_000
    columns = {name: np.full(4, value) for name, value in VALID.items()}
    columns["time"] = np.array([minute, 0, 0, minute + 1])
    broken = {violation.rule: violation.wrong.tolist() for violation in violations(columns, INTERVALS["1m"])}
    assert broken == {
        "time goes back": [False, True, False, False],
        "time occurs again": [False, False, True, False],
        "time starts no period": [False, False, False, True],
    }
    assert "time starts no period" not in {violation.rule for violation in violations(columns)}
