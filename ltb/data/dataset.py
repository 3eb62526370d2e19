"""A dataset before it is loaded: a frozen value whose fields are checked where they are given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from ltb.common.allowed import Count, Limits, Seed, Text, settle
from ltb.common.errors import Damaged
from ltb.core.seeds import derive
from ltb.data.normalisation import Normalisation
from ltb.data.source import Batch, Source, TensorSource

Shape = Annotated[tuple[Count, ...], Limits("one or more", least=1)]


@dataclass(frozen=True, kw_only=True)
class Dataset(ABC):
    """A dataset and how it is split and cut into minibatches.

    ``shape`` is that of one example as the model sees it. ``val_size`` examples (at least 1) are held out of the
    training set by a permutation that ``split_seed``, not the run's seed, decides; ``train_size``, if given, keeps the
    first so many of the rest, so that smaller training sets are contained in larger ones. ``root`` is the folder of
    the files, if there are any. A ``ValueError`` names the field that is out of range.
    """

    shape: Shape
    classes: Count
    batch_size: Count
    val_size: Count
    split_seed: Seed = 0
    train_size: Count | None = None
    root: Text = "data"

    def __post_init__(self) -> None:
        settle(self, "data")

    @abstractmethod
    def source(self, device: torch.device | str = "cpu") -> Source:
        """Return the dataset loaded, checked, split and on the device; ``Unavailable`` or ``Damaged`` if that fails."""

    def check_sizes(self, examples: int) -> None:
        """Raise ``ValueError`` unless the splits and one minibatch fit in a training set of so many examples."""
        rest = examples - self.val_size
        if rest < 1:
            raise ValueError(f"data.val_size={self.val_size}: less than {examples}, the training set")
        if self.train_size is not None and self.train_size > rest:
            raise ValueError(f"data.train_size={self.train_size}: at most {rest}, what validation leaves")
        size = rest if self.train_size is None else self.train_size
        if self.batch_size > size:
            raise ValueError(f"data.batch_size={self.batch_size}: at most {size}, the training split")

    def split(self, examples: int) -> tuple[Tensor, Tensor]:
        """Return the indices, within a training set of so many examples, of the training and the validation split."""
        self.check_sizes(examples)
        generator = torch.Generator().manual_seed(derive(self.split_seed, "split"))
        order = torch.randperm(examples, generator=generator)
        return order[self.val_size :][: self.train_size], order[: self.val_size]


@dataclass(frozen=True, kw_only=True)
class InMemory(Dataset):
    """A dataset that is read whole. Subclasses say what it contains; what is read is checked against that.

    ``MEAN`` and ``STD`` are stated for each channel of the training set's values (divided by 255 if uint8);
    where there are none, the mean and standard deviation of all values of the training split are used. Some have a
    field ``normalisation``: what papers did instead.
    """

    SHAPE: ClassVar[tuple[int, ...]]
    CLASSES: ClassVar[int]
    EXAMPLES: ClassVar[tuple[int, int]]  # in the training set, from which validation is taken, and in the test set
    MEAN: ClassVar[tuple[float, ...] | None] = None
    STD: ClassVar[tuple[float, ...] | None] = None

    @property
    def normaliser(self) -> Normalisation | None:
        """What is done to examples in place of taking MEAN from them and dividing by STD."""
        return None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shape != self.SHAPE:
            raise ValueError(f"data.shape={list(self.shape)}: {list(self.SHAPE)} for {type(self).__name__}")
        if self.classes != self.CLASSES:
            raise ValueError(f"data.classes={self.classes}: {self.CLASSES} for {type(self).__name__}")
        self.check_sizes(self.EXAMPLES[0])

    @abstractmethod
    def read(self) -> tuple[Batch, Batch]:
        """Return training and test set on the CPU: x uint8 or float32 of shape (n, *shape), y int64 of shape (n,)."""

    @property
    def padding(self) -> int:
        """The pixels by which images are padded before they are cropped at random; 0 is no augmentation."""
        return 0

    def source(self, device: torch.device | str = "cpu") -> TensorSource:
        (x, y), test = self.read()
        for part, (xs, ys), examples in (
            ("training", (x, y), self.EXAMPLES[0]),
            ("test", test, self.EXAMPLES[1]),
        ):
            self._check_content(part, xs, ys, examples)
        train, val = self.split(len(y))
        x_train, y_train = x[train], y[train]
        mean, std = self.MEAN, self.STD
        if mean is None or std is None:
            scale = 255 if x_train.dtype == torch.uint8 else 1
            values = x_train.double() / scale  # double, so that the order of the sum does not show in float32
            mean, std = (values.mean().item(),), (values.std(correction=0).item(),)
        return TensorSource(
            {"train": (x_train, y_train), "val": (x[val], y[val]), "test": test},
            classes=self.classes,
            batch_size=self.batch_size,
            mean=mean,
            std=std,
            normalisation=self.normaliser,
            padding=self.padding,
            device=device,
        )

    def _check_content(self, part: str, x: Tensor, y: Tensor, examples: int) -> None:
        if tuple(x.shape) != (examples, *self.shape) or tuple(y.shape) != (examples,):
            raise Damaged(
                f"the {part} set of {type(self).__name__} must be {examples} examples of shape {list(self.shape)}, with one label "
                f"each, but what was read is {list(x.shape)} with labels {list(y.shape)}; what is labelled otherwise is served by "
                "a LightningDataModule"
            )
        if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
            raise Damaged(f"the {part} set of {type(self).__name__} must have whole numbers as labels, not {y.dtype}")
        counts = y.long().clamp(min=-1).add(1).bincount(minlength=self.classes + 1)  # the first are those below 0
        if len(counts) > self.classes + 1 or counts[0] > 0 or counts[1:].min() == 0:
            raise Damaged(
                f"the {part} set of {type(self).__name__} must have the labels 0..{self.classes - 1}, all of them"
            )
