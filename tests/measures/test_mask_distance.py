"""The distance of masks drawn on the way of the dense run: literal values, its laws, and the tickets that a run draws."""

from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ltb.common.step import Clock
from ltb.core import masks as m
from ltb.core import tensors
from ltb.core.chain import asked, stages, starts
from ltb.core.criteria import Criterion, Gradient
from ltb.core.loop import Loop, Recent, levels
from ltb.core.masks import distance
from ltb.core.points import Point
from ltb.core.recipe import Recipe
from ltb.core.results import Trained
from ltb.core.schedules import Explicit
from ltb.core.stages import Dense, Start
from ltb.measures import MaskDistance
from tests.measures.bench import masked
from tests.training.small import training

EVERY_5 = MaskDistance(every="5it", window=3, epsilon=0.2)
RECIPE = Recipe(schedule=Explicit((0.5, 0.8)))


def at(step, bits):
    """A ticket drawn at a step."""
    result = masked(w=bits)
    point = Point(result.point.weights, step)
    return Trained(result.masks, point, point)


def test_a_run_by_hand():
    level = masked(w=[1, 1, 1, 0, 0, 0, 0, 0])
    drawn = [
        at(5, [0, 0, 0, 0, 0, 1, 1, 1]),
        at(10, [1, 0, 0, 0, 0, 0, 1, 1]),
        at(15, [1, 0, 0, 0, 0, 0, 1, 1]),
        at(20, [1, 0, 0, 0, 0, 0, 1, 1]),
        at(25, [1, 1, 0, 0, 0, 0, 0, 1]),
    ]
    assert EVERY_5([level, *drawn], None).values == {
        "early_bird_step": 20,
        "distance_to_level@5": 0.75, "distance_to_level@10": 0.5, "distance_to_level@15": 0.5,
        "distance_to_level@20": 0.5, "distance_to_level@25": 0.25,
        "distance@10": 0.25, "distance@15": 0.0, "distance@20": 0.0, "distance@25": 0.25,
        "farthest@15": 0.25, "farthest@20": 0.0, "farthest@25": 0.25,
    }  # fmt: skip
    never = replace(EVERY_5, epsilon=0.001)([level, *drawn[:3], drawn[4]], None)
    assert never.values["early_bird_step"] is None


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 99), st.integers(1, 40), st.floats(0, 1))
def test_it_is_a_metric_and_at_most_twice_the_density(seed, count, density):
    generator = torch.Generator().manual_seed(seed)
    one, other, third = ({n: torch.rand(count, generator=generator) < density for n in ("a", "b")} for _ in range(3))
    assert distance(one, one) == 0
    assert distance(one, other) == distance(other, one) <= distance(one, third) + distance(third, other) + 1e-12
    assert distance(one, other) <= m.density(one) + m.density(other) + 1e-12
    assert distance(one, {name: ~mask for name, mask in one.items()}) == 1


@dataclass(frozen=True)
class Steep(Criterion):
    """|w · g|, with a probe, in two rounds."""

    probe = Gradient()
    rounds: int = 2

    def __call__(self, weights, evidence):
        return {name: (w * evidence.gathered["gradient"][name]).abs() for name, w in weights.items()}


@pytest.mark.slow
@pytest.mark.parametrize("criterion", [None, Steep()])
def test_what_is_drawn_at_a_step_is_what_one_shot_pruning_of_the_dense_network_there_keeps(criterion):
    one = training(1, optimizer="adamw")
    recipe = Recipe(schedule=Explicit((0.5, 0.8)), **({"criterion": criterion} if criterion else {}))
    *_, level = levels(recipe, one, measures=[EVERY_5])
    values = level.measured[EVERY_5.label]
    expected = {}
    for step in (5, 10, 15, 20):
        at_step = Recipe(
            schedule=Explicit((0.8,)), prune_from="start", rewind_step=f"{step}it", criterion=recipe.criterion
        )
        expected[step] = list(levels(at_step, one))[-1].trained.masks
    for step, masks in expected.items():
        assert values[f"distance_to_level@{step}"] == distance(masks, level.trained.masks)
        if step > 5:
            assert values[f"distance@{step}"] == distance(masks, expected[step - 5])
    assert values["farthest@20"] == max(distance(expected[20], expected[step]) for step in (10, 15))
    assert level.measured.keys() == {EVERY_5.label}


@pytest.mark.slow
def test_the_dense_run_leaves_them_on_its_way_and_trains_the_same_bytes():
    one, memory = training(2), Recent()
    plain = list(levels(RECIPE, one))
    fits, fit = [], one.fit

    def noted(begun, **how):
        if begun.stop > begun.origin.step:  # else it is the initialisation
            fits.append((begun.origin.step, begun.stop))
        return fit(begun, **how)

    one.fit = noted
    found = list(levels(RECIPE, one, memory, measures=[EVERY_5]))
    assert fits == [(0, 25)] * 3  # the dense network and two levels, nothing beside
    assert [tensors.digest(level.trained.point.weights) for level in found] == [
        tensors.digest(level.trained.point.weights) for level in plain
    ]
    assert found[0].measured == {}  # nothing is drawn for the dense network
    # Asked later, with the dense network known, each is replayed from the one before.
    del fits[:]
    after = Recent()
    after.put(Dense(), found[0].trained)
    later = list(levels(RECIPE, one, after, measures=[EVERY_5]))
    assert sorted(fits) == [(0, 5), (0, 25), (0, 25), (5, 10), (10, 15), (15, 20)]
    assert [level.measured for level in later] == [level.measured for level in found]


def test_it_grows_from_the_dense_run_of_the_recipes_objective():
    from ltb.core.objectives import L2

    chain = stages(Recipe(schedule=Explicit((0.5,)), dense_objective=L2()), Clock(5, 25))
    (measured,) = asked(EVERY_5, chain, Clock(5, 25)).values()
    assert set(starts([measured])) - {Start(0)} == {Start(step, L2()) for step in (5, 10, 15, 20)}


def test_a_run_too_short_for_a_window_is_refused_before_anything_is_trained():
    one = training(3)
    one.fit = None
    with pytest.raises(ValueError, match=r"measure\.mask_distance\.every=1ep: 3 tickets are drawn .*window=5"):
        next(levels(RECIPE, one, measures=[MaskDistance()]))


def test_nothing_is_trained_for_a_finished_run():
    from ltb.common.errors import NotKept

    one, memory = training(4), Recent()
    chain = [level.stage for level in levels(RECIPE, one, memory)]
    (first, *_) = asked(EVERY_5, chain, one.clock).values()
    with pytest.raises(NotKept, match="dense to step 5 is not in the store"):
        Loop(one, memory, trains=False).result(first)
