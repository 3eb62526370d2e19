"""SynFlow: the conservation of flow, an independent loop, and no layer that collapses."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ltb.common.step import Clock
from ltb.core import masks as m
from ltb.core.chain import stages
from ltb.core.criteria import Snip, Synflow
from ltb.core.loop import Loop, Recent
from ltb.core.recipe import Recipe
from ltb.core.results import Trained
from ltb.core.schedules import Explicit
from ltb.core.stages import Start
from ltb.core.tensors import load, weights_of
from tests.core.criteria.small import Learner, batches, mlp, scores


@settings(max_examples=20, deadline=None)
@given(widths=st.lists(st.integers(2, 9), min_size=3, max_size=8), seed=st.integers(0, 1000), bias=st.booleans())
def test_every_layer_has_the_same_flow(widths, seed, bias):
    network = mlp(*widths, seed=seed, bias=bias)
    sums = [float(score.sum()) for score in scores(Synflow(), network, batches(network)).values()]
    assert sums == pytest.approx([sums[0]] * len(sums), rel=1e-10)


def test_the_statistics_of_batches_and_signs_do_not_count_and_the_data_neither():
    network = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))
    data = batches(network)
    fresh = scores(Synflow(), network, data)
    network.double()(torch.randn(50, 4).double() + 3)  # running statistics move
    network.float()
    with torch.no_grad():
        network[0].weight.mul_(torch.where(torch.rand(6, 4) < 0.5, -1.0, 1.0))
    again = scores(Synflow(), network, batches(network, seed=5))
    assert all(torch.equal(fresh[name], again[name]) and fresh[name].dtype == torch.float64 for name in fresh)


class Still:
    """The training of a network that is never trained."""

    def __init__(self, network, data):
        self.network, self.data, self.seed = network, data, 0
        self.clock = Clock(1, 1)
        self.prunable = tuple(name for name, w in weights_of(network).items() if w.dim() > 1)
        self.seen = []

    def initial(self, purpose="init"):
        return weights_of(self.network)

    def fit(self, fit, **given):
        return Trained(fit.masks, fit.origin, fit.origin)

    def probe(self, probe, weights, masks):
        self.seen.append(m.remaining(masks))
        before = weights_of(self.network)
        load(self.network, m.apply(weights, masks))
        found = probe(Learner(self.network), lambda: iter(self.data))
        load(self.network, before)
        return found


def pruned(training, criterion, target):
    recipe = Recipe(schedule=Explicit((target,)), prune_from="start", criterion=criterion)
    (_, level), loop = stages(recipe, training.clock), Loop(training, Recent())
    start = loop.result(Start(0))
    return level.prune(loop, start.point, start.point, start.masks)


def plain_synflow(layers, sparsity, rounds):
    """Algorithm 1 of Tanaka et al. 2020 for linear layers without biases, in float64, by products of matrices."""
    layers = [layer.double().abs() for layer in layers]
    masks, total = [torch.ones_like(layer) for layer in layers], sum(layer.numel() for layer in layers)
    for index in range(1, rounds + 1):
        held = [layer * mask for layer, mask in zip(layers, masks, strict=True)]
        forward = [torch.ones(layers[0].shape[1], dtype=torch.float64)]
        for layer in held:
            forward.append(layer @ forward[-1])
        backward = [torch.ones(layers[-1].shape[0], dtype=torch.float64)]
        for layer in reversed(held):
            backward.append(layer.T @ backward[-1])
        flow = [layer * torch.outer(backward[-2 - i], forward[i]) for i, layer in enumerate(held)]
        keep = total - round(total * (1 - (1 - sparsity) ** (index / rounds)))
        order = torch.cat([one.flatten() for one in flow]).argsort(descending=True)
        kept = torch.zeros(total, dtype=torch.float64)
        kept[order[:keep]] = 1
        masks = [
            one.reshape(layer.shape) for one, layer in zip(kept.split([x.numel() for x in layers]), layers, strict=True)
        ]
    return masks


@pytest.mark.parametrize("sparsity", [0.5, 0.9])
def test_its_masks_are_those_of_an_independent_loop(sparsity):
    network = mlp(7, 9, 8, 5, bias=False)
    training = Still(network, batches(network))
    found = pruned(training, Synflow(rounds=20), sparsity)
    expected = plain_synflow(list(weights_of(network).values()), sparsity, 20)
    assert len(training.seen) == 20
    assert all(torch.equal(one, other.bool()) for one, other in zip(found.values(), expected, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_synflow_loses_no_layer_where_one_shot_snip_does_and_snip_in_rounds_is_in_between(seed):
    """Nine layers of 81,000 weights; at 99.9 % 81 stay. Tanaka et al. 2020, section 5."""
    network = mlp(*[100] * 9, 10, seed=seed)
    for layer in network[::2]:
        nn.init.kaiming_normal_(layer.weight)
    training = Still(network, batches(network, 1, 100))

    def loses(criterion, sparsity):
        return bool(m.collapsed(pruned(training, criterion, sparsity)))

    assert [loses(one, 0.999) for one in (Snip(), Snip(rounds=10), Synflow())] == [True, False, False]
    assert [loses(one, 1 - 12 / 81_000) for one in (Snip(rounds=10), Synflow())] == [True, False]


def test_within_the_rounds_of_force_weights_return_and_every_count_is_exact():
    network = mlp(10, 20, 20, 4)
    total = sum(w.numel() for w in weights_of(network).values() if w.dim() > 1)
    expected = [total - round(total * (1 - 0.05 ** (index / 10))) for index in range(10)]
    masks = {}
    for regrows in (False, True):
        training = Still(network, batches(network))
        criterion = Snip(batches=3, rounds=10, regrows=regrows)
        rounds = []
        probe = training.probe

        def seeing(asked, weights, masks, probe=probe, rounds=rounds):
            rounds.append(masks)
            return probe(asked, weights, masks)

        training.probe = seeing
        rounds.append(pruned(training, criterion, 0.95))
        assert [m.remaining(one) for one in rounds] == [*expected, total - round(total * 0.95)]
        nested = [m.nested(later, earlier) for earlier, later in itertools.pairwise(rounds)]
        assert all(nested) is not regrows
        masks[regrows] = rounds[-1]
    assert not m.nested(masks[True], masks[False])


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(5, 3)

    def forward(self, x):
        return self.table(x)


@pytest.mark.parametrize(
    ("network", "batch", "said"),
    [
        (Tokens(), (torch.zeros(2, 3, dtype=torch.long), None), "tensor of floats; here it is torch.int64"),
        (nn.Linear(4, 3), {"x": torch.ones(2, 4)}, "tensor of floats; here it is dict"),
        (nn.Linear(4, 3), (torch.ones(2, 5), None), r"Linear must take an input of shape \(1, 5\)"),
        (nn.LSTM(4, 3), (torch.ones(2, 4), None), "LSTM must return a tensor; it is a tuple"),
    ],
    ids=["tokens", "mapping", "shape", "tuple"],
)
def test_a_network_without_an_input_of_ones_is_one_line(network, batch, said):
    with pytest.raises(ValueError, match=said) as raised:
        Synflow().probe(Learner(network), lambda: iter([batch]))
    assert "\n" not in str(raised.value)
