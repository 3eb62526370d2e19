"""Hints beside the papers' formulas in plain numpy, and what they are refused for."""

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ltb.core.objectives import Attention, Distil, Features
from ltb.core.objectives.hints import listened
from ltb.core.points import Point
from ltb.core.recipe import Recipe
from ltb.core.schedules import Explicit
from ltb.core.teachers import Dense
from ltb.execution import Compact
from ltb.structure import DependencyGraph
from ltb.training import Classification, Constant, Training
from tests.training.small import source, training


def drawn(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(st.integers(0, 10**6), st.sampled_from([(5,), (3, 4), (3, 4, 2)]))
def test_features_are_half_the_squared_distance_an_example(seed, shape):
    a, b = drawn(seed, 2, 6, *shape)
    expected = sum(0.5 * numpy.sum((x - y) ** 2) for x, y in zip(a.numpy(), b.numpy(), strict=True)) / 6
    assert Features({"one": 1.0}).distance(a, b).item() == pytest.approx(expected)


@given(st.integers(0, 10**6), st.integers(1, 4), st.sampled_from([(4,), (3, 5)]))
def test_attention_is_where_channels_are_large_whatever_their_number(seed, channels, places):
    a, b = drawn(seed, 6, channels, *places), drawn(seed + 1, 6, 3, *places)

    def attended(example):
        summed = sum(channel**2 for channel in example).ravel()
        return summed / numpy.sqrt(numpy.sum(summed**2))

    pairs = zip(a.numpy(), b.numpy(), strict=True)
    expected = sum(0.5 * numpy.sqrt(numpy.sum((attended(x) - attended(y)) ** 2)) for x, y in pairs) / 6
    hint = Attention({"one": 1.0})
    assert hint.distance(a, b).item() == pytest.approx(expected)
    assert hint.distance(3 * a, b).item() == pytest.approx(expected)  # not how large


def test_maps_that_are_equal_or_zero_have_a_gradient():
    a = drawn(1, 2, 3, 4).requires_grad_(True)
    for other in (a.detach(), torch.zeros_like(a)):
        (gradient,) = torch.autograd.grad(Attention({"one": 1.0}).distance(a, other), a)
        assert gradient.isfinite().all()


@pytest.mark.parametrize("strength", [0.5, 3.0])
def test_hints_are_added_to_what_is_distilled_and_only_the_student_learns(strength):
    one = training(1, dropout=0.0)
    teacher = one.module(Point(one.initial("teacher"), 0), {})
    module = one.module(Point(one.initial(), 0), {}).train()
    batch = next(iter(one.source.stream(1, 0, 1)))

    def told(hints):
        how = Distil(Dense(), hints=hints)
        return how.prepared(one, lambda stage: type("Result", (), {"point": Point(one.initial("teacher"), 0)}))

    extra = told(Features({"0": strength, "4": 2.0}))(module, batch) - told(None)(module, batch)
    with torch.no_grad():
        first = [each.network[0](batch[0]) for each in (module, teacher)]
        last = [each.network(batch[0]) for each in (module, teacher)]
    expected = [((a - b).double() ** 2).sum().item() / 2 / len(a) for a, b in (first, last)]
    assert extra.item() == pytest.approx(strength * expected[0] + 2.0 * expected[1], rel=1e-4)
    extra.backward()
    assert module.network[0].weight.grad.abs().sum() > 0


def test_an_activation_in_place_does_not_change_what_was_heard():
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True))
    x = drawn(0, 5, 3).float()
    with listened(network, ["0"]) as heard:
        network(x)
        network(x)
    (once, twice) = heard["0"]
    assert torch.equal(once, network[0](x))
    assert torch.equal(once, twice)
    assert not network[0]._forward_hooks


def test_the_first_of_several_outputs_counts():
    network = nn.Sequential(nn.LSTM(3, 4))
    with listened(network, ["0"]) as heard:
        outputs, _ = network(drawn(0, 5, 2, 3).float())
    assert torch.equal(heard["0"][0], outputs)


@pytest.mark.parametrize(
    ("hint", "said"),
    [
        (Features({"hidden": 1.0}), r"^objective.hints.layers.hidden: the network has no such layer; there are 0, 1, 2, 3, 4$"),
        (Attention({"0": 1.0}), r"^objective.hints.layers.0: its outputs are \(10, 9\), .* \(10, 9\): \(batch, channels, "),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told_before_anything_is_trained(hint, said):
    one = training(1)
    with pytest.raises(ValueError, match=said):
        one.check_one_step(Recipe(schedule=Explicit((0.5,)), objective=Distil(Dense(), hints=hint)))


class Held(nn.Module):
    """A network with a module that is never called."""

    def __init__(self):
        super().__init__()
        self.blocks, self.output = nn.ModuleList([nn.Linear(6, 9)]), nn.Linear(9, 3)

    def forward(self, x):
        return self.output(self.blocks[0](x).relu())


def test_a_layer_that_is_never_called_is_told_before_anything_is_trained():
    def make():
        return Classification(Held(), torch.optim.SGD, Constant(base=0.05))

    one = Training(make, source(), "5it", 0)
    for layers in ({"blocks.0": 1.0}, {"blocks": 1.0}):
        recipe = Recipe(schedule=Explicit((0.5,)), objective=Distil(Dense(), hints=Features(layers)))
        if "blocks.0" in layers:
            one.check_one_step(recipe)
            continue
        with pytest.raises(
            ValueError, match=r"^objective.hints.layers.blocks: it is called 0 times in a pass, and 0 in the teacher's"
        ):
            one.check_one_step(recipe)


@pytest.mark.parametrize("layers", [{}, {"one": 0}, {"one": -1.0}, {"one": float("nan")}, {"one": "a"}, 3])
def test_layers_that_are_none(layers):
    with pytest.raises(ValueError, match=r"^objective\.hints\.layers"):
        Features(layers)


def test_units_that_are_compared_are_not_removed():
    given = {"schedule": Explicit((0.5,)), "execution": Compact(DependencyGraph())}
    with pytest.raises(ValueError, match=r"^execution=Compact removes units that objective=Distil compares"):
        Recipe(**given, objective=Distil(Dense(), hints=Features({"one": 1.0})))
    Recipe(**given, objective=Distil(Dense(), hints=Attention({"one": 1.0})))


def test_the_order_of_layers_does_not_matter():
    assert Features({"a": 1.0, "b": 2.0}) == Features({"b": 2.0, "a": 1.0})
