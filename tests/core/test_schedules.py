import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ltb.core.schedules import Explicit, Geometric, Linear


@given(st.floats(0.01, 0.99), st.integers(0, 30))
def test_geometric_keeps_the_same_fraction_at_each_level(rate, levels):
    assume((1 - rate) ** levels > 1e-12)  # else the last is 1 to the last bit
    targets = Geometric(rate, levels).targets
    assert targets[0] == 0
    assert len(targets) == levels + 1
    for level, target in enumerate(targets):
        assert 1 - target == pytest.approx((1 - rate) ** level, rel=1e-9, abs=1e-15)


def test_linear_and_explicit():
    assert Linear(0.99, 3).targets == (0, 0.33, 0.66, 0.99)
    assert Explicit([0.0, 0.5]).targets == Explicit([0.5]).targets == (0.0, 0.5)
    assert Explicit(()).targets == (0.0,)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Geometric(rate=1.0), "schedule.rate=1.0"),
        (lambda: Geometric(rate=0.0), "schedule.rate=0.0"),
        (lambda: Geometric(levels=-1), "schedule.levels=-1"),
        (lambda: Explicit((0.5, 0.5)), r"schedule.sparsities=\[0.5, 0.5\]: must rise"),
        (lambda: Explicit((0.5, 1.0)), r"each in \[0, 1\)"),
        (
            lambda: Geometric(rate=1e-17),
            "schedule=.*must start at 0, rise from level to level and stay below 1.* 0, 0, 0",
        ),
        (lambda: Geometric(rate=0.999999, levels=14), "schedule=.*stay below 1"),
        (lambda: Geometric(levels=10**11), "schedule.levels=100000000000: a whole number, 0 .* to 200"),
        (lambda: Linear(1.0, 3), "schedule.final=1.0"),
        (lambda: Linear(0.5, 0), "schedule.levels=0"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
