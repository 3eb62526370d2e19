from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltb.report.sparkline import BARS, sparkline


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], ""),
        ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"),
        ([0.5], "▄"),
        ([0.5, 0.5], "▄▄"),
        ([None, 1.0, math.nan, 0.0, math.inf], "·█·▁·"),
        ([None], "·"),
        ([-1e308, 0.0, 1e308], "▁▅█"),
    ],
)
def test_literal_cases(values, expected):
    assert sparkline(values) == expected


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_a_bar_for_each_value_and_no_bar_against_the_order(values):
    shown = sparkline(values)
    assert len(shown) == len(values)
    ordered = [BARS.index(bar) for _, bar in sorted(zip(values, shown, strict=True), key=lambda both: both[0])]
    assert ordered == sorted(ordered)
