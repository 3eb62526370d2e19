"""The source of minibatches as training sees it, and the user's own LightningDataModule as such a source."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import islice
from typing import Any, Protocol

import pytorch_lightning as pl
from pytorch_lightning.utilities.combined_loader import CombinedLoader
from torch.utils.data import DataLoader

from ltb.core.seeds import derive
from ltb.training import fingerprint
from ltb.training.random_state import seeded
from ltb.training.reading import Reading, by_index, examples, in_order, read

SPLITS = ("train", "val", "test")


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


class FirstMinibatches:
    """A source whose evaluation splits are their first minibatches."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def evaluation(self, split: Any) -> Any:
        loaders = self._source.evaluation(split)
        if isinstance(loaders, Mapping):
            return {name: _First(one) for name, one in loaders.items()}
        return [_First(one) for one in loaders] if isinstance(loaders, list) else _First(loaders)


class _First:
    """The first minibatch of a loader; an iterable, for Lightning takes a list for several loaders."""

    def __init__(self, loader: Iterable[Any]) -> None:
        self._loader = loader

    def __iter__(self) -> Iterator[Any]:
        return islice(self._loader, 1)


class DataModuleSource:
    """A LightningDataModule whose order and augmentation are made functions of (seed, step), as `reading` says.

    Its ``setup`` and the making of its loaders are seeded alike each time, so a split that is drawn there is always the
    same. With each minibatch the global generators are left in a state that is a function of (seed, step) too.
    Raises ValueError when the training dataloader has no length, is empty, or is several.
    """

    def __init__(self, datamodule: pl.LightningDataModule) -> None:
        self._datamodule = datamodule
        for hook in ("on_before_batch_transfer", "on_after_batch_transfer", "transfer_batch_to_device"):
            if getattr(type(datamodule), hook) is not getattr(pl.LightningDataModule, hook):
                raise ValueError(
                    f"data: {type(datamodule).__name__}.{hook} would not be called; do it in the module's steps"
                )
        with seeded(derive(0, "setup")):
            datamodule.prepare_data()
            datamodule.setup("fit")
            datamodule.setup("test")
        loader = self._loader("train")
        if _several(loader) and any(isinstance(one, DataLoader) for one in _items(loader).values()):
            raise ValueError("data: train_dataloader returns several dataloaders; a step is a minibatch of one")
        try:
            self.epoch_length = len(loader)
        except TypeError:
            raise ValueError("data: the training dataloader has no length, so an epoch of it is not defined") from None
        if self.epoch_length == 0:
            raise ValueError("data: the training dataloader is empty")

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the data as served: each split's size and samples, as `fingerprint.of_loader` takes them.

        The same wherever the files are and whatever the number of workers, unless that changes what is served. Not
        seen: a change of examples between the samples that leaves their number as it is, and what a remote service
        would answer later. Raises ValueError where examples hold objects whose contents cannot be seen.
        """
        total = hashlib.sha256()
        for split in SPLITS:
            loader = self._loader(split)
            several = _items(loader) if split != "train" and _several(loader) else {"": loader}
            for name, one in several.items():
                total.update(f"{split} {name} {fingerprint.of_loader(one, split, name)}\n".encode())
        return total.hexdigest()

    def stream(self, seed: int, start: int, stop: int) -> Iterator[Any]:
        while start < stop:
            epoch, first = divmod(start, self.epoch_length)
            last = min(self.epoch_length, first + stop - start)
            for batch in read(self._loader("train"), seed, epoch, self.epoch_length, first, last):
                yield batch
                start += 1
            if start < epoch * self.epoch_length + last:
                raise ValueError(
                    f"data: epoch {epoch} of the training dataloader ended after {start - epoch * self.epoch_length}"
                    f" minibatches; its length is {self.epoch_length}"
                )

    def evaluation(self, split: str) -> Any:
        """Return minibatches of a split, the same each time they are read: an iterable, or a list or dict of several.

        For "train" they are the training dataloader's examples in the order of its dataset, none of them dropped; for a
        loader that has an order of its own, its first epoch.
        """
        if split not in SPLITS:
            raise ValueError(f"data: evaluation on 'train', 'val' or 'test', not {split!r}")
        loader = self._loader(split)
        if split == "train":
            keys = in_order(loader, examples(loader)) if by_index(loader) else None
            return Reading(loader, derive(0, "evaluation", split), keys)
        if not _several(loader):
            return Reading(loader, derive(0, "evaluation", split))
        readings = {name: Reading(one, derive(0, "evaluation", split, name)) for name, one in _items(loader).items()}
        return readings if isinstance(loader, Mapping) else list(readings.values())

    def _loader(self, split: str) -> Any:
        with seeded(derive(0, "loader", split)):
            loader = getattr(self._datamodule, f"{split}_dataloader")()
        if loader is None:
            raise ValueError(f"data: {split}_dataloader returns None; a dataloader is wanted")
        if isinstance(loader, CombinedLoader):
            raise ValueError(
                f"data: {split}_dataloader returns a CombinedLoader; for val and test, a list of dataloaders"
            )
        return loader


def _several(loader: Any) -> bool:
    """Return whether Lightning treats it as a collection of dataloaders."""
    return isinstance(loader, list | tuple | Mapping)


def _items(loaders: Any) -> Mapping[Any, Any]:
    return loaders if isinstance(loaders, Mapping) else dict(enumerate(loaders))
