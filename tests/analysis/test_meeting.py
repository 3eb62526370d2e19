"""Levels that meet because their densities are near, and curves that meet nowhere."""

from __future__ import annotations

import pytest

from ltb.analysis import meeting, paired
from tests.analysis.test_paired import curve, together


def met(found):
    return found.groupby(["level_a", "level_b"])["met"].first().to_dict()


def test_the_nearest_within_a_twentieth_meet_each_with_one():
    a = curve([[0.7, 0.6, 0.5, 0.4]] * 3, "a", targets=[0, 0.5, 0.9713, 0.99], densities=[1, 0.5, 0.0287, 0.01])
    # 0.51 is nearer to 0.5 than 0.48 is; 0.028734 is "2.87 %" as well; 0.0106 is 6 % away.
    b = curve(
        [[0.7, 0.6, 0.5, 0.4, 0.3]] * 3,
        "b",
        targets=[0, 0.48, 0.52, 0.9712, 0.9894],
        densities=[1, 0.51, 0.48, 0.028734, 0.0106],
    )
    found = paired.differences(together(a, b))
    assert met(found) == {(1, 1): "nearest", (2, 3): "nearest"}
    row = found.set_index("level_a").loc[2]
    assert (row["n"], row["density_a"], row["density_b"]) == (3, pytest.approx(0.0287), pytest.approx(0.028734))
    assert paired.headline(together(a, b), reference="a")[["a", "level_a", "level_b"]].values.tolist() == [["b", 3, 2]]


def test_a_level_that_has_its_equal_meets_no_other():
    a = curve([[0.7, 0.6]] * 3, "a", targets=[0, 0.5])
    b = curve([[0.7, 0.6, 0.5]] * 3, "b", targets=[0, 0.5, 0.51])
    assert met(paired.differences(together(a, b))) == {(1, 1): "target"}


def test_half_of_the_channels_meets_the_level_of_as_many_weights_and_not_that_of_half_of_the_weights():
    """As a structured method has a target of units, and another one of weights."""
    weights = curve([[0.7, 0.6, 0.5]] * 3, "a", targets=[0, 0.5, 0.75], densities=[1, 0.5, 0.25])
    units = curve([[0.7, 0.6, 0.4]] * 3, "b", targets=[0, 0.3, 0.5], densities=[1, 0.49, 0.2549])
    found = paired.differences(together(weights, units))
    assert met(found) == {(1, 1): "nearest", (2, 2): "nearest"}
    assert found["mean"].to_list() == pytest.approx([0.0, 0.1])


@pytest.mark.parametrize(("density", "levels"), [(0.4, {(1, 1): "target"}), (0.399, {}), (0.625, {(1, 1): "target"})])
def test_levels_of_one_target_meet_up_to_a_level_of_a_fifth_apart(density, levels):
    a = curve([[0.7, 0.6]] * 3, "a", targets=[0, 0.5], densities=[1, 0.5])
    b = curve([[0.7, 0.6]] * 3, "b", targets=[0, 0.5], densities=[1, density])
    assert met(paired.differences(together(a, b))) == levels


def test_what_meets_the_reference_nowhere_is_said_and_why():
    rows = together(
        curve([[0.7, 0.6]] * 3, "a", targets=[0, 0.5]),
        curve([[0.7, 0.6]] * 3, "far", targets=[0, 0.6]),
        curve([[0.7, 0.6]] * 3, "near", targets=[0, 0.51]),
        curve([[0.7, 0.6]] * 2, "others", targets=[0, 0.5], seeds=[8, 9]),
        curve([[0.7]] * 3, "dense"),
    )
    found, alone = paired.against(meeting.points(rows), reference="a", test="paired")
    assert found["a"].to_list() == ["near"]
    assert alone == [
        "toy: far is not compared with a, the reference: no density within 5% of one of its",
        "toy: others is not compared with a, the reference: no seed in common",
    ]
