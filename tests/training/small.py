"""Small networks, data and modules for the laws: batch norm, dropout, and a person's own module and datamodule."""

from functools import partial

import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn import functional

from ltb.core import masks as m
from ltb.core import tensors
from ltb.core.measure import Evaluate
from ltb.core.points import Fit, Point
from ltb.data.source import TensorSource
from ltb.training import Classification, Constant, Training

OPTIMIZERS = {
    "sgd": partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=1e-2, fused=True),
    "nesterov": partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True),
    "adam": partial(torch.optim.Adam, lr=0.1, fused=True),
    "adamw": partial(torch.optim.AdamW, lr=0.1, weight_decay=0.1),
}


def source(examples=70, batch_size=10, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def split(count):
        x = torch.randn(count, 6, generator=generator)
        return x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long()

    splits = {"train": split(examples), "val": split(30), "test": split(40)}
    return TensorSource(splits, classes=3, batch_size=batch_size, mean=[0.0], std=[1.0])


def network(dropout=0.2):
    return nn.Sequential(nn.Linear(6, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Dropout(dropout), nn.Linear(9, 3))


def two_layers():
    """A network that a plain loop can follow."""
    network = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3))
    nn.init.uniform_(network[0].bias)
    return network


def classes():
    """The module of `two_layers`, trained by SGD with momentum and weight decay."""
    return Classification(two_layers(), partial(torch.optim.SGD, momentum=0.9, weight_decay=1e-2), Constant(base=0.2))


def training(seed=0, length="25it", *, optimizer="sgd", lr=None, dropout=0.2, of=None, module=None, **given):
    def make():
        return Classification(
            network(dropout), without_rate(OPTIMIZERS[optimizer]), lr or Constant(base=0.05), **(module or {})
        )

    return Training(make, of or source(), length, seed, **given)


def without_rate(optimizer):
    """The learning rate is the schedule's in a `Classification`."""
    return partial(optimizer.func, **{key: value for key, value in optimizer.keywords.items() if key != "lr"})


def metrics(of, trained):
    """What the module logs of a trained network."""
    metric, direction = of.judge
    return of.measure(Evaluate(metric=metric, direction=direction), [trained]).values


def dense(of, start=0, stop=None, weights=None, optimizer=None):
    """A fit of the whole network, from the initialisation to the end unless told."""
    weights = of.initial() if weights is None else weights
    return Fit.of(m.ones(weights, of.prunable), Point(weights, start, optimizer), stop or of.clock.length)


def digest(trained):
    """What a fit left, weights and optimizer state, as hashes."""
    return tensors.digest(trained.point.weights), tensors.digest(trained.point.optimizer)


class Regression(pl.LightningModule):
    """A person's own module: one minibatch a step, automatic optimization, a scheduler of its own."""

    def __init__(self, interval="epoch", gamma=0.5, optimizer="sgd"):
        super().__init__()
        self.layers = network(dropout=0.0)
        self.head = nn.Linear(3, 1)
        self.interval, self.gamma, self.optimizer = interval, gamma, optimizer
        self.seen = []

    def forward(self, x):
        return self.head(self.layers(x)).squeeze(1)

    def training_step(self, batch, index):
        x, y = batch
        self.seen.append((self.current_epoch, self.trainer.optimizers[0].param_groups[0]["lr"], x.clone()))
        noise = 0.01 * torch.randn_like(x)  # draws from the global generator
        loss = functional.mse_loss(self(x + noise), y)
        self.log("train/loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, index):
        x, y = batch
        self.log("val/mse", functional.mse_loss(self(x), y))

    def test_step(self, batch, index):
        x, y = batch
        self.log("test/mse", functional.mse_loss(self(x), y))

    def configure_optimizers(self):
        optimizer = OPTIMIZERS[self.optimizer](self.parameters())
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, self.gamma)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": self.interval}}


class Numbers(pl.LightningDataModule):
    """A person's own datamodule, shuffled by torch's DataLoader."""

    def __init__(self, batch_size=10, examples=70):
        super().__init__()
        self.batch_size, self.examples = batch_size, examples

    def setup(self, stage):
        x = torch.randn(self.examples + 60, 6, generator=torch.Generator().manual_seed(0))
        self.data = torch.utils.data.TensorDataset(x, x.sum(1))

    def _loader(self, indices, shuffle=False):
        subset = torch.utils.data.Subset(self.data, indices)
        return torch.utils.data.DataLoader(subset, self.batch_size, shuffle=shuffle)

    def train_dataloader(self):
        return self._loader(range(self.examples), shuffle=True)

    def val_dataloader(self):
        return self._loader(range(self.examples, self.examples + 30))

    def test_dataloader(self):
        return self._loader(range(self.examples + 30, self.examples + 60))
