"""The classes of this project. Each is chosen by the file of its name in conf/, whose `_target_` is the class."""

import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, TensorDataset


class Curve(pl.LightningDataModule):
    """A noisy curve: x in [−3, 3] to sin(3x) + x/2. Any LightningDataModule will do."""

    def __init__(self, batch_size, noise=0.1):
        super().__init__()
        self.batch_size, self.noise = batch_size, noise

    def _loader(self, seed, examples, shuffle=False):
        generator = torch.Generator().manual_seed(seed)
        x = 6 * torch.rand(examples, 1, generator=generator) - 3
        y = torch.sin(3 * x) + x / 2 + self.noise * torch.randn(x.shape, generator=generator)
        return DataLoader(TensorDataset(x, y), self.batch_size, shuffle=shuffle)

    def train_dataloader(self):
        return self._loader(0, 1000, shuffle=True)  # ltb makes the order a function of (seed, step)

    def val_dataloader(self):
        return self._loader(1, 200)

    def test_dataloader(self):
        return self._loader(2, 500)


class Net(nn.Module):
    """Two hidden layers: x of (batch, 1) to y of (batch, 1)."""

    def __init__(self, width=64):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(1, width), nn.Linear(width, width), nn.Linear(width, 1)

    def forward(self, x):
        return self.last(self.second(self.first(x).tanh()).tanh())


class Regression(pl.LightningModule):
    """Least squares. What is logged under val/ and test/ is in the results."""

    def __init__(self, network, optimizer, learning_rate):
        super().__init__()
        self.network = network  # masks and tickets have its parameters' names
        self.make_optimizer, self.learning_rate = optimizer, learning_rate

    def loss(self, batch):  # what criteria that look at gradients use
        x, y = batch
        return mse_loss(self.network(x), y)

    def training_step(self, batch, index):
        return self.loss(batch)

    def validation_step(self, batch, index):
        self.log("val/loss", self.loss(batch))

    def test_step(self, batch, index):
        self.log("test/mse", self.loss(batch))

    def configure_optimizers(self):
        return self.make_optimizer(self.parameters(), lr=self.learning_rate)
