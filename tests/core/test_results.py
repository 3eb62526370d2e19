import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltb.core.loop import Level
from ltb.core.points import Point
from ltb.core.results import Trained, divergence, unjudged

NAN, INF = math.nan, math.inf
ROW = {"step": 8, "epoch": 2.0, "train/loss": 0.5, "val/loss": 0.6, "val/accuracy": 0.1, "seconds": 1.0}
END = {"val/loss": 0.6, "val/accuracy": 0.1, "test/loss": 0.7, "test/accuracy": 0.1, "early_stop_step": 2}


@pytest.mark.parametrize(
    ("last", "metrics", "said"),
    [
        ({}, {}, []),
        ({"train/loss": NAN}, {}, ["train/loss"]),
        ({"val/loss": INF}, {}, ["val/loss"]),
        ({}, {"test/loss": -INF}, ["test/loss"]),
        ({"train/loss": NAN, "val/loss": NAN}, {"val/loss": NAN, "test/loss": INF}, ["val/loss", "test/loss", "train/loss"]),
        ({}, {"test/loss_at_early_stop": NAN}, []),  # not at the end
        ({"seconds": NAN, "epoch": INF}, {"step_flops": INF, "early_stop_step": None}, []),  # no losses and no metrics
        ({}, {"test/loss": None}, []),
    ],
)  # fmt: skip
def test_a_training_diverged_where_a_number_at_its_end_is_not_finite(last, metrics, said):
    history, metrics = [{**ROW, "train/loss": NAN}, {**ROW, **last}], END | metrics
    assert list(divergence(history, metrics)) == said
    nothing = Point({}, 0)
    level = Level(0, 0.0, None, Trained({}, nothing, nothing, history), metrics)
    assert level.diverged is bool(said)


@given(st.lists(st.floats(), min_size=4, max_size=4))
def test_one_number_is_enough(numbers):
    train, val, end, test = numbers
    history = [{"step": 1, "train/loss": train, "val/loss": val}]
    found = divergence(history, {"val/loss": end, "test/loss": test})
    assert bool(found) is not all(map(math.isfinite, numbers))
    assert divergence([], {"val/loss": end, "test/loss": test}).items() <= found.items() or math.isnan(end + test)


@pytest.mark.parametrize(
    ("rows", "none"),
    [
        ([{"val/loss": NAN}, {"val/loss": NAN}], True),
        ([{"val/loss": NAN}, {"val/loss": INF}], True),
        ([{"val/loss": NAN}, {"val/loss": 9.0}], False),
        ([{"val/loss": NAN, "val/f1": 0.5}], True),  # the loss judges where there is one
        ([{"val/f1": NAN}], True),
        ([{"val/f1": 0.5}], False),
        ([{"train/loss": NAN}], False),  # nothing is validated
        ([], False),
    ],
)
def test_a_history_without_a_finite_judgement_has_no_early_stop(rows, none):
    assert unjudged(rows, ("f1", "max")) is none
