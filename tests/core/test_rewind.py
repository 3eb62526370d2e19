"""Rewinds: copies of the stored point, at the right step of the clock, with the optimizer's state or without."""

import itertools

import pytest
import torch

from ltb.common.step import Step
from ltb.core.chain import stages
from ltb.core.controls import Reinit, Shuffle
from ltb.core.loop import levels
from ltb.core.recipe import Recipe
from ltb.core.rewind import Extended, FineTune, LearningRate, Weights
from ltb.core.schedules import Geometric
from tests.core.toy import Toy, same, whole_network


@pytest.mark.parametrize("k", ["0it", "4it", "2ep"])
def test_the_nth_rewind_is_as_exact_as_the_first_and_shares_no_storage(k):
    """Against a dense run of our own; four rewinds, buffers and biases included."""
    toy = Toy()
    step = toy.clock.at(k)
    initial = toy.initial()
    reference = toy.fit(whole_network(toy, initial, step)).point.weights if step else initial
    stored: set[int] = set()
    for level in levels(Recipe(schedule=Geometric(0.3, 4), rewind_step=k), toy):
        if level.index == 0:
            continue
        origin = level.trained.origin
        assert origin.step == step
        for name, weight in origin.weights.items():
            mask = level.trained.masks.get(name, torch.ones_like(weight, dtype=torch.bool))
            assert torch.equal(weight[mask], reference[name][mask])
            assert not torch.count_nonzero(weight[~mask])
        pointers = {weight.data_ptr() for weight in origin.weights.values()}
        assert not pointers & stored
        stored |= pointers


@pytest.mark.parametrize(
    ("rewind", "rewind_step", "start", "stop"),
    [
        (Weights(), "0it", [0, 0, 0], [20, 20, 20]),
        (Weights(), "4it", [0, 4, 4], [20, 20, 20]),
        (Extended(), "0it", [0, 0, 0], [20, 100, 100]),
        (Extended(times=2), "4it", [0, 8, 8], [20, 40, 40]),
        (LearningRate(), "0it", [0, 0, 0], [20, 20, 20]),
        (LearningRate(), "1ep", [0, 5, 5], [20, 20, 20]),
        (FineTune(length=Step(3)), "0it", [0, 20, 23], [20, 23, 26]),
    ],
)
def test_where_each_rewind_starts_and_stops_the_clock(rewind, rewind_step, start, stop):
    found = list(levels(Recipe(schedule=Geometric(0.2, 2), rewind=rewind, rewind_step=rewind_step), Toy()))
    assert [level.trained.origin.step for level in found] == start
    assert [level.trained.point.step for level in found] == stop
    if rewind.trained_source:
        for before, level in itertools.pairwise(found):
            kept = level.trained.masks["a"]
            assert torch.equal(level.trained.origin.weights["a"][kept], before.trained.point.weights["a"][kept])
            assert torch.equal(level.trained.origin.weights["bias"], before.trained.point.weights["bias"])


@pytest.mark.parametrize("control", [Reinit(), Shuffle()])
def test_controls_of_an_extended_training_are_as_long(control):
    toy, recipe = Toy(), Recipe(schedule=Geometric(0.2, 2), rewind=Extended(), rewind_step="4it", control=control)
    steps = [(level.trained.start, level.trained.stop) for level in levels(recipe, toy)]
    assert steps == [(0, 20)] + [(0, 100) if control.from_scratch else (20, 100)] * 2
    assert [stop - start for start, stop in steps] == [
        stage.iterations(toy.clock) for stage in stages(recipe, toy.clock)
    ]


def test_an_extended_training_begins_at_the_weights_of_the_dense_step():
    usual, extended = (
        list(levels(Recipe(schedule=Geometric(0.2, 1), rewind=rewind, rewind_step="4it"), Toy()))[-1].trained.origin
        for rewind in (Weights("kept"), Extended("kept"))
    )
    assert same(usual.weights, extended.weights)
    assert same(usual.optimizer, extended.optimizer)


@pytest.mark.parametrize("times", [1, 0, 2.5, 1001])
def test_an_extended_training_is_a_whole_number_of_times_as_long(times):
    with pytest.raises(ValueError, match=f"rewind.times={times}: a whole number, 2 to 1000"):
        Extended(times=times)


@pytest.mark.parametrize(
    ("rewind", "expected"),
    [(Weights("fresh"), None), (Weights("kept"), 4.0), (LearningRate("fresh"), None), (LearningRate("kept"), 20.0)],
)
def test_the_optimizers_state_is_fresh_or_the_one_that_belongs_to_the_weights(rewind, expected):
    *_, last = levels(Recipe(schedule=Geometric(0.2, 1), rewind=rewind, rewind_step="4it"), Toy())
    state = last.trained.origin.optimizer
    assert state is None if expected is None else float(state["a/momentum"][0, 0]) == expected
