"""The loop, on a training that is a pure function: chains nest, rewinds copy, controls break one thing, stages are shared."""

import itertools
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ltb.core import masks as m
from ltb.core.allocation import Global, Layerwise
from ltb.core.controls import Complement, Reinit, Shuffle, SignReinit
from ltb.core.criteria import Criterion, Magnitude, Random
from ltb.core.loop import Recent, levels
from ltb.core.recipe import Recipe
from ltb.core.rewind import FineTune, LearningRate, Weights
from ltb.core.schedules import Explicit, Geometric, Linear
from ltb.core.stages import Dense, Sparse, Start, missing, search_steps, stages
from ltb.core.step import Clock, Step
from tests.core.toy import Toy

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


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


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


@pytest.mark.parametrize("k", ["0it", "4it", "2ep"])
def test_the_nth_rewind_is_as_exact_as_the_first_and_shares_no_storage(k):
    """Against a dense run of our own; four rewinds, buffers and biases included."""
    toy = Toy()
    step = toy.clock.at(k)
    initial = toy.initial()
    reference = toy.fit(replace_fit(toy, initial, step)).point.weights if step else initial
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


def replace_fit(toy, weights, stop):
    from ltb.core.points import Fit, Point

    return Fit.of(m.ones(weights, toy.prunable), Point(weights, 0), stop)


@pytest.mark.parametrize(
    ("rewind", "rewind_step", "start", "stop"),
    [
        (Weights(), "0it", [0, 0, 0], [20, 20, 20]),
        (Weights(), "4it", [0, 4, 4], [20, 20, 20]),
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


@pytest.mark.parametrize(
    ("rewind", "expected"),
    [(Weights("fresh"), None), (Weights("kept"), 4.0), (LearningRate("fresh"), None), (LearningRate("kept"), 20.0)],
)
def test_the_optimizers_state_is_fresh_or_the_one_that_belongs_to_the_weights(rewind, expected):
    *_, last = levels(Recipe(schedule=Geometric(0.2, 1), rewind=rewind, rewind_step="4it"), Toy())
    state = last.trained.origin.optimizer
    assert state is None if expected is None else float(state["a/momentum"][0, 0]) == expected


@given(
    st.integers(0, 30),
    st.sampled_from([Reinit(), SignReinit(), Shuffle(), Complement()]),
    st.sampled_from(["0it", "4it"]),
)
def test_controls_do_what_they_say_and_nothing_else(seed, control, rewind_step):
    schedule = Geometric(0.3, 3)
    tickets = list(levels(Recipe(schedule=schedule, rewind_step=rewind_step), Toy(seed)))
    broken = list(levels(Recipe(schedule=schedule, rewind_step=rewind_step, control=control), Toy(seed)))
    toy = Toy(seed)
    fresh, start = toy.initial("reinit"), toy.clock.at(rewind_step)
    dense = tickets[0].trained
    reference = toy.fit(replace_fit(toy, toy.initial(), start)).point.weights if start else toy.initial()
    assert same(broken[0].trained.point.weights, dense.point.weights)
    for ticket, level in zip(tickets[1:], broken[1:], strict=True):
        mine, theirs = level.trained.masks, ticket.trained.masks
        origin = level.trained.origin
        if isinstance(control, Reinit | SignReinit):
            assert same(mine, theirs)
            assert (origin.step, level.trained.point.step) == (0, 20)
            for name, mask in mine.items():
                assert torch.equal(origin.weights[name].abs()[mask], fresh[name].abs()[mask])
                if isinstance(control, SignReinit):
                    assert torch.equal(origin.weights[name].sign()[mask], reference[name].sign()[mask])
                else:
                    assert torch.equal(origin.weights[name][mask], fresh[name][mask])
            assert torch.equal(origin.weights["bias"], fresh["bias"])
            assert not torch.equal(origin.weights["bias"], reference["bias"])
        else:
            assert origin.step == start
            assert same(origin.weights, m.apply(reference, mine))
        if isinstance(control, Shuffle):
            assert all(int(mine[name].sum()) == int(theirs[name].sum()) for name in mine)
            assert all(
                not torch.equal(mine[name], theirs[name])
                for name in mine
                if 0 < theirs[name].sum() < theirs[name].numel()
            )
        if isinstance(control, Complement):
            assert all(torch.equal(mine[name], ~theirs[name]) for name in mine)


def test_a_control_is_a_branch_and_costs_the_chain_nothing():
    toy = Toy()
    recipe = Recipe(schedule=Geometric(0.3, 3), control=Shuffle())
    list(levels(recipe, toy))
    # The dense network, two levels of the chain (the last one's training is of no use to its control), three controls.
    assert sum(fit.stop > 0 for fit in toy.fits) == 6


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
    assert toy.probed[1][2]["b"].int().sum() == 0 or int(toy.probed[1][2]["a"].sum()) == 16


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
