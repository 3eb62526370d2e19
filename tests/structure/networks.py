"""Networks whose channels are coupled in the ways that there are, and a module around one that has a loss."""

import torch
from torch import nn
from torch.nn import functional

from ltb.core.units import groups_of
from ltb.models import MLP, ConvN, ResNetCIFAR
from ltb.structure import DependencyGraph

CLASSES = 5


class Classifier(nn.Module):
    """A module with a loss, as ltb asks for one."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def loss(self, batch):
        return functional.cross_entropy(self.network(batch[0]), batch[1])


class Residual(nn.Module):
    """Two linear layers of which one reads and makes the same units, and a norm over the features of another."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 8)
        self.norm, self.third = nn.LayerNorm(7), nn.Linear(8, 7)
        self.fourth, self.output = nn.Linear(7, 4), nn.Linear(4, CLASSES)

    def forward(self, x):
        x = self.first(x)
        x = self.norm(self.third(x + torch.sigmoid(self.second(x))))
        return self.output(torch.tanh(self.fourth(x)))


class Concatenated(nn.Module):
    """A convolution and a depthwise one side by side, batch-normalised together, flattened; and one in two groups before."""

    def __init__(self):
        super().__init__()
        self.grouped = nn.Conv2d(4, 8, 3, padding=1, groups=2)
        self.left, self.right = nn.Conv2d(8, 6, 3, padding=1), nn.Conv2d(8, 3, 1)
        self.depthwise = nn.Conv2d(3, 3, 3, padding=1, groups=3)
        self.norm, self.act = nn.BatchNorm2d(9), nn.PReLU(9)
        self.output = nn.Linear(9 * 16, CLASSES)

    def forward(self, x):
        x = self.grouped(x)
        x = torch.cat([self.left(x), self.depthwise(self.right(x))], 1)
        return self.output(self.act(self.norm(x)).flatten(1))


class Grouped(nn.Module):
    """A block of ResNeXt: a convolution in four groups between two of one place, beside a residual."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(4, 8, 1)
        self.first, self.norm1 = nn.Conv2d(8, 24, 1, bias=False), nn.BatchNorm2d(24)
        self.grouped, self.norm2 = nn.Conv2d(24, 16, 3, padding=1, groups=4), nn.BatchNorm2d(16)
        self.last, self.output = nn.Conv2d(16, 8, 1), nn.Linear(8, CLASSES)

    def forward(self, x):
        x = self.stem(x)
        inner = self.norm1(self.first(x)).relu()
        inner = self.norm2(self.grouped(inner)).relu()
        return self.output((x + self.last(inner)).mean((2, 3)))


# name -> (network, shape of an example)
NETWORKS = {
    "mlp": (lambda: MLP([6], CLASSES, [9, 8]), (6,)),
    "residual": (Residual, (6,)),
    "concatenated": (Concatenated, (4, 4, 4)),
    "grouped": (Grouped, (4, 4, 4)),
    "conv2": (lambda: ConvN([3, 8, 8], CLASSES, 2), (3, 8, 8)),
    "resnet20": (lambda: ResNetCIFAR([3, 8, 8], CLASSES, 20), (3, 8, 8)),
}


def batch(shape, count=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, *shape, generator=generator), torch.randint(0, CLASSES, (count,), generator=generator)


def groups(network, shape):
    """The groups of a network. It is left with other weights than it had."""
    return groups_of(DependencyGraph()(Classifier(network), lambda: iter([batch(shape)])))
