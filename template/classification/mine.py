"""The classes of this project. Each is chosen by the file of its name in conf/, whose `_target_` is the class."""

import math
from dataclasses import dataclass

import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import ltb


@dataclass(frozen=True, kw_only=True)
class Waves(ltb.InMemory):
    """Noisy waves of one to four periods. ltb holds out a validation set, and batches and standardises what `read` returns."""

    SHAPE, CLASSES, EXAMPLES = (40,), 4, (1200, 1000)  # of one example; all; in the training and the test set
    noise: float = 1.0

    def read(self):
        generator = torch.Generator().manual_seed(0)
        y = torch.arange(2200) % 4
        phase = 6 * torch.rand(2200, 1, generator=generator)
        x = torch.sin((1 + y[:, None]) * torch.linspace(0, 6, 40) + phase)
        x = x + self.noise * torch.randn(x.shape, generator=generator)
        return (x[:1200], y[:1200]), (x[1200:], y[1200:])


class Tiny(nn.Module):
    """One hidden layer: x of (batch, *shape) to scores of (batch, classes)."""

    def __init__(self, shape, classes, width=64):
        super().__init__()
        self.hidden = nn.Linear(math.prod(shape), width)
        self.output = nn.Linear(width, classes)

    def forward(self, x):
        return self.output(self.hidden(x.flatten(1)).relu())


@dataclass(frozen=True)
class Growth(ltb.Criterion):
    """w² − w₀²: what gained most in its square since the rewind step is kept. Frozen: its fields name what is stored."""

    def __call__(self, weights, evidence):
        return {name: w**2 - evidence.start[name] ** 2 for name, w in weights.items()}


class Classifier(pl.LightningModule):
    """Any LightningModule: what it logs under val/ and test/ is in the results."""

    def __init__(self, network, optimizer, learning_rate):
        super().__init__()
        self.network = network  # masks and tickets have its parameters' names
        self.make_optimizer, self.learning_rate = optimizer, learning_rate

    def forward(self, x):
        return self.network(x)

    def loss(self, batch):  # what criteria that look at gradients use
        x, y = batch
        return cross_entropy(self(x), y)

    def training_step(self, batch, index):
        return self.loss(batch)

    def validation_step(self, batch, index):
        self._log("val", batch)

    def test_step(self, batch, index):
        self._log("test", batch)

    def configure_optimizers(self):
        return self.make_optimizer(self.parameters(), lr=self.learning_rate)

    def _log(self, split, batch):
        x, y = batch
        self.log(f"{split}/loss", self.loss(batch))
        self.log(f"{split}/accuracy", (self(x).argmax(1) == y).float().mean())
