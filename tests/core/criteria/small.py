"""Networks with a loss, in float64, and what a criterion says of them."""

import itertools

import torch
from torch import nn
from torch.nn import functional

from ltb.core import masks as m
from ltb.core import tensors
from ltb.core.criteria import Evidence


class Learner(nn.Module):
    """A network with the contract's loss: cross-entropy."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def loss(self, batch):
        x, y = batch
        return functional.cross_entropy(self.network(x), y)


def mlp(*widths, seed=0, bias=True):
    torch.manual_seed(seed)
    layers = [layer for a, b in itertools.pairwise(widths) for layer in (nn.Linear(a, b, bias=bias), nn.ReLU())]
    return nn.Sequential(*layers[:-1]).double()


def batches(network, count=3, size=5, seed=0):
    features, classes = network[0].in_features, network[-1].out_features
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, size, features, generator=generator, dtype=torch.float64)
    y = torch.randint(classes, (count, size), generator=generator)
    return list(zip(x, y, strict=True))


def weights_of(network):
    """The prunable weights: a copy."""
    return {name: w for name, w in tensors.weights_of(network).items() if w.dim() > 1}


def scores(criterion, network, data, start=None, masks=None):
    """What `criterion` says of a network, whose weights stay as they are."""
    whole = tensors.weights_of(network)
    gathered = {}
    if criterion.probe is not None:
        with torch.no_grad():
            tensors.load(network, m.apply(whole, masks or {}))
        gathered = criterion.probe(Learner(network), lambda: iter(data))
        tensors.load(network.to(next(iter(whole.values())).dtype), whole)
    return criterion(weights_of(network), Evidence(0, start or {}, gathered))
