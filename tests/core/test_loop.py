"""The loop, on a training that is a pure function: chains nest, rewinds copy, controls break one thing, stages are shared."""

import itertools
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ltb.common.step import Clock, Step
from ltb.core import masks as m
from ltb.core.allocation import Global, Layerwise
from ltb.core.chain import stages
from ltb.core.controls import Complement, Reinit, Shuffle, SignReinit
from ltb.core.criteria import Criterion, Grasp, Inverted, Magnitude, Random, Snip, Synflow
from ltb.core.dynamics import ACDC, SET, Gradual, Movement, RigL, SoftMovement
from ltb.core.loop import Recent, levels
from ltb.core.recipe import Recipe
from ltb.core.rewind import Extended, FineTune, LearningRate, Weights
from ltb.core.schedules import Explicit, Geometric, Linear
from ltb.core.stage import missing, search_steps
from ltb.core.stages import Dense, Sparse, Start
from tests.core.toy import Toy, same

schedules = st.one_of(
    st.builds(Geometric, st.floats(0.05, 0.6), st.integers(1, 5)),
    st.builds(Linear, st.floats(0.1, 0.95), st.integers(1, 5)),
    st.lists(st.floats(0.01, 0.99), min_size=1, max_size=4, unique=True).map(lambda s: Explicit(tuple(sorted(s)))),
)
rewinds = st.one_of(
    st.builds(Weights, st.sampled_from(["fresh", "kept"])),
    st.builds(LearningRate, st.sampled_from(["fresh", "kept"])),
    st.builds(FineTune, st.just("fresh"), st.sampled_from([Step(3), Step(1, "ep")])),
)
controls = st.sampled_from([None, Reinit(), SignReinit(), Shuffle(), Complement()])


def allowed(**given):
    """A recipe, without its control where that control is refused."""
    try:
        return Recipe(**given)
    except ValueError:
        return Recipe(**{**given, "control": None})


recipes = st.builds(
    allowed,
    schedule=schedules,
    prune_from=st.sampled_from(["previous", "dense"]),
    criterion=st.sampled_from([Magnitude(), Random()]),
    allocation=st.sampled_from([Global(), Layerwise(), Layerwise(rates={"b": "half"})]),
    rewind=rewinds,
    rewind_step=st.sampled_from([Step(0), Step(4), Step(1, "ep")]),
    control=controls,
)


@given(recipes, st.integers(0, 5))
def test_every_recipe_keeps_exact_counts_dead_weights_dead_and_says_so(recipe, seed):
    toy = Toy(seed)
    found = list(levels(recipe, toy))
    assert [level.target for level in found] == list(recipe.schedule.targets)
    assert found[0].density == 1
    for level in found[1:]:
        masks = level.trained.masks
        if isinstance(recipe.control, Complement):
            masks = {name: ~mask for name, mask in masks.items()}
        if isinstance(recipe.allocation, Global):
            assert m.remaining(masks) == 32 - round(32 * level.target)
        else:
            for name, mask in masks.items():
                sparsity = recipe.allocation.layer_sparsity(name, level.target)
                assert int(mask.sum()) == mask.numel() - round(mask.numel() * sparsity)
        for name, mask in level.trained.masks.items():
            for point in (level.trained.origin, level.trained.point):
                assert torch.count_nonzero(point.weights[name][~mask]) == 0


@given(recipes, st.integers(0, 5))
def test_chains_nest(recipe, seed):
    chain = [level.trained.masks for level in levels(Recipe(**{**vars(recipe), "control": None}), Toy(seed))]
    for outer, inner in itertools.pairwise(chain):
        assert m.nested(inner, outer)


class Counting(Recent):
    def __init__(self):
        super().__init__()
        self.computed = []

    def put(self, stage, result):
        self.computed.append(stage)
        return super().put(stage, result)


def test_nothing_is_trained_twice_and_the_snapshot_is_taken_in_passing():
    memory = Counting()
    list(levels(Recipe(schedule=Geometric(0.3, 4), rewind_step="4it", control=Reinit()), Toy(), memory))
    assert len(memory.computed) == len(set(memory.computed))
    toy = Toy()
    list(levels(Recipe(schedule=Geometric(0.3, 4), rewind_step="4it"), toy))
    assert [(fit.origin.step, fit.stop) for fit in toy.fits if fit.stop] == [(0, 20)] + [(4, 20)] * 4


def test_recipes_share_the_stages_that_they_have_in_common():
    clock = Clock(5, 20)
    imp = stages(Recipe(schedule=Geometric(0.2, 3)), clock)
    longer = stages(Recipe(schedule=Geometric(0.2, 5)), clock)
    one_shot = stages(Recipe(schedule=Geometric(0.2, 3), prune_from="dense", method="one_shot"), clock)
    assert longer[:4] == imp
    assert one_shot[:2] == imp[:2]
    assert one_shot[2] != imp[2]
    control = stages(Recipe(schedule=Geometric(0.2, 3), control=Reinit()), clock)
    assert control[0] == imp[0]
    assert [stage.source for stage in control[1:]] == list(imp[:3])


def test_what_is_missing_is_listed_before_it_is_computed_and_only_that():
    clock = Clock(5, 20)
    recipe = Recipe(schedule=Geometric(0.2, 2), rewind_step="4it", control=Reinit())
    wanted = stages(recipe, clock)
    todo = missing(wanted, lambda stage: False)
    assert [type(stage) for stage in todo] == [Dense, Sparse, Sparse, Sparse]
    assert [stage.iterations(clock) for stage in todo] == [20, 20, 16, 20]
    known = {Dense()}
    assert missing([wanted[1]], lambda stage: stage in known) == [Start(4), wanted[1]]
    memory = Counting()
    list(levels(recipe, Toy(), memory))
    assert set(todo) == {stage for stage in memory.computed if isinstance(stage, Dense | Sparse)}


@dataclass(frozen=True)
class Mark:
    """A probe that gathers one tensor."""

    def __call__(self, module, batches):
        return {"mark": {"a": torch.arange(20.0).reshape(4, 5), "b": -torch.arange(12.0).reshape(3, 4)}}


@dataclass(frozen=True)
class Marked(Criterion):
    probe: Any = Mark()

    def __call__(self, weights, evidence):
        return evidence.gathered["mark"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, [0, 20, 40, 60]),  # IMP: the dense network and every level before
        ({"rewind_step": "5it"}, [0, 20, 35, 50]),  # what the dense run passes through costs nothing
        ({"rewind_step": "5it", "control": Shuffle()}, [0, 20, 35, 50]),  # a control is made from the same chain
        ({"control": Reinit()}, [0, 20, 40, 60]),
        ({"rewind": FineTune(length="4it")}, [0, 20, 24, 28]),
        ({"prune_from": "dense"}, [0, 20, 20, 20]),
        ({"prune_from": "start", "criterion": Random()}, [0, 0, 0, 0]),
        ({"prune_from": "start", "criterion": Random(), "rewind_step": "5it"}, [0, 5, 5, 5]),
        # Scoring counts, in steps: minibatches and rounds of each level and of those that it grew from.
        ({"prune_from": "start", "criterion": Snip()}, [0, 1, 1, 1]),
        ({"prune_from": "start", "criterion": Snip(2, rounds=5), "rewind_step": "5it"}, [0, 15, 15, 15]),
        ({"prune_from": "start", "criterion": Inverted(Snip(2, rounds=5)), "control": Reinit()}, [0, 10, 10, 10]),
        ({"prune_from": "start", "criterion": Grasp(3)}, [0, 12, 12, 12]),
        ({"prune_from": "start", "criterion": Synflow()}, [0, 1, 1, 1]),
        ({"criterion": Snip(2)}, [0, 22, 44, 66]),
        # Within a fit of 20 iterations: RigL looks at a gradient at 5, 10 and 15; SET and magnitude look at none.
        ({"prune_from": "start", "criterion": Random(), "dynamics": RigL(every="5it")}, [0, 3, 3, 3]),
        ({"prune_from": "start", "criterion": Random(), "dynamics": SET(every="5it")}, [0, 0, 0, 0]),
        ({"prune_from": "start", "dynamics": Gradual(every="5it")}, [0, 0, 0, 0]),
        ({"prune_from": "start", "dynamics": Gradual(every="5it"), "criterion": Snip(2)}, [0, 6, 6, 6]),
        (
            {"prune_from": "start", "dynamics": ACDC(every="5it"), "criterion": Snip(2)},
            [0, 4, 4, 4],
        ),  # compressed twice
        ({"prune_from": "start", "dynamics": Movement(every="5it")}, [0, 0, 0, 0]),
        ({"prune_from": "start", "dynamics": SoftMovement(every="5it")}, [0, 0, 0, 0]),
        # In a training of 5 · 20 iterations changes end at 75; in a chain each level is five times as long.
        (
            {"prune_from": "start", "criterion": Random(), "dynamics": RigL(every="5it"), "rewind": Extended()},
            [0, 15, 15, 15],
        ),
        ({"rewind": Extended()}, [0, 20, 120, 220]),
        ({"rewind": Extended(), "control": Reinit()}, [0, 20, 120, 220]),
        ({"rewind": Extended(times=2), "rewind_step": "5it"}, [0, 20, 50, 80]),
    ],
)
def test_what_a_ticket_costs_to_find(given, expected):
    clock = Toy().clock
    chain = stages(Recipe(schedule=Geometric(0.5, 3), **given), clock)
    assert [search_steps(stage, clock) for stage in chain] == expected


def test_a_criterion_gets_what_its_probe_gathers_at_the_masked_source():
    toy = Toy()
    *_, last = levels(Recipe(schedule=Explicit((0.5, 0.75)), criterion=Marked()), toy)
    assert last.trained.masks["a"].flatten().int().tolist() == [0] * 12 + [1] * 8
    assert last.trained.masks["b"].int().sum() == 0
    assert len(toy.probed) == 2
    _, weights, masks = toy.probed[1]
    seen = m.apply(weights, masks)
    assert sum(int(torch.count_nonzero(seen[name])) for name in masks) == 16  # of 32: those of the level before


def test_criterion_and_allocation_each_see_what_their_own_probe_gathered():
    """Though both probes gather under one name; one that both have gathers once."""

    @dataclass(frozen=True)
    class Other:
        def __call__(self, module, batches):
            return {"mark": {"a": torch.zeros(4, 5), "b": torch.zeros(3, 4)}}

    @dataclass(frozen=True)
    class Seeing(Global):
        probe: Any = Other()

        def __call__(self, scores, masks, target, evidence):
            seen.append(float(evidence.gathered["mark"]["a"].sum()))
            return super().__call__(scores, masks, target, evidence)

    seen = []
    recipe = Recipe(schedule=Explicit((0.5,)), criterion=Marked(), allocation=Seeing())
    toy = Toy()
    *_, last = levels(recipe, toy)
    assert last.trained.masks["a"].sum() == 16  # by the criterion's own
    assert seen == [0.0]
    list(levels(replace(recipe, allocation=Seeing(probe=Mark())), toy))
    assert seen == [0.0, 190.0]
    assert [probe for probe, *_ in toy.probed] == [Mark(), Other(), Mark()]


def test_a_start_that_a_resumed_dense_fit_did_not_pass_is_replayed():
    """Another run was cut off inside the dense fit, behind step k, and did not ask for k."""

    class Resumed(Toy):
        def fit(self, fit, *, snapshots=(), **given):
            return super().fit(fit, **given)

    toy, whole = Resumed(), Toy()
    recipe = Recipe(schedule=Geometric(0.3, 1), rewind_step="4it")
    (*_, last), (*_, expected) = levels(recipe, toy), levels(recipe, whole)
    assert [(fit.origin.step, fit.stop) for fit in toy.fits if fit.stop] == [(0, 20), (0, 4), (4, 20)]
    assert same(last.trained.point.weights, expected.trained.point.weights)


@dataclass(frozen=True)
class InRounds(Magnitude):
    rounds: int = 10


@pytest.mark.parametrize("allocation", [Global(), Layerwise(), Layerwise(rates={"b": "half"})])
def test_rounds_of_a_constant_score_end_at_the_masks_of_one_round(allocation):
    schedule = Geometric(0.2, 3)
    one, many = (
        list(levels(Recipe(schedule, criterion=c, allocation=allocation), Toy())) for c in (Magnitude(), InRounds())
    )
    for level, other in zip(one, many, strict=True):
        assert same(level.trained.masks, other.trained.masks)
    with pytest.raises(ValueError, match=r"criterion.rounds=0: a whole number, 1 to 1000"):
        Recipe(criterion=InRounds(0))
