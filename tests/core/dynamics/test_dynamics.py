"""Dynamics as pure functions: literal schedules, exact counts, what is dropped and what is grown."""

from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ltb.core import masks as m
from ltb.core.allocation import Global, Layerwise, kept_count
from ltb.core.controls import Complement
from ltb.core.criteria import Magnitude, Random
from ltb.core.dynamics import ACDC, SET, Aim, Gradual, Movement, RigL, Standing
from ltb.core.dynamics.gradual import ramp
from ltb.core.recipe import Recipe
from ltb.core.schedules import Explicit
from ltb.core.step import Clock

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
    assert torch.equal(
        Movement().summed(torch.tensor([2.0, -1.0]), torch.tensor([3.0, 5.0])), torch.tensor([-6.0, 5.0])
    )


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
    ],
)
def test_a_recipe_that_its_dynamics_do_not_fit_is_refused(given, text):
    with pytest.raises(ValueError, match=text):
        Recipe(schedule=Explicit((0.8,)), prune_from="start", **given).check(CLOCK)


@pytest.mark.parametrize(
    ("kind", "given"),
    [(Gradual, {"shape": "square"}), (RigL, {"exchanged": 1.5}), (SET, {"every": "0it"}), (ACDC, {"last": "soon"})],
)
def test_a_wrong_setting_is_named(kind, given):
    (name,) = given
    with pytest.raises(ValueError, match=f"dynamics.{name}"):
        kind(**given)
