"""Quantised networks: training on a grid as plain loops have it, dead weights dead, and a kill that changes no byte."""

import math
from dataclasses import replace

import numpy
import pytest
import torch

from ltb.common.step import Step
from ltb.core import tensors
from ltb.core.chain import stages
from ltb.core.controls import Shuffle
from ltb.core.loop import Loop, Recent, levels
from ltb.core.objectives import L1, L2
from ltb.core.points import Fit, Point
from ltb.core.recipe import Recipe
from ltb.core.schedules import Explicit
from ltb.core.stages import Converted, Dense, Sparse
from ltb.execution import Int4, Int8, Shared
from ltb.training import Training
from tests.training.small import classes, digest, source, training
from tests.training.test_fit import Kept, Killed

TRAINED = [Int8(length=Step(6)), Int4(length=Step(6), group=16), Shared(length=Step(6), bits=3)]


def ticket(of, execution, density=0.5):
    """A fit of six iterations from the end of the clock, under masks of a density."""
    weights = of.initial()
    generator = torch.Generator().manual_seed(0)
    masks = {name: torch.rand(weights[name].shape, generator=generator) < density for name in of.prunable}
    return Fit.of(masks, Point(weights, of.clock.length), of.clock.length + 6, execution=execution)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("execution", TRAINED, ids=lambda one: type(one).__name__)
def test_what_it_trained_is_on_the_grid_and_dead_is_dead(execution, optimizer):
    one = training(2, optimizer=optimizer, length="12it")
    fit = ticket(one, execution)
    found = one.fit(fit)
    for name, mask in fit.masks.items():
        weight = found.point.weights[name]
        assert torch.equal(execution.on_grid(weight, mask), weight)
        assert not torch.equal(weight, execution.on_grid(fit.origin.weights[name], mask))  # it was trained
        assert not weight[~mask].any()
        state = [value for key, value in found.point.optimizer.items() if name in key and value.shape == mask.shape]
        assert state
        assert not any(value[~mask].any() for value in state)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("execution", TRAINED, ids=lambda one: type(one).__name__)
def test_a_fit_that_is_killed_at_any_evaluation_goes_on_to_the_same_bytes(tmp_path, execution, optimizer):
    one = training(2, optimizer=optimizer, evaluate_every="1it", length="12it")
    fit = ticket(one, execution)
    whole = one.fit(fit)
    for left in (1, 3, 5):
        path = tmp_path / f"{left}.safetensors"
        with pytest.raises(Killed):
            one.fit(fit, checkpoints=Kept(path, left))
        assert digest(one.fit(fit, checkpoints=Kept(path, -1))) == digest(whole)


# A plain loop in numpy, backward pass included


def rounded(weight):
    """To 8 bits, row by row, at scales of 16 significant bits."""
    found = numpy.zeros_like(weight)
    for row, its in enumerate(weight):
        if its.any():
            mantissa, exponent = math.frexp(abs(its).max() / 127)
            scale = math.ldexp(math.ceil(mantissa * 65536) / 65536, exponent)
            found[row] = numpy.round(its / scale) * scale
    return found


def backward(w1, b1, w2, b2, x, y):
    """The gradients of softmax cross-entropy: of w1, b1, w2, b2."""
    z = x @ w1.T + b1
    a = numpy.maximum(z, 0)
    logits = a @ w2.T + b2
    p = numpy.exp(logits - logits.max(1, keepdims=True))
    d = p / p.sum(1, keepdims=True)
    d[numpy.arange(len(y)), y] -= 1
    d /= len(y)
    e = (d @ w2) * (z > 0)
    return e.T @ x, e.sum(0), d.T @ a, d.sum(0)


def reference(fit, batches, grid, sums):
    """Weights after SGD with momentum and weight decay; `grid` says what is computed with, `sums` changes a weight's gradient."""
    names = ("0.weight", "0.bias", "2.weight", "2.bias")
    floats = {name: fit.origin.weights[name].numpy().copy() for name in names}
    speed = {name: numpy.zeros_like(value) for name, value in floats.items()}
    masks = {name: mask.numpy() for name, mask in fit.masks.items()}
    for x, y in batches:
        used = {name: grid(value) if name in masks else value for name, value in floats.items()}
        gradients = dict(zip(names, backward(*used.values(), x.double().numpy(), y.numpy()), strict=True))
        for name in names:
            if name in masks:
                gradients[name] = sums(gradients[name] * masks[name], used[name], masks[name])
            speed[name] = 0.9 * speed[name] + gradients[name] + 1e-2 * floats[name]
            floats[name] = floats[name] - 0.2 * speed[name]
            if name in masks:
                floats[name] *= masks[name]
    return {name: grid(value) if name in masks else value for name, value in floats.items()}


def together(gradient, values, mask):
    """The gradient of each kept weight as the sum over all of its layer that are equal to it."""
    found = numpy.zeros_like(gradient)
    for value in numpy.unique(values[mask]):
        its = mask & (values == value)
        found[its] = gradient[its].sum()
    return found


@pytest.mark.parametrize(
    ("execution", "grid", "sums"),
    [
        (Int8(length=Step(6)), rounded, lambda gradient, values, mask: gradient),
        (Shared(length=Step(6), bits=2), lambda weight: weight, together),
    ],
    ids=["int8", "shared"],
)
def test_a_plain_float64_loop_comes_to_the_same_weights(execution, grid, sums):
    one = Training(classes, source(), "12it", 3, trainer={"precision": "64-true"})
    fit = ticket(one, execution)
    found = one.fit(fit).point.weights
    expected = reference(fit, one.source.stream(3, 12, 18), grid, sums)
    for name, value in expected.items():
        assert numpy.allclose(found[name].numpy(), value, rtol=1e-9, atol=1e-12), name


# In a recipe


@pytest.mark.parametrize("execution", [Int8(), Int4(), Shared(bits=3)], ids=lambda one: type(one).__name__)
def test_after_training_each_level_is_the_trained_one_on_the_grid_and_the_chain_is_as_it_was(execution):
    one, memory = training(1, length="12it"), Recent()
    plain = list(levels(Recipe(schedule=Explicit((0.3, 0.6))), one, memory))
    found = list(levels(Recipe(schedule=Explicit((0.3, 0.6)), execution=execution), one, memory))
    for ours, theirs in zip(found, plain, strict=True):
        masks = theirs.trained.masks
        assert tensors.digest(ours.trained.masks) == tensors.digest(masks)
        assert ours.trained.start == ours.trained.stop == theirs.trained.stop
        for name, weight in theirs.trained.point.weights.items():
            expected = execution.on_grid(weight, masks[name]) if name in masks else weight
            assert torch.equal(ours.trained.point.weights[name], expected)


def test_a_control_is_quantised_as_a_ticket_is():
    chain = stages(Recipe(schedule=Explicit((0.5,)), control=Shuffle(), execution=Int8()), training().clock)
    assert [type(stage) for stage in chain] == [Converted, Converted]
    assert [type(stage.source) for stage in chain] == [Dense, Sparse]
    assert [(stage.broken_by, stage.pruned_to) for stage in chain] == [("none", None), ("shuffle", 0.5)]


def test_the_dense_network_alone_may_be_quantised_and_lengths_are_checked():
    recipe = Recipe(schedule=Explicit(()), execution=Int8(length=Step(1, "ep")))
    (stage,) = stages(recipe, training().clock)
    assert stage.iterations(training().clock) == 7
    assert stage.ends(training().clock) == 25 + 7


def test_what_is_trained_on_is_trained_on_under_the_levels_objective():
    chain = stages(
        Recipe(schedule=Explicit((0.5,)), objective=L1(1e-3), dense_objective=L2(1e-3), execution=Int4(length=Step(5))),
        training().clock,
    )
    assert [stage.objective for stage in chain] == [L2(1e-3), L1(1e-3)]
    after = stages(Recipe(schedule=Explicit((0.5,)), objective=L1(1e-3), execution=Int4()), training().clock)
    assert [stage.objective for stage in after] == [None, None]
    one = training(1, length="12it")
    (_, stage) = stages(Recipe(schedule=Explicit((0.5,)), objective=L1(0.1), execution=Int4(length=Step(5))), one.clock)
    found, plain = (Loop(one, Recent()).result(each) for each in (stage, replace(stage, objective=None)))
    assert found.stop == plain.stop == 17
    assert tensors.digest(found.origin.weights) == tensors.digest(plain.origin.weights)
    assert tensors.digest(found.point.weights) != tensors.digest(plain.point.weights)
