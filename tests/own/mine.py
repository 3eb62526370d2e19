"""A person's own classes, each with a yaml of its group beside this file."""

import math
from dataclasses import dataclass

import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from ltb.core.criteria import Criterion
from ltb.data.dataset import InMemory


@dataclass(frozen=True)
class Growth(Criterion):
    """w² − w₀²: what gained most in its square since the rewind step is kept."""

    def __call__(self, weights, evidence):
        return {name: w**2 - evidence.start[name] ** 2 for name, w in weights.items()}


class Careless(Criterion):
    """Not a dataclass: what it computes could not be told from its fields, so two runs could be taken for one."""

    def __call__(self, weights, evidence):
        return weights


class Tiny(nn.Module):
    def __init__(self, shape, classes, width=32):
        super().__init__()
        self.hidden = nn.Linear(math.prod(shape), width)
        self.output = nn.Linear(width, classes)

    def forward(self, x):
        return self.output(self.hidden(x.flatten(1)).tanh())


@dataclass(frozen=True, kw_only=True)
class Waves(InMemory):
    """Slow and fast waves; `read` gives a training and a test set, and ltb splits, batches and standardises them."""

    SHAPE, CLASSES, EXAMPLES = (40,), 2, (300, 100)

    def read(self):
        y = torch.arange(400) % 2
        phase = torch.rand(400, 1, generator=torch.Generator().manual_seed(0))
        x = torch.sin((1 + y[:, None]) * torch.linspace(0, 6, 40) + 6 * phase)
        return (x[:300], y[:300]), (x[300:], y[300:])


class Sine(pl.LightningDataModule):
    def __init__(self, batch_size, shape=(1,), classes=1):
        super().__init__()
        self.batch_size = batch_size

    def _loader(self, seed, count, shuffle=False):
        x = 6 * torch.rand(count, 1, generator=torch.Generator().manual_seed(seed))
        return DataLoader(TensorDataset(x, x.sin()), self.batch_size, shuffle=shuffle)

    def train_dataloader(self):
        return self._loader(0, 200, shuffle=True)

    def val_dataloader(self):
        return self._loader(1, 50)

    def test_dataloader(self):
        return self._loader(2, 50)


class Regression(pl.LightningModule):
    def __init__(self, network, learning_rate):
        super().__init__()
        self.network, self.learning_rate = network, learning_rate

    def error(self, batch):
        x, y = batch
        return nn.functional.mse_loss(self.network(x), y)

    def training_step(self, batch, index):
        return self.error(batch)

    def validation_step(self, batch, index):
        self.log("val/loss", self.error(batch))

    def test_step(self, batch, index):
        self.log("test/mse", self.error(batch))

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), self.learning_rate)


class Alone(Regression):
    """A module that makes its own network: no model is chosen."""

    def __init__(self):
        super().__init__(Tiny([1], 1), 1e-2)
