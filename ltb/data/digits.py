"""The small digits inside scikit-learn (Alpaydin and Kaynak, 1998): the quickest images there are, no download."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from ltb.common.allowed import Count
from ltb.core.seeds import derive
from ltb.data.dataset import InMemory, Shape
from ltb.data.kept import kept
from ltb.data.source import Batch


@dataclass(frozen=True, kw_only=True)
class Digits(InMemory):
    """1,797 grey images of handwritten digits, float32 of shape (1, 8, 8), 10 classes; needs no download.

    scikit-learn has no test set apart: 360 images are the test set here, chosen once and for all by a fixed
    permutation. Of the other 1,437, 237 are held out for validation by default. Values 0..16 are divided by
    16, then standardised with the mean and standard deviation of all values of the training split (one pair:
    some pixels are always 0).
    """

    SHAPE: ClassVar = (1, 8, 8)
    CLASSES: ClassVar = 10
    EXAMPLES: ClassVar = (1437, 360)

    shape: Shape = SHAPE
    classes: Count = CLASSES
    batch_size: Count = 50
    val_size: Count = 237

    def read(self) -> tuple[Batch, Batch]:
        found = kept(Path(self.root).expanduser() / "digits", {"scikit-learn": "digits needs scikit-learn"}, _made)
        x, y = found["x"].view(-1, *self.SHAPE) / 16, found["y"]
        generator = torch.Generator().manual_seed(derive(0, "digits", "test"))
        train, test = torch.randperm(len(y), generator=generator).split_with_sizes([len(y) - 360, 360])
        return (x[train], y[train]), (x[test], y[test])


def _made() -> dict[str, Tensor]:
    from sklearn.datasets import load_digits  # its import takes half a second

    pixels, labels = load_digits(return_X_y=True)
    return {"x": torch.from_numpy(pixels).float(), "y": torch.from_numpy(labels).long()}
