"""MNIST-1D (Greydanus and Kobak, 2024, "Scaling down deep learning"): ten shapes in signals of 40 values."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from ltb.common.allowed import Count
from ltb.data.dataset import InMemory, Shape
from ltb.data.kept import kept
from ltb.data.source import Batch

NAMES = ("x", "y", "x_test", "y_test")
PACKAGES = dict.fromkeys(("mnist1d", "numpy", "scipy"), "mnist1d needs the package of that name")


@dataclass(frozen=True, kw_only=True)
class MNIST1D(InMemory):
    """The paper's 4,000 training and 1,000 test signals, float32 of shape (40,), 10 classes; needs no download.

    Of the 4,000, 400 are held out for validation by default, as many as leave 36 minibatches of 100. All
    signals are standardised with the mean and standard deviation of all values of the training split: one
    pair of numbers, since a shape may lie anywhere along the signal. (The package has by then standardised
    training and test set together.)
    """

    SHAPE: ClassVar = (40,)
    CLASSES: ClassVar = 10
    EXAMPLES: ClassVar = (4000, 1000)

    shape: Shape = SHAPE
    classes: Count = CLASSES
    batch_size: Count = 100
    val_size: Count = 400

    def read(self) -> tuple[Batch, Batch]:
        x, y, x_test, y_test = _signals(Path(self.root).expanduser())
        return (x, y), (x_test, y_test)


@cache  # the runs of a sweep may share a process
def _signals(root: Path) -> tuple[Tensor, ...]:
    """The signals and their classes; making them takes seconds."""
    found = kept(root / "mnist1d", PACKAGES, lambda: dict(zip(NAMES, _made(), strict=True)))
    return tuple(found[name] for name in NAMES)


def _made() -> tuple[Tensor, ...]:
    from mnist1d.data import get_dataset_args, make_dataset

    with _global_generators_kept():
        made = make_dataset(get_dataset_args())
    x, y, x_test, y_test = (torch.from_numpy(made[name]) for name in NAMES)
    return x.float(), y.long(), x_test.float(), y_test.long()


@contextmanager
def _global_generators_kept() -> Iterator[None]:
    """Restore the generators of Python and NumPy, which the package seeds for the whole process."""
    import numpy

    python, legacy = random.getstate(), numpy.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        numpy.random.set_state(legacy)
