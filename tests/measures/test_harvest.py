"""What dead units free: outputs stay, and the counts are those of a loop by hand."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from ltb.core import masks as m
from ltb.core import tensors
from ltb.core.points import Point
from ltb.core.prunable import prunable
from ltb.core.results import Trained
from ltb.execution.compact import CompactOfGroups
from ltb.measures import Harvest
from ltb.measures.harvest import folded, harvested
from ltb.training import Classification, Constant, Training
from tests.structure.networks import NETWORKS, Classifier, batch, groups
from tests.structure.test_heads import Attending
from tests.training.small import dense, source, training


def ticket(make, seed=0, density=0.2):
    """A network with an unstructured random ticket of so low a density that units die, and with biases that count."""
    generator = torch.Generator().manual_seed(seed)
    network = make()
    weights = tensors.weights_of(network)
    for name, tensor in weights.items():
        if tensor.is_floating_point() and tensor.ndim == 1:
            weights[name] = 0.5 + torch.rand(tensor.shape, generator=generator)
    masks = {name: torch.rand(weights[name].shape, generator=generator) < density for name in prunable(network).names}
    tensors.load(network, weights := m.apply(weights, masks))
    return network.eval(), weights, masks


@pytest.mark.parametrize(
    ("name", "density"), [("mlp", 0.15), ("residual", 0.1), ("conv2", 0.01), ("concatenated", 0.03)]
)
def test_outputs_stay_as_they_are(name, density):
    make, shape = NETWORKS[name]
    of = groups(make(), shape)
    x, _ = batch(shape, 8)
    removed = 0
    for seed in range(5):
        network, _, masks = ticket(make, seed, density)
        with torch.no_grad():
            before = network(x)
            left = folded(Classifier(network).eval(), lambda network=network: network(x), of, masks)
            body = CompactOfGroups(of).enter(small := make().eval(), left)
            body.load(Point(tensors.weights_of(network), 0))
            torch.testing.assert_close(small(x), before, rtol=1e-5, atol=1e-5)
        assert m.nested(left, masks)
        removed += sum(p.numel() for p in network.parameters()) - sum(p.numel() for p in small.parameters())
    assert removed > 0


def test_a_unit_that_nothing_makes_is_folded_into_the_bias_behind_it_and_so_on():
    make, shape = NETWORKS["mlp"]
    of = groups(make(), shape)
    network, weights, _ = ticket(make, density=2.0)
    masks = m.ones(weights, ["fc1.weight", "fc2.weight", "output.weight"])
    masks["fc1.weight"][3] = False  # made by nothing, read by all
    masks["fc2.weight"][2], masks["fc2.weight"][2, 3] = False, True  # made by that unit alone
    tensors.load(network, m.apply(weights, masks))
    x = batch(shape)[0]
    before = network(x)
    left = folded(Classifier(network).eval(), lambda: network(x), of, masks)
    assert not left["fc2.weight"][:, 3].any()
    assert not left["output.weight"][:, 2].any()
    assert sum(int(mask.sum()) for mask in left.values()) == sum(int(mask.sum()) for mask in masks.values()) - 8 - 5
    torch.testing.assert_close(network(x), before)
    unit = functional.relu(weights["fc1.bias"][3])
    bias = weights["fc2.bias"] + torch.where(masks["fc2.weight"][:, 3], weights["fc2.weight"][:, 3], 0) * unit
    torch.testing.assert_close(network.fc2.bias.detach(), bias)


class Padded(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 3, 1), nn.Conv2d(3, 4, 3, padding=1)
        self.output = nn.Linear(4, 5)

    def forward(self, x):
        return self.output(self.second(self.first(x).relu()).mean((2, 3)))


def test_what_padding_makes_uneven_stays():
    of = groups(Padded(), (2, 5, 5))
    network = Padded().eval()
    masks = m.ones(tensors.weights_of(network), prunable(network).names)
    masks["first.weight"][1:] = False
    with torch.no_grad():
        network.first.bias[1:] = torch.tensor([1.0, -1.0])
        network.first.weight[1:] = 0
    x = batch((2, 5, 5))[0]
    left = folded(Classifier(network), lambda: network(x), of, masks)
    assert left["second.weight"].flatten(2).any(2).any(0).tolist() == [True, True, False]


def test_the_measure_counts_what_is_freed():
    one = training(dropout=0.0)
    trained = one.fit(dense(one, stop=10))
    masks = m.ones(trained.point.weights, one.prunable)
    masks["4.weight"][:, :2] = False
    result = Trained(masks, trained.origin, Point(m.apply(trained.point.weights, masks), 10))
    values = one.measure(Harvest(), [result]).values
    assert values.pop("loss_difference") < 1e-5
    # of each unit 6 weights, a bias, two of the norm, 3 weights that read it
    assert values == {"parameters": 111, "left": 111 - 2 * 12, "freed": 2 * 12, "units": 9, "dead_units": 2}


class Alike(Attending):
    """Attention over an example three times."""

    def forward(self, x):
        return super().forward(x[:, None].expand(-1, 3, -1))


def test_heads_that_nothing_reads_are_removed():
    def make():
        return Classification(Alike(), torch.optim.SGD, Constant(base=0.05))

    one = Training(make, source(), "5it", 0)
    weights = one.initial()
    masks = m.ones(weights, one.prunable)
    masks["attention.out_proj.weight"][:, 2:6] = False  # the second and third of four heads, two numbers each
    result = Trained(masks, Point(weights, 0), Point(m.apply(weights, masks), 5))
    values = one.measure(Harvest(), [result]).values
    assert values["loss_difference"] < 1e-5
    assert values["dead_units"] == 2
    assert values["freed"] == 3 * 4 * (8 + 1) + 8 * 4


class Beside(nn.Module):
    """A hidden layer, and one input more that goes past its weights."""

    def __init__(self):
        super().__init__()
        self.hidden, self.output = nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x):
        return self.output((self.hidden(x) + x[:, :1]).relu())


@pytest.mark.parametrize("batch_size", [1, 10])
def test_what_happens_to_be_the_same_in_a_minibatch_is_not_folded(batch_size):
    def make():
        return Classification(Beside(), torch.optim.SGD, Constant(base=0.05))

    data = source(batch_size=batch_size)
    x, _ = data._splits["test"]
    x[:30, 0] = 0.25
    one = Training(make, data, "5it", 0)
    weights = one.initial()
    masks = m.ones(weights, one.prunable)
    masks["hidden.weight"][:3] = False
    point = Point(m.apply(weights, masks), 5)
    small, _, left = harvested(Trained(masks, Point(weights, 0), point), one)
    with torch.no_grad():
        torch.testing.assert_close(small(x), one.module(point, masks)(x))
    assert left["output.weight"].all()


def test_a_network_that_has_become_nan_does_not_agree():
    one = training(dropout=0.0)
    weights = {
        name: tensor * float("nan") if tensor.is_floating_point() else tensor for name, tensor in one.initial().items()
    }
    result = Trained(m.ones(weights, one.prunable), Point(weights, 0), Point(weights, 5))
    assert math.isnan(one.measure(Harvest(), [result]).values["loss_difference"])
