"""Frozen pruned weights: a loop of its own agrees, nothing moves where the mask is 0, and what is measured is what was trained."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from ltb.core import masks as m
from ltb.core.controls import Reinit
from ltb.core.criteria import Snip
from ltb.core.dynamics import RigL
from ltb.core.loop import Recent, levels
from ltb.core.points import Fit, Point
from ltb.core.recipe import Recipe
from ltb.core.schedules import Explicit
from ltb.execution import Frozen
from ltb.measures import Bytes, Flops, Harvest
from ltb.training import Training
from tests.execution.test_edge_popup import Seen, classes
from tests.training.small import OPTIMIZERS, digest, source, training
from tests.training.test_fit import Kept, Killed


def halves(one, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {n: torch.rand(w.shape, generator=generator) < 0.5 for n, w in one.initial().items() if n in one.prunable}


def bits(tensor):
    return tensor.view(torch.int32)


def test_a_plain_float64_loop_comes_to_the_same_weights():
    """Effective weights w·m + w₀·(1 − m), SGD with momentum and weight decay on w where m is 1."""
    one = Training(classes, source(), "40it", 3, trainer={"precision": "64-true"})
    start, masks = one.initial(), halves(one)
    found = one.fit(Fit.of(masks, Point(start, 0), 40, execution=Frozen()))
    network = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3)).double()
    w = {name: value.clone().double() for name, value in start.items()}
    v = {name: torch.zeros_like(value) for name, value in w.items()}
    whole = {name: masks.get(name, torch.ones_like(value)).double() for name, value in w.items()}
    for x, y in one.source.stream(3, 0, 40):
        leaves = {name: value.clone().requires_grad_() for name, value in w.items()}
        used = {name: leaf * whole[name] + start[name] * (1 - whole[name]) for name, leaf in leaves.items()}
        loss = functional.cross_entropy(functional_call(network, used, x.double()), y)
        for name, g in zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True):
            v[name] = 0.9 * v[name] + (g + 1e-2 * w[name]) * whole[name]
            w[name] = w[name] - 0.2 * v[name]
    for name, value in w.items():
        assert torch.allclose(found.point.weights[name], value, rtol=1e-9, atol=1e-12), name


@settings(max_examples=8, deadline=None)
@given(
    st.sampled_from(list(OPTIMIZERS)),
    st.integers(0, 99),
    st.sampled_from([{}, {"gradient_clip": 0.1, "accumulate": 2, "l1": 1e-2}]),
)
def test_nothing_moves_where_the_mask_is_0(optimizer, seed, module):
    one = training(seed, optimizer=optimizer, evaluate_every="2it", module=module, length="9it")
    start, masks, seen = one.initial(), halves(one, seed), Seen()
    found = one.fit(Fit.of(masks, Point(start, 0), 9, execution=Frozen()), snapshots=[5], checkpoints=seen)
    for point in (found.point, found.snapshots[5], found.origin, *(progress.point for progress in seen.progress)):
        for name, mask in masks.items():
            assert torch.equal(bits(point.weights[name])[~mask], bits(start[name])[~mask])
        for name, state in (point.optimizer or {}).items():
            if (mask := masks.get(name.rpartition("/")[0])) is not None and state.shape == mask.shape:
                assert not torch.count_nonzero(state[~mask])
    assert all((found.point.weights[name] != start[name])[mask].any() for name, mask in masks.items())


def test_a_fit_that_is_killed_at_any_evaluation_goes_on_to_the_same_bytes(tmp_path):
    one = training(2, optimizer="adamw", evaluate_every="1it", length="5it")
    fit = Fit.of(halves(one), Point(one.initial(), 0), 5, execution=Frozen())
    whole = one.fit(fit)
    for left in range(1, 5):
        path = tmp_path / f"{left}.safetensors"
        with pytest.raises(Killed):
            one.fit(fit, checkpoints=Kept(path, left))
        rest = one.fit(fit, checkpoints=Kept(path, -1))
        assert digest(rest) == digest(whole)
        assert all(torch.equal(rest.origin.weights[name], whole.origin.weights[name]) for name in one.prunable)


def test_levels_are_measured_as_they_were_trained():
    one = training(4)
    recipe = Recipe(schedule=Explicit((0.4, 0.8)), execution=Frozen())
    start = one.initial()
    for level in list(levels(recipe, one, measures=[Bytes(), Flops(), Harvest()]))[1:]:
        trained = level.trained
        for name, mask in trained.masks.items():
            assert torch.equal(trained.point.weights[name][~mask], start[name][~mask])
            assert torch.equal(trained.origin.weights[name], start[name])
        module = one.module(trained.point, {})
        x, y = (torch.cat(parts) for parts in zip(*one.batches("test"), strict=True))
        with torch.no_grad():
            assert level.metrics["test/loss"] == pytest.approx(float(functional.cross_entropy(module(x), y)), rel=1e-5)
        assert one.evaluate(trained.point, trained.masks, ["test"])["test/loss"] != level.metrics["test/loss"]
        # Nothing is saved: every weight has to be kept.
        sizes = level.measured["bytes"]
        assert sizes["csr"] > sizes["dense"]
        flops = level.measured["flops"]
        assert flops["speed_up"] == 1
        assert all(flops[f"{name}_kept"] == flops[name] for name in ("forward", "step", "fit", "search", "total"))
        assert flops["forward_kept/0.weight"] == flops["forward/0.weight"]
        assert (level.measured["harvest"]["freed"], level.measured["harvest"]["loss_difference"]) == (0, 0)


def test_those_that_moved_toward_zero_are_0_in_the_better_variant():
    one = training(5)
    recipe = Recipe(schedule=Explicit((0.4, 0.8)), execution=Frozen(toward_zero="zero"))
    start = one.initial()
    dense, first, second = (level.trained for level in levels(recipe, one))
    fell = {name: dense.point.weights[name].abs() < start[name].abs() for name in one.prunable}
    for name in one.prunable:
        expected = torch.where(fell[name], 0.0, start[name])
        pruned = ~first.masks[name]
        assert torch.equal(first.point.weights[name][pruned], expected[pruned])
        assert fell[name][pruned].any()
        assert not fell[name][pruned].all()
        # What one level has settled the next leaves as it is; what it prunes itself is judged by the level before.
        again = first.point.weights[name].abs() < start[name].abs()
        expected = torch.where(pruned, expected, torch.where(again, 0.0, start[name]))
        gone = ~second.masks[name]
        assert torch.equal(second.point.weights[name][gone], expected[gone])


def test_a_new_initialisation_is_frozen_where_it_is_pruned():
    one = training(6)
    level = list(levels(Recipe(schedule=Explicit((0.6,)), execution=Frozen(), control=Reinit()), one))[-1].trained
    for name, mask in level.masks.items():
        assert torch.equal(level.point.weights[name][~mask], one.initial("reinit")[name][~mask])


def test_a_level_that_is_scored_by_gradients_is_scored_with_what_stands():
    one, asked = training(7), []
    recipe = Recipe(schedule=Explicit((0.4, 0.8)), execution=Frozen(), criterion=Snip())
    probe = one.probe

    def seeing(what, weights, masks, **given):
        asked.append(m.apply(weights, masks))
        return probe(what, weights, masks, **given)

    one.probe = seeing
    _, first, _ = (level.trained for level in levels(recipe, one, Recent()))
    assert all(torch.equal(asked[-1][name], first.point.weights[name]) for name in one.prunable)


def test_what_cannot_be_is_refused():
    with pytest.raises(
        ValueError, match="execution=Frozen keeps its masks through a fit, and with dynamics=RigL they change"
    ):
        Recipe(schedule=Explicit((0.6,)), prune_from="start", execution=Frozen(), dynamics=RigL())
    with pytest.raises(ValueError, match="compares the weights that are scored with those at the start"):
        Recipe(schedule=Explicit((0.6,)), prune_from="start", execution=Frozen("zero"))
    with pytest.raises(ValueError, match=r"execution.toward_zero='gone'"):
        replace(Frozen(), toward_zero="gone")
