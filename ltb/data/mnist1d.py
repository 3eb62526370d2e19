"""MNIST-1D (Greydanus and Kobak, 2024, "Scaling down deep learning"): ten shapes in signals of 40 values."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from ltb.common.allowed import Count
from ltb.common.errors import Unavailable
from ltb.data.dataset import InMemory, Shape
from ltb.data.source import Batch

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class MNIST1D(InMemory):
    """The paper's 4,000 training and 1,000 test signals, float32 of shape (40,), 10 classes; needs no file.

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
        x, y, x_test, y_test = (torch.from_numpy(array) for array in _made())
        return (x.float(), y.long()), (x_test.float(), y_test.long())


@cache  # making it takes a second, and the runs of a sweep may share a process
def _made() -> tuple[NDArray[Any], ...]:
    try:
        from mnist1d.data import get_dataset_args, make_dataset
    except ImportError as error:
        raise Unavailable(f"mnist1d needs the package of that name: pip install mnist1d ({error})") from error

    with _global_generators_kept():
        made = make_dataset(get_dataset_args())
    return tuple(made[key] for key in ("x", "y", "x_test", "y_test"))


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
