"""Dynamics as pure functions: literal schedules, exact counts, what is dropped and what is grown."""

import math
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ltb.common.step import Clock
from ltb.core import masks as m
from ltb.core.allocation import LAMP, Global, Layerwise, PerLayer, kept_count
from ltb.core.controls import Complement
from ltb.core.criteria import Magnitude, Random
from ltb.core.dynamics import ACDC, SET, Aim, Gradual, Moment, Movement, RigL, SoftMovement, Standing
from ltb.core.dynamics.gradual import ramp
from ltb.core.recipe import Recipe
from ltb.core.schedules import Explicit

SHAPES = {"a": (6, 5), "b": (4, 7), "c": (3, 2)}
CLOCK = Clock(epoch_length=10, length=1000)


@dataclass(frozen=True)
class InRounds(Magnitude):
    rounds: int = 3


def drawn(seed):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}


def standing(step, masks, *, target=0.8, first=0.0, seed=0, allocation=None, **given):
    weights = m.apply(drawn(seed), masks)
    aim = Aim(Magnitude(), allocation or Global(), first, target, m.ones(weights, SHAPES), drawn(seed), seed)
    return Standing(step, 1000, CLOCK, weights, masks, aim, **given)


def sparse(seed, density=0.4):
    return {
        name: torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < density
        for name, shape in SHAPES.items()
    }


@pytest.mark.parametrize(
    ("dynamics", "expected"),
    [
        (Gradual(every="100it"), [100, 200, 300, 400, 500, 600, 700]),
        (Gradual(every="10ep", first="100it", last="50ep"), [200, 300, 400, 500]),
        (SET(every="300it", last="2000it"), [300, 600, 900]),
        (RigL(every="1000it"), []),
        (ACDC(every="100it", last="400it"), [100, 200, 300]),
        (ACDC(every="100it", last="500it"), [100, 200, 300, 400, 500]),
    ],
)
def test_when_masks_change(dynamics, expected):
    assert list(dynamics.steps(1000, CLOCK)) == expected


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("cubic", [0.4625, 0.7, 0.7875, 0.8]),  # 0.8 · (1 − (1 − x)³) at x = 1/4, 1/2, 3/4, 1
        ("linear", [0.2, 0.4, 0.6, 0.8]),
        ("exponential", [1 - 0.2**0.25, 1 - 0.2**0.5, 1 - 0.2**0.75, 0.8]),
    ],
)
def test_the_ramp_of_zhu_and_gupta_and_two_others(shape, expected):
    assert [ramp(0.0, 0.8, quarter / 4, shape) for quarter in (1, 2, 3, 4)] == pytest.approx(expected, abs=1e-12)
    assert ramp(0.3, 0.8, 1, shape) == 0.8
    assert ramp(0.3, 0.8, 0, shape) == pytest.approx(0.3)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 99),
    st.sampled_from([0.1, 0.37, 0.8, 0.97]),
    st.sampled_from(["cubic", "linear", "exponential"]),
    st.sampled_from([Global(), Layerwise()]),
)
def test_gradual_counts_are_exact_at_every_change_and_nest(seed, target, shape, allocation):
    dynamics, masks = Gradual(shape=shape), m.ones(drawn(seed), SHAPES)
    steps = dynamics.steps(1000, CLOCK)
    for index, step in enumerate(steps, 1):
        now = replace(
            standing(step, masks, target=target, seed=seed, allocation=allocation), weights=drawn(seed + step)
        )
        found = dynamics(now)
        wanted = ramp(0.0, target, index / len(steps), shape)
        assert m.nested(found, masks)
        if allocation == Global():
            assert m.remaining(found) == kept_count(m.total(found), wanted)
        else:
            assert all(int(mask.sum()) == kept_count(mask.numel(), wanted) for mask in found.values())
        masks = found


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 99), st.sampled_from([0.05, 0.3, 0.7, 1.0]), st.sampled_from([0.1, 0.3, 0.9]), st.booleans())
def test_regrowth_keeps_each_layers_count_and_exchanges_the_smallest(seed, density, exchanged, random):
    masks, gradient = sparse(seed, density), drawn(seed + 1000)
    dynamics = SET(exchanged=exchanged) if random else RigL(exchanged=exchanged)
    now = standing(300, masks, seed=seed, gathered=lambda probe: {"gradient": gradient})
    found = dynamics(now)
    fraction = dynamics.fraction(now)
    for name, mask in masks.items():
        kept, weight = int(mask.sum()), now.weights[name]
        dropped, grown = mask & ~found[name], found[name] & ~mask
        assert int(found[name].sum()) == kept
        assert int(dropped.sum()) == int(grown.sum()) <= int(fraction * kept)
        # An independent statement of the rule, by sorting in float64.
        order = sorted((abs(float(w)), -i) for i, w in enumerate(weight.flatten()) if mask.flatten()[i])
        drop = {-i for _, i in order[: int(fraction * kept)]}
        stays = {i for i in range(mask.numel()) if mask.flatten()[i]} - drop
        growth = dynamics.growth(now)[name].double().flatten()
        free = sorted((i for i in range(mask.numel()) if i not in stays), key=lambda i: (-float(growth[i]), i))
        assert set(found[name].flatten().nonzero().flatten().tolist()) == stays | set(free[: len(drop)])


def test_rigls_fraction_falls_along_a_cosine_from_the_beginning_to_the_last():
    fractions = [RigL().fraction(standing(step, sparse(0))) for step in (0, 250, 375, 500, 750)]
    assert fractions == pytest.approx([0.3, 0.225, 0.15, 0.075, 0.0], abs=1e-12)
    assert SET().fraction(standing(700, sparse(0))) == 0.3


def test_set_draws_by_seed_step_and_layer_alone():
    masks = sparse(3)
    again, one, other = (SET().growth(standing(step, masks)) for step in (100, 100, 200))
    assert all(torch.equal(again[name], one[name]) for name in masks)
    assert not any(torch.equal(one[name], other[name]) for name in masks)


def test_ac_dc_compresses_and_decompresses_in_turn_and_ends_compressed():
    dynamics, masks, densities = ACDC(every="100it", last="500it"), m.ones(drawn(0), SHAPES), []
    for step in dynamics.steps(1000, CLOCK):
        masks = dynamics(replace(standing(step, masks), weights=drawn(step)))
        densities.append(m.remaining(masks))
    total = m.total(masks)
    assert densities == [kept_count(total, 0.8), total, kept_count(total, 0.8), total, kept_count(total, 0.8)]


def test_movement_keeps_the_highest_sums_and_what_was_pruned_may_come_back():
    masks, sums = sparse(0, 0.2), drawn(9)
    now = standing(700, masks, sums=sums)
    found = Movement()(now)
    flat, count = torch.cat([s.flatten() for s in sums.values()]), kept_count(m.total(masks), 0.8)
    assert torch.equal(
        torch.cat([f.flatten() for f in found.values()]), flat >= flat.sort(descending=True).values[count - 1]
    )
    assert not m.nested(found, masks)
    added = Movement().summed(
        torch.zeros(2), torch.tensor([2.0, -1.0]), torch.tensor([3.0, 5.0]), Moment(0, 1000, CLOCK)
    )
    assert torch.equal(added, torch.tensor([-6.0, 5.0]))


def test_soft_movements_penalty_rises_along_a_cubic_and_lowers_every_score():
    dynamics = SoftMovement(rate=2.0, penalty=0.8, first="100it", last="500it")
    strengths = [dynamics.strength(Moment(step, 1000, CLOCK)) for step in (0, 100, 200, 300, 400, 500, 900)]
    assert strengths == pytest.approx([0, 0, 0.4625, 0.7, 0.7875, 0.8, 0.8], abs=1e-12)
    # 2 · (−w · g − 0.7 · σ(S) · (1 − σ(S))) at S = 0 and S = ln 3, where σ is 1/2 and 3/4.
    total = torch.tensor([0.0, math.log(3), 0.0], dtype=torch.float64)
    weight, gradient = torch.tensor([[2.0, -1.0, 0.0], [3.0, 5.0, 7.0]], dtype=torch.float64)
    added = dynamics.summed(total, weight, gradient, Moment(300, 1000, CLOCK))
    assert added.tolist() == pytest.approx([2 * (-6 - 0.175), 2 * (5 - 0.7 * 3 / 16), -0.35])


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 99),
    st.sampled_from([0.1, 0.37, 0.8, 0.97]),
    st.sampled_from([0.01, 0.1, 0.4]),
    st.sampled_from([Global(), Layerwise()]),
)
def test_soft_movement_keeps_what_is_above_its_threshold_and_as_many_as_the_target_at_least(
    seed, target, tau, allocation
):
    dynamics, sums = SoftMovement(threshold=tau), {name: 2 * score for name, score in drawn(seed).items()}
    edge = math.log(tau / (1 - tau))
    for step in dynamics.steps(1000, CLOCK):
        found = dynamics(standing(step, sparse(seed), target=target, sums=sums, allocation=allocation))
        together = [sums] if allocation == Global() else [{name: score} for name, score in sums.items()]
        for group in together:
            scores = sorted((float(s) for score in group.values() for s in score.flatten()), reverse=True)
            least = kept_count(len(scores), target)
            kept = least if step == 700 else max(least, sum(score > edge for score in scores))
            chosen = sorted((float(s) for name, score in group.items() for s in score[found[name]]), reverse=True)
            assert chosen == scores[:kept]


@pytest.mark.parametrize(
    ("dynamics", "expected"),
    [
        (Gradual(every="250it"), [0.9 - 0.8 * 8 / 27, 0.9 - 0.8 / 27, 0.9]),
        (Movement(every="250it", shape="linear"), [1.1 / 3, 1.9 / 3, 0.9]),
        (SoftMovement(every="250it"), [0.9, 0.9, 0.9]),
        (ACDC(every="100it", last="500it"), [0.9, 0.9, 0.9]),
        (SET(), []),
        (RigL(), []),
    ],
    ids=lambda one: type(one).__name__,
)
def test_which_sparsities_the_allocation_is_asked_for_on_the_way(dynamics, expected):
    assert list(dynamics.targets(0.1, 0.9, 1000, CLOCK)) == pytest.approx(expected)


@pytest.mark.parametrize("dynamics", [Gradual(), SoftMovement(), ACDC(), SET(), RigL()])
def test_a_stretched_clock_puts_first_and_last_later_and_leaves_the_interval(dynamics):
    given = replace(dynamics, every="1ep", first="10it", last="60it")
    assert given.steps(1000, CLOCK) == (20, 30, 40, 50, 60)
    assert given.steps(5000, CLOCK.stretched(5)) == tuple(range(60, 301, 10))
    if dynamics != ACDC():
        assert dynamics.steps(5000, CLOCK.stretched(5)) == tuple(range(100, 3751, 100))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"dynamics": Gradual(every="800it")}, "would never change in a fit of 1000 iterations"),
        ({"dynamics": ACDC(first="999it", every="1it")}, "would never change in a fit of 1000 iterations"),
        (
            {"dynamics": Gradual(), "control": Complement()},
            "control=complement moves the masks .* with dynamics=Gradual",
        ),
        ({"dynamics": Gradual(), "criterion": InRounds()}, "criterion.rounds=3: with dynamics=Gradual"),
        (
            {"dynamics": Movement(), "criterion": Random()},
            "criterion=Random would have no effect, for dynamics=Movement",
        ),
        (
            {"dynamics": Movement(), "allocation": LAMP()},
            "dynamics=Movement: its scores may be below 0, and allocation=LAMP",
        ),
        ({"dynamics": SoftMovement(every="800it")}, "would never change in a fit of 1000 iterations"),
    ],
)
def test_a_recipe_that_its_dynamics_do_not_fit_is_refused(given, text):
    with pytest.raises(ValueError, match=text):
        Recipe(schedule=Explicit((0.8,)), prune_from="start", **given).check(CLOCK)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (Gradual, {"shape": "square"}),
        (RigL, {"exchanged": 1.5}),
        (SET, {"every": "0it"}),
        (ACDC, {"last": "soon"}),
        (SoftMovement, {"threshold": 0.5}),
    ],
)
def test_a_wrong_setting_is_named(kind, given):
    (name,) = given
    with pytest.raises(ValueError, match=f"dynamics.{name}"):
        kind(**given)


@pytest.mark.parametrize("dynamics", [Gradual(every="100it"), Movement(every="100it")])
def test_a_way_that_the_allocation_cannot_go_is_refused_before_anything_is_trained(dynamics):
    recipe = Recipe(Explicit((0.5, 0.8)), prune_from="start", allocation=PerLayer({"a": 0.5}), dynamics=dynamics)
    shapes = {"a": (10, 10), "b": (10, 10)}
    # The other layer can be 0 to 100 % sparse, so that both come to 25 to 75 %.
    with pytest.raises(ValueError, match=r"^allocation.sparsities: a sparsity of 0.8 keeps 40 of 200 weights"):
        recipe.check_network(shapes, CLOCK)
    recipe = replace(recipe, schedule=Explicit((0.5, 0.7)))
    name = type(dynamics).__name__
    with pytest.raises(
        ValueError, match=f"^dynamics={name}: on the way to a sparsity of 0.5, allocation.sparsities: .* 0.1851"
    ):
        recipe.check_network(shapes, CLOCK)
    replace(recipe, dynamics=None).check_network(shapes, CLOCK)
    replace(recipe, dynamics=SoftMovement()).check_network(shapes, CLOCK)
