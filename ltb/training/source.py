"""Where minibatches come from, as training sees it; and a person's own LightningDataModule as such a source."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy
import pytorch_lightning as pl
import torch

from ltb.core.seeds import derive
from ltb.training.random_state import seed_generators


class Source(Protocol):
    """Minibatches as a function of (seed, step): step s belongs to epoch s // epoch_length.

    `fingerprint` stands for the contents; it is "" where only the configuration is known.
    """

    @property
    def epoch_length(self) -> int: ...

    @property
    def fingerprint(self) -> str: ...

    def stream(self, seed: int, start: int, stop: int) -> Iterable[Any]: ...

    def evaluation(self, split: Any) -> Iterable[Any]: ...


class DataModuleSource:
    """A LightningDataModule whose order and augmentation are made functions of (seed, step).

    The generators of Python, numpy and torch are seeded when an epoch's iterator is made and before each minibatch is
    fetched. A run that starts inside an epoch fetches and drops what lies before it.
    Raises ValueError when the training dataloader has no length or is empty.
    """

    fingerprint = ""

    def __init__(self, datamodule: pl.LightningDataModule) -> None:
        self._datamodule = datamodule
        for hook in ("on_before_batch_transfer", "on_after_batch_transfer", "transfer_batch_to_device"):
            if getattr(type(datamodule), hook) is not getattr(pl.LightningDataModule, hook):
                raise ValueError(
                    f"data: {type(datamodule).__name__}.{hook} would not be called; do it in the module's steps"
                )
        datamodule.prepare_data()
        datamodule.setup("fit")
        datamodule.setup("test")
        try:
            self.epoch_length = len(datamodule.train_dataloader())
        except TypeError:
            raise ValueError("data: the training dataloader has no length, so an epoch of it is not defined") from None
        if self.epoch_length == 0:
            raise ValueError("data: the training dataloader is empty")

    def stream(self, seed: int, start: int, stop: int) -> Iterator[Any]:
        while start < stop:
            epoch, _first = divmod(start, self.epoch_length)
            end = min(stop, (epoch + 1) * self.epoch_length)
            _seed_all(derive(seed, "order", epoch))
            loader = self._datamodule.train_dataloader()
            for owner in (loader, getattr(loader, "sampler", None)):
                generator = getattr(owner, "generator", None)
                if isinstance(generator, torch.Generator):
                    generator.manual_seed(derive(seed, "order", epoch))
            batches = iter(loader)
            for step in range(epoch * self.epoch_length, end):
                _seed_all(derive(seed, "fetch", step))
                batch = next(batches)
                if step >= start:
                    yield batch
            start = end

    def evaluation(self, split: str) -> Iterable[Any]:
        if split == "val":
            return self._datamodule.val_dataloader()
        if split == "test":
            return self._datamodule.test_dataloader()
        raise ValueError(f"data: evaluation on 'val' or 'test', not {split!r}")


def _seed_all(seed: int) -> None:
    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    seed_generators(seed, torch.device("cpu"))
