"""Dynamics in training: a plain float64 loop agrees, dead is dead, and a kill around any change ends in the same bytes."""

import math
import random
from functools import partial
from unittest import mock

import numpy
import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn import functional

from ltb.core import masks as m
from ltb.core import tensors
from ltb.core.allocation import Layerwise, kept_count
from ltb.core.chain import stages
from ltb.core.criteria import Magnitude, Random, Snip
from ltb.core.dynamics import ACDC, SET, Gradual, Movement, RigL, SoftMovement
from ltb.core.loop import Loop, Recent, levels
from ltb.core.recipe import Recipe
from ltb.core.results import early_stop_step
from ltb.core.rewind import FineTune, Weights
from ltb.core.schedules import Explicit
from ltb.training import Classification, Constant, Training
from ltb.training import feed as feed_module
from ltb.training.changes import Changes
from tests.training.small import Numbers, Regression, digest, source, training
from tests.training.test_fit import Kept, Killed

DYNAMICS = {
    "gradual": Gradual(every="3it"),
    "set": SET(every="3it"),
    "rigl": RigL(every="3it"),
    "movement": Movement(every="3it"),
    "soft_movement": SoftMovement(every="3it", rate=20.0, penalty=0.02),
    "ac_dc": ACDC(every="3it"),
}


def recipe(dynamics, sparsity=0.6, **given):
    begins = {} if dynamics is None or dynamics.prunes else {"criterion": Random(), "allocation": Layerwise()}
    return Recipe(schedule=Explicit((sparsity,)), dynamics=dynamics, **({"prune_from": "start"} | begins | given))


def ticket(of, made):
    """The fit of the recipe's last level."""
    return stages(made, of.clock)[-1].ticket(Loop(of, Recent()))


def last(of, made):
    return list(levels(made, of))[-1]


# A plain loop, in numpy but for the gradients


def top(values, candidates, count):
    """The mask of the `count` highest of the candidates, the earlier of equals."""
    best = sorted((i for i in range(len(values)) if candidates[i]), key=lambda i: (-values[i], i))[:count]
    mask = numpy.zeros(len(values), bool)
    mask[best] = True
    return mask


def global_top(values, candidates, count):
    names = list(values)
    flat = top(numpy.concatenate([values[n] for n in names]), numpy.concatenate([candidates[n] for n in names]), count)
    parts = numpy.split(flat, numpy.cumsum([len(values[n]) for n in names])[:-1])
    return dict(zip(names, parts, strict=True))


def reference(kind, steps, length, target, w, masks, names, batches, seed, lr, momentum):
    """Weights and masks of a training by SGD with momentum in float64, masks changed by rules written anew.

    And before each step how many weights are kept, and how many times one has come back.
    """
    shapes = {n: tuple(t.shape) for n, t in w.items()}
    w = {n: t.double().numpy().copy().reshape(-1) for n, t in w.items()}
    masks = {n: t.numpy().reshape(-1).copy() for n, t in masks.items()}
    velocity = {n: numpy.zeros_like(x) for n, x in w.items()}
    sums = {n: numpy.zeros_like(w[n]) for n in names}
    total, seen, back = sum(len(w[n]) for n in names), [], 0
    for n in names:
        w[n][~masks[n]] = 0

    def gradient(batch):
        tensors_ = {n: torch.tensor(x.reshape(shapes[n]), requires_grad=True) for n, x in w.items()}
        x, y = batch
        hidden = torch.relu(functional.linear(x.double(), tensors_["0.weight"], tensors_["0.bias"]))
        loss = functional.cross_entropy(functional.linear(hidden, tensors_["2.weight"], tensors_["2.bias"]), y)
        loss.backward()
        return {n: t.grad.numpy().reshape(-1) for n, t in tensors_.items()}

    for step, batch in enumerate(batches):
        before = masks
        if step in steps:
            done = (steps.index(step) + 1) / len(steps)
            kept = kept_count(total, target * (1 - (1 - done) ** 3) if done < 1 else target)
            magnitude = {n: numpy.abs(w[n]) for n in names}
            every = {n: numpy.ones_like(masks[n]) for n in names}
            if kind == "gradual":
                masks = global_top(magnitude, masks, kept)
            elif kind == "movement":
                masks = global_top(sums, every, kept)
            elif kind == "soft_movement":
                above = sum(int((1 / (1 + numpy.exp(-s)) > 0.1).sum()) for s in sums.values())
                least = kept_count(total, target)
                masks = global_top(sums, every, least if step == steps[-1] else max(above, least))
            elif kind == "ac_dc":
                masks = global_top(magnitude, every, kept_count(total, target)) if steps.index(step) % 2 == 0 else every
            else:
                masks = dict(masks)
                fraction = 0.3 if kind == "set" else 0.15 * (1 + math.cos(math.pi * step / (3 * length // 4)))
                growth = {n: numpy.abs(g) for n, g in gradient(batch).items()}
                for n in names:
                    if kind == "set":  # what is drawn is SET's own affair, see its tests
                        now = mock.Mock(masks={n: torch.ones(shapes[n])}, aim=mock.Mock(seed=seed), step=step)
                        growth[n] = SET().growth(now)[n].numpy().reshape(-1)
                    drop = int(fraction * masks[n].sum())
                    stays = top(magnitude[n], masks[n], masks[n].sum() - drop)
                    masks[n] = stays | top(growth[n], ~stays, drop)
            for n in names:
                w[n][~masks[n]], velocity[n][~masks[n]] = 0, 0
        back += sum(int((masks[n] & ~before[n]).sum()) for n in names)
        seen.append((sum(int(masks[n].sum()) for n in names), back))
        for n, g in gradient(batch).items():
            g = g * masks[n] if n in names else g
            if n in names and kind == "soft_movement":
                strength = 0.02 * (1 - (1 - min(step / (3 * length // 4), 1)) ** 3)
                sums[n] = sums[n] - 20 * (w[n] * g + strength * numpy.exp(-sums[n]) / (1 + numpy.exp(-sums[n])) ** 2)
            elif n in names:
                sums[n] -= w[n] * g
            velocity[n] = momentum * velocity[n] + g
            w[n] = w[n] - lr * velocity[n]
    found = {n: x.reshape(shapes[n]) for n, x in w.items()}
    return found, {n: masks[n].reshape(shapes[n]) for n in names}, [*seen, seen[-1]]


@pytest.mark.parametrize("kind", DYNAMICS)
def test_a_plain_float64_loop_comes_to_the_same_weights_masks_and_numbers_of_both(kind):
    def make():
        network = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3))
        return Classification(network, partial(torch.optim.SGD, momentum=0.9), Constant(base=0.05))

    one = Training(make, source(), "60it", 3, trainer={"precision": "64-true"}, evaluate_every="1it")
    made = recipe(DYNAMICS[kind])
    fit = ticket(one, made)
    steps = list(DYNAMICS[kind].steps(60, one.clock))
    assert len(steps) >= 14
    batches = list(one.source.stream(3, 0, 60))
    weights, masks, seen = reference(
        kind, steps, 60, 0.6, one.initial(), fit.masks, one.prunable, batches, 3, 0.05, 0.9
    )
    found = one.fit(fit)
    for name, mask in masks.items():
        assert numpy.array_equal(found.masks[name].numpy(), mask), name
    for name, weight in weights.items():
        assert numpy.allclose(found.point.weights[name].numpy(), weight, rtol=1e-9, atol=1e-12), name
    assert not all(torch.equal(found.masks[name], fit.masks[name]) for name in masks)
    rows = [(round(row["density"] * m.total(found.masks)), row["regrown"]) for row in found.history]
    assert rows == seen[1:]
    in_chunks = Training(make, source(), "60it", 3, trainer={"precision": "64-true"}, evaluate_every="60it").fit(fit)
    assert digest(in_chunks) == digest(found)


def test_soft_movement_shrinks_by_its_threshold_before_it_comes_to_its_target():
    one = training(1, evaluate_every="1it")
    densities = [row["density"] for row in last(one, recipe(DYNAMICS["soft_movement"], 0.9)).trained.history]
    assert len({*densities} - {1.0, densities[-1]}) >= 2


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"dynamics": RigL(every="5it"), "criterion": Random(), "allocation": Layerwise()}, 3),
        ({"dynamics": Gradual(every="5it"), "criterion": Snip()}, 3),
        ({"dynamics": ACDC(every="5it"), "criterion": Snip()}, 2),
        ({"dynamics": SET(every="5it"), "criterion": Snip()}, 1),
        ({"dynamics": Movement(every="5it")}, 0),
        ({"dynamics": SoftMovement(every="5it")}, 0),
    ],
    ids=lambda one: type(one["dynamics"]).__name__ if isinstance(one, dict) else str(one),
)
def test_the_cost_of_looking_is_what_is_looked_at(given, expected):
    one = training(2, length="20it")
    made = Recipe(schedule=Explicit((0.6,)), prune_from="start", **given)
    with mock.patch.object(Training, "probe", autospec=True, side_effect=Training.probe) as looked:
        one.fit(ticket(one, made))
    assert stages(made, one.clock)[-1].scoring(one.clock) == looked.call_count == expected


# The laws


class Dead(pl.Callback):
    """Looks after each minibatch whether what is masked is 0, in weight and state; counts how often."""

    def __init__(self):
        self.looked = 0

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        found = [callback for callback in trainer.callbacks if isinstance(callback, Changes)]
        if not found:  # the dense network
            return
        (changes,) = found
        parameters = dict(pl_module.network.named_parameters())
        for name, mask in changes.masks.items():
            assert not parameters[name][~mask].any()
            for value in trainer.optimizers[0].state[parameters[name]].values():
                if value.shape == mask.shape:
                    assert not value[~mask].any()
        self.looked += 1


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("kind", DYNAMICS)
def test_dead_is_dead_and_counts_are_exact_after_every_step(kind, optimizer):
    look = Dead()
    one = training(1, optimizer=optimizer, evaluate_every="1it", observers=lambda: [look])
    with mock.patch.object(feed_module, "CHUNK", 1):
        level = last(one, recipe(DYNAMICS[kind]))
    assert look.looked == 25
    layers = [mask.numel() for mask in level.trained.masks.values()]
    expected = [sum(layers)] if DYNAMICS[kind].prunes else layers
    assert level.remaining == sum(kept_count(count, 0.6) for count in expected)
    densities = {row["density"] for row in level.trained.history}
    assert level.trained.history[-1]["density"] == level.density
    if DYNAMICS[kind].prunes:
        assert 1.0 in densities
    else:
        assert densities == {level.density}
        assert level.trained.history[-1]["regrown"] > 0


@pytest.mark.parametrize("moments", [4, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("kind", DYNAMICS)
def test_a_fit_that_is_killed_around_any_change_goes_on_to_the_same_bytes(tmp_path, kind, optimizer, moments):
    one = training(2, optimizer=optimizer, evaluate_every="1it", length="24it")
    fit = ticket(one, recipe(DYNAMICS[kind]))
    whole, draw = one.fit(fit), random.Random(f"{kind} {optimizer}")
    for left in draw.sample(range(1, 25), moments):
        path = tmp_path / f"{left}.safetensors"
        with pytest.raises(Killed):
            one.fit(fit, checkpoints=Kept(path, left))
        rest = one.fit(fit, checkpoints=Kept(path, -1))
        assert digest(rest) == digest(whole)
        assert tensors.digest(rest.masks) == tensors.digest(whole.masks)
        assert [{**row, "seconds": 0} for row in rest.history] == [{**row, "seconds": 0} for row in whole.history]


def test_rigl_without_a_change_is_static_sparse_training_to_the_bit():
    one = training(4, optimizer="adam")
    static, found = (
        last(one, recipe(None, criterion=Random(), allocation=Layerwise())),
        last(one, recipe(RigL(every="10it", exchanged=1e-9))),
    )
    assert digest(found.trained) == digest(static.trained)
    assert found.trained.history[-1]["regrown"] == 0


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_gradual_pruning_in_one_change_is_pruning_there_to_the_bit(optimizer):
    one = training(5, optimizer=optimizer)
    at_once = recipe(None, criterion=Magnitude(), rewind_step="10it", rewind=Weights(optimizer_state="kept"))
    found, expected = last(one, recipe(Gradual(every="10it", last="10it"))), last(one, at_once)
    assert digest(found.trained) == digest(expected.trained)
    assert tensors.digest(found.trained.masks) == tensors.digest(expected.trained.masks)


def test_the_ticket_is_the_final_masks_on_what_the_fit_began_from():
    one = training(6)
    level = last(one, recipe(Gradual(every="3it")))
    expected = m.apply(one.initial(), level.trained.masks)
    assert tensors.digest(level.trained.origin.weights) == tensors.digest(expected)


def test_the_early_stop_step_is_among_networks_as_sparse_as_the_last():
    one = training(7, evaluate_every="1it", lr=Constant(base=0.5))
    trained = last(one, recipe(Gradual(every="3it"), sparsity=0.9)).trained
    step = early_stop_step(trained.history, one.judge)
    assert step == trained.best.step if trained.best else trained.stop
    assert step >= max(Gradual(every="3it").steps(25, one.clock))
    (row,) = [row for row in trained.history if row["step"] == step]
    found = one.evaluate(trained.at(step), {}, ["val"])
    assert found["val/loss"] == pytest.approx(row["val/loss"], rel=1e-5)


def test_masks_change_in_a_fine_tuning_behind_the_end_of_the_clock():
    one = training(8)
    level = last(one, recipe(Gradual(every="2it"), prune_from="dense", rewind=FineTune(length="2ep")))
    assert level.trained.start == 25
    assert level.remaining == kept_count(level.prunable, 0.6)


@pytest.mark.parametrize("kind", ["gradual", "set", "movement", "soft_movement", "ac_dc"])
def test_a_module_of_ones_own_is_trained_with_dynamics(kind):
    one = Training(Regression, Numbers(), "21it", 0, metric="mse", direction="min")
    level = last(one, recipe(DYNAMICS[kind]))
    assert level.remaining == kept_count(level.prunable, 0.6)
    assert (level.trained.history[0]["density"] > level.density) == DYNAMICS[kind].prunes


def test_dynamics_that_look_at_gradients_need_the_modules_loss_and_say_so_at_once():
    one = Training(Regression, Numbers(), "21it", 0, metric="mse", direction="min")
    with pytest.raises(ValueError, match=r"needs the loss of a batch, and Regression has no method loss"):
        next(levels(recipe(RigL(every="3it")), one))
