"""Training minus test, of whatever is logged."""

import pytest

from ltb.measures import GeneralisationGap
from tests.measures.bench import Scores, masked


def test_each_metric_by_hand():
    logged = {"train/accuracy": 1.0, "train/loss": 0.25, "test/accuracy": 0.75, "test/loss": 0.5, "val/loss": 9.0}
    found = GeneralisationGap()([masked(w=[1])], Scores([], logged))
    assert found.values == {name: value for name, value in logged.items() if name != "val/loss"} | {
        "gap/accuracy": pytest.approx(0.25),
        "gap/loss": pytest.approx(-0.25),
    }


def test_a_metric_that_one_split_lacks_has_no_gap():
    found = GeneralisationGap()([masked(w=[1])], Scores([], {"train/only": 1.0, "test/accuracy": 0.5}))
    assert found.values == {"train/only": 1.0, "test/accuracy": 0.5}
