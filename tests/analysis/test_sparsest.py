from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltb.analysis.sparsest import sparsest_matching

LEVELS = [(0.0, 0.70), (0.2, 0.72), (0.36, 0.69), (0.488, 0.66), (0.59, 0.695)]
fractions = st.floats(0, 1)


@pytest.mark.parametrize(
    ("levels", "dense", "tolerance", "direction", "expected"),
    [
        (LEVELS, 0.7, 0.0, "max", 0.2),
        (LEVELS, 0.7, 0.005, "max", 0.59),  # the highest, although a denser level falls below
        (LEVELS[:4], 0.7, 0.01, "max", 0.36),
        ([(0.0, 0.8), (0.5, 0.7)], 0.8, 0.1, "max", 0.5),  # 0.8 - 0.1 > 0.7 in binary
        ([(0.5, 0.1)], 0.7, 0.1, "max", None),
        ([], 0.7, 0.1, "max", None),
        ([(0.2, math.nan)], 0.7, 0.1, "max", None),
        ([(0.0, math.inf), (0.2, 0.5)], math.inf, 0.1, "min", None),  # better than what diverged is no match
        ([(0.0, math.nan), (0.2, 0.5)], math.nan, 0.1, "max", None),
        ([(0.2, math.inf)], 0.7, 0.1, "max", None),
        ([(0.0, 0.7), (0.2, 0.75), (0.4, 0.95)], 0.7, 0.1, "min", 0.2),  # an error: lower is better
    ],
)
def test_literal_cases(levels, dense, tolerance, direction, expected):
    assert sparsest_matching(levels, dense=dense, tolerance=tolerance, direction=direction) == expected


@given(st.lists(st.tuples(fractions, fractions)), fractions, st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_wider_tolerance_never_finds_less(levels, dense, a, b):
    narrow, wide = sorted((a, b))
    found = [sparsest_matching(levels, dense=dense, tolerance=t) for t in (narrow, wide)]
    assert found[0] is None or (found[1] is not None and found[1] >= found[0])


@given(st.lists(st.tuples(fractions, fractions), min_size=1), fractions)
def test_min_is_max_upside_down(levels, dense):
    upside_down = [(sparsity, -value) for sparsity, value in levels]
    assert sparsest_matching(levels, dense=dense, tolerance=0.1) == sparsest_matching(
        upside_down, dense=-dense, tolerance=0.1, direction="min"
    )


@pytest.mark.parametrize(
    ("wrong", "text"), [({"direction": "up"}, "direction='up'"), ({"tolerance": -0.1}, "tolerance=-0.1")]
)
def test_bad_values_are_named(wrong, text):
    with pytest.raises(ValueError, match=text):
        sparsest_matching([], **{"dense": 0.5, "tolerance": 0.1, **wrong})
