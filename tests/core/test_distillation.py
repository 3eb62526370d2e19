"""Distillation beside the paper's formula in plain numpy: its value, its gradient, and what it leaves as it was."""

import math

import numpy
import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from ltb.common.step import Step
from ltb.core import tensors
from ltb.core.chain import stages
from ltb.core.loop import levels
from ltb.core.objectives import Distil
from ltb.core.points import Point
from ltb.core.recipe import Recipe
from ltb.core.rewind_rules import EarlyBird
from ltb.core.schedules import Explicit
from ltb.core.stage import settled
from ltb.core.stages import Dense as DenseStage
from ltb.core.teachers import Dense
from tests.training.small import network, training


def softmax(outputs, temperature):
    powers = [math.exp(value / temperature) for value in outputs]
    return [power / sum(powers) for power in powers]


@given(st.integers(0, 10**6), st.sampled_from([0.5, 1.0, 4.0, 20.0]))
def test_the_divergence_is_the_papers(seed, temperature):
    drawn = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    student, teacher = (3 * drawn).requires_grad_(True)
    expected = 0.0
    for ours, theirs in zip(student.tolist(), teacher.tolist(), strict=True):
        p, q = softmax(theirs, temperature), softmax(ours, temperature)
        expected += temperature**2 * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)) / 5
    how = Distil(Dense(), temperature=temperature)
    assert how.divergence(student, teacher).item() == pytest.approx(expected, abs=1e-12)
    # Its gradient is that of the cross-entropy with soft targets: T (q − p) / n (their equation 2).
    (gradient,) = torch.autograd.grad(how.divergence(student, teacher.detach()), student)
    q, p = (numpy.array([softmax(row, temperature) for row in each.tolist()]) for each in (student, teacher))
    assert numpy.allclose(gradient.numpy(), temperature * (q - p) / 5, atol=1e-12)


@given(st.integers(0, 10**6), st.sampled_from([1, -1]), st.sampled_from([(4,), (2, 3)]))
def test_of_pixels_and_tokens_it_is_the_mean_over_places(seed, classes, places):
    shape = (2, 5, 3, *places) if classes == 1 else (2, 5, *places, 3)
    student, teacher = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    flat = [outputs.movedim(classes, -1).reshape(-1, 3) for outputs in (student, teacher)]
    found = Distil(Dense(), classes=classes).divergence(student, teacher)
    assert found.item() == pytest.approx(Distil(Dense()).divergence(*flat).item(), abs=1e-12)
    with pytest.raises(ValueError, match=r"^objective.classes=null: of outputs \(5, "):
        Distil(Dense()).divergence(student, teacher)


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_with_the_loss_it_is_the_weighted_sum_and_running_statistics_stay(alpha):
    one = training(1, dropout=0.0)
    teacher = one.module(Point(one.initial("teacher"), 0), {})
    told = Distil(Dense(), temperature=2.0, alpha=alpha).prepared(one, lambda stage: _Result(teacher))
    module = one.module(Point(one.initial(), 0), {}).train()
    batch = next(iter(one.source.stream(1, 0, 1)))
    before = tensors.weights_of(module.network)
    extra = told(module, batch)
    assert tensors.digest(tensors.weights_of(module.network)) == tensors.digest(before)
    with torch.no_grad():
        loss, ours, theirs = module.loss(batch), module(batch[0]), teacher(batch[0])
        p, q = (functional.softmax(outputs.double() / 2, dim=1) for outputs in (theirs, ours))
        expected = (1 - alpha) * loss + alpha * 4 * (p * (p / q).log()).sum(1).mean()
    assert (loss + extra).item() == pytest.approx(expected.item(), rel=1e-5)


class _Result:
    """What a teacher's stage left."""

    def __init__(self, module):
        self.point = Point(tensors.weights_of(module.network), 0)


def test_the_dense_network_is_trained_first_and_is_not_asked_to_learn_from_itself():
    recipe = Recipe(schedule=Explicit((0.5,)), objective=Distil(Dense()))
    dense, level = stages(recipe, training().clock)
    assert dense == DenseStage()
    assert DenseStage() in level.parents
    found = list(levels(recipe, training(1)))
    plain = list(levels(Recipe(schedule=Explicit((0.5,))), training(1)))
    assert tensors.digest(found[0].trained.point.weights) == tensors.digest(plain[0].trained.point.weights)
    assert tensors.digest(found[1].trained.point.weights) != tensors.digest(plain[1].trained.point.weights)


class Silent(pl.LightningModule):
    """Its loss does not come of its network's outputs."""

    def __init__(self):
        super().__init__()
        self.network = network()

    def loss(self, batch):
        return sum(parameter.square().sum() for parameter in self.parameters())


def test_a_loss_that_comes_of_no_outputs_is_told():
    one = training(1)
    told = Distil(Dense()).prepared(one, lambda stage: _Result(one.module(Point(one.initial(), 0), {})))
    with pytest.raises(ValueError, match="objective=distil: the loss of Silent must come from a call of its network"):
        told(Silent(), next(iter(one.source.stream(1, 0, 1))))
    with pytest.raises(ValueError, match="objective=distil needs the loss of a batch, and Without has no method"):
        told(type("Without", (pl.LightningModule,), {})(), next(iter(one.source.stream(1, 0, 1))))


def test_what_is_not_open_is_settled_as_it_is():
    objective = Distil(Dense())
    level = stages(Recipe(schedule=Explicit((0.5,)), objective=objective), training().clock)[1]
    assert settled(level, lambda stage: None) is level
    rule = Recipe(
        schedule=Explicit((0.5,)), objective=objective, rewind_rule=EarlyBird(every=Step(2), window=2, latest=Step(8))
    )
    found = settled(stages(rule, training().clock)[1], lambda stage: 6)
    assert found.start.found.step == 6
    assert found.objective is objective
