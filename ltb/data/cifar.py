"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009): 50,000 and 10,000 colour images of 32 x 32.

Files are where torchvision has them and are downloaded to there. They are published as Python pickles;
torchvision reads them only after their MD5 sums are found to be the published ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch

from ltb.common.allowed import Count
from ltb.common.errors import Damaged
from ltb.data.dataset import InMemory, Shape
from ltb.data.download import ensure
from ltb.data.normalisation import Normalisation
from ltb.data.source import Batch


@dataclass(frozen=True, kw_only=True)
class _CIFAR(InMemory):
    """The base of both. ``augment``: random horizontal flips, and random crops of images padded by 4 black pixels.

    Of the 50,000, 5,000 are held out for validation by default, as in Frankle and Carbin (2019). ``normalisation``, if
    given, takes the place of the mean and standard deviation of each channel of the training set.
    """

    SHAPE: ClassVar = (3, 32, 32)
    EXAMPLES: ClassVar = (50000, 10000)
    FOLDER: ClassVar[str]
    FILES: ClassVar[tuple[str, ...]]

    shape: Shape = SHAPE
    batch_size: Count = 128
    val_size: Count = 5000
    augment: bool = True
    normalisation: Normalisation | None = None

    @property
    def padding(self) -> int:
        return 4 if self.augment else 0

    @property
    def normaliser(self) -> Normalisation | None:
        return self.normalisation

    def read(self) -> tuple[Batch, Batch]:
        root = Path(self.root).expanduser()
        files = [f"{self.FOLDER}/{file}" for file in self.FILES]
        ensure(root, files, lambda folder: self._read_part(folder, True, download=True), name=type(self).__name__)
        try:
            return self._read_part(root, train=True), self._read_part(root, train=False)
        except RuntimeError as error:
            folder = (root / self.FOLDER).absolute()
            raise Damaged(f"{folder} does not hold the published files: delete it, so that it is downloaded") from error

    def _read_part(self, root: Path, train: bool, download: bool = False) -> Batch:
        from torchvision import datasets

        part = getattr(datasets, type(self).__name__)(str(root), train=train, download=download)
        return torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(part.targets)


@dataclass(frozen=True, kw_only=True)
class CIFAR10(_CIFAR):
    """10 classes, 6,000 images each."""

    CLASSES: ClassVar = 10
    FOLDER: ClassVar = "cifar-10-batches-py"
    FILES: ClassVar = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta")
    MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)

    classes: Count = CLASSES


@dataclass(frozen=True, kw_only=True)
class CIFAR100(_CIFAR):
    """100 classes, 600 images each."""

    CLASSES: ClassVar = 100
    FOLDER: ClassVar = "cifar-100-python"
    FILES: ClassVar = ("train", "test", "meta")
    MEAN, STD = (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)

    classes: Count = CLASSES
