"""A recipe refuses nonsense, naming the key and what is allowed."""

import pytest

from ltb.core.controls import Shuffle
from ltb.core.recipe import Recipe
from ltb.core.rewind import FineTune, LearningRate, Weights
from ltb.core.schedules import Geometric
from ltb.core.step import Clock


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Recipe(prune_from="last"), "prune_from='last': one of previous, dense, start"),
        (lambda: Recipe(prune_from="start", rewind=LearningRate()), "rewind=LearningRate keeps trained weights"),
        (lambda: Recipe(rewind_step="500"), "rewind_step: '500' is not a step"),
        (lambda: Recipe(rewind_step="20it").check(Clock(5, 20)), "rewind_step=20it is iteration 20, and the run is 20"),
        (
            lambda: Recipe(schedule=Geometric(levels=0), control=Shuffle()),
            "control=shuffle: the schedule has the dense",
        ),
        (lambda: Recipe(criterion=Geometric()), "criterion is a Geometric; it must be a Criterion"),
        (lambda: Recipe(method="a/b"), "method='a/b'"),
        (
            lambda: Recipe(rewind=LearningRate(), control=Shuffle()),
            "control=shuffle trains weights that the ticket lacks",
        ),
        (lambda: Weights("old"), "rewind.optimizer_state='old': fresh or kept"),
        (lambda: FineTune(length="1"), "rewind.length: '1' is not a step"),
        (lambda: FineTune(length="0it"), "rewind.length=0"),
    ],
)
def test_nonsense_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()
