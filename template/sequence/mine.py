"""The classes of this project. Each is chosen by the file of its name in conf/, whose `_target_` is the class."""

import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

TOKENS, TAGS, LENGTH, AGO = 8, 4, 12, 2


class Echo(pl.LightningDataModule):
    """Random sequences of tokens, to be tagged by what stood there two tokens before. Any LightningDataModule will do."""

    def __init__(self, batch_size):
        super().__init__()
        self.batch_size = batch_size

    def _loader(self, seed, examples, shuffle=False):
        x = torch.randint(TOKENS, (examples, LENGTH), generator=torch.Generator().manual_seed(seed))
        return DataLoader(TensorDataset(x, x.roll(AGO, 1) % TAGS), self.batch_size, shuffle=shuffle)

    def train_dataloader(self):
        return self._loader(0, 1000, shuffle=True)  # ltb makes the order a function of (seed, step)

    def val_dataloader(self):
        return self._loader(1, 100)

    def test_dataloader(self):
        return self._loader(2, 300)


class LSTMTagger(nn.Module):
    """Tokens of (batch, length) to scores of (batch, length, tags). Embeddings are pruned with prunable.embeddings=true."""

    def __init__(self, width=16):
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, width)
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.output = nn.Linear(width, TAGS)

    def forward(self, x):
        return self.output(self.lstm(self.embedding(x))[0])


class Tagging(pl.LightningModule):
    """A tag for each token, but for the first two. What is logged under val/ and test/ is in the results."""

    def __init__(self, network, optimizer, learning_rate):
        super().__init__()
        self.network = network  # masks and tickets have its parameters' names
        self.make_optimizer, self.learning_rate = optimizer, learning_rate

    def loss(self, batch):  # what criteria that look at gradients use
        x, y = batch
        return cross_entropy(self.network(x)[:, AGO:].flatten(0, 1), y[:, AGO:].flatten())

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
        right = self.network(x).argmax(2) == y
        self.log(f"{split}/loss", self.loss(batch))
        self.log(f"{split}/accuracy", right[:, AGO:].float().mean())
