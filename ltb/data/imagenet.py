"""ImageNet (Russakovsky et al., 2015), or any folder laid out like it: too large for memory, read by workers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from ltb.common.allowed import Count, Limits, Text
from ltb.common.errors import Damaged, Unavailable
from ltb.core.seeds import derive
from ltb.data.dataset import Dataset, Shape
from ltb.data.source import SPLITS, Batch, Batches, Source, Split

if TYPE_CHECKING:
    from torchvision.datasets import ImageFolder

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Key = tuple[int, int | None]  # an image's place in its folder and the seed of its augmentation, None for none


@dataclass(frozen=True, kw_only=True)
class ImageNet(Dataset):
    """Images in ``<root>/train/<class>/`` and ``<root>/val/<class>/``; there must be ``classes`` class folders in both.

    The published validation images are the *test* split, since they are what papers report; ``val_size``
    images are held out of the training set for everything that is chosen. ``shape`` is (3, n, n). Training
    images are a random part of the image, resized (area 8 to 100 %, aspect 3/4 to 4/3), and flipped at
    random; others are resized so that the shorter side is n * 8/7 and cut in the centre. ``workers``
    processes read them; their number changes no result.
    """

    shape: Shape = (3, 224, 224)
    classes: Count = 1000
    batch_size: Count = 256
    val_size: Count = 10000
    root: Text = "data/imagenet"
    workers: Annotated[int, Limits("0 to 1024", least=0, below=1025)] = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.shape) != 3 or self.shape[0] != 3 or self.shape[1] != self.shape[2]:
            raise ValueError(f"data.shape={list(self.shape)}: [3, n, n] for ImageNet")

    def source(self, device: torch.device | str = "cpu") -> FolderSource:
        root = Path(self.root).expanduser()
        train, test = self._folder(root / "train"), self._folder(root / "val")
        if train.classes != test.classes or len(train.classes) != self.classes:
            raise Damaged(
                f"{root.absolute()} must have the same {self.classes} class folders (data.classes) in train and val,"
                f" not {len(train.classes)} and {len(test.classes)}"
            )
        train_ids, val_ids = self.split(len(train))
        return FolderSource(
            {"train": (train, train_ids), "val": (train, val_ids), "test": (test, torch.arange(len(test)))},
            shape=self.shape,
            classes=self.classes,
            batch_size=self.batch_size,
            workers=self.workers,
            device=device,
        )

    def _folder(self, path: Path) -> ImageFolder:
        from torchvision.datasets import ImageFolder

        try:
            return ImageFolder(str(path))
        except FileNotFoundError as error:  # no such folder, or a class without images
            raise Unavailable(
                f"data.root: {path.absolute()} must hold one folder of images for each class"
                f" ({str(error).splitlines()[0]}): put ImageNet's train and val there, it cannot be downloaded"
                " without an account; mnist1d and digits need no download"
            ) from error


class FolderSource(Source):
    """A source that reads its images when they are asked for, ahead of use if there are ``workers``.

    ``splits`` gives for "train", "val" and "test" a folder and the places of the split's images in it. The
    augmentation of an image is a function of (seed, epoch, place). Workers start with each ``stream``: ask
    for as many steps as possible at once. The fingerprint is that of file names, labels and splits, not of
    pixels, which would take hours.
    """

    def __init__(
        self,
        splits: dict[Split, tuple[ImageFolder, Tensor]],
        *,
        shape: tuple[int, ...],
        classes: int,
        batch_size: int,
        workers: int,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(
            shape=shape,
            classes=classes,
            batch_size=batch_size,
            size=len(splits["train"][1]),
            fingerprint=_fingerprint(splits),
            device=device,
            order_device="cpu",  # where the workers need it
        )
        self._splits = splits
        self._workers = workers
        self._mean, self._std = (255 * torch.tensor(channels, device=device).view(-1, 1, 1) for channels in (MEAN, STD))

    def evaluation(self, split: Split) -> Batches:
        folder, places = self._splits[split]
        batches = [[(place, None) for place in part.tolist()] for part in torch.split(places, self.batch_size)]
        return _Evaluation(len(batches), lambda: self._read(folder, batches))

    def _stream(self, seed: int, start: int, stop: int) -> Iterator[Batch]:
        yield from self._read(self._splits["train"][0], _Steps(self, seed, range(start, stop)))

    def keys(self, seed: int, step: int) -> list[Key]:
        """Return what identifies the augmented images of a step."""
        epoch = step // self.epoch_length
        places = self._splits["train"][1][self.ids(seed, step)].tolist()
        return [(place, derive(seed, "augmentation", epoch, place)) for place in places]

    def _read(self, folder: ImageFolder, batches: Any) -> Iterator[Batch]:
        loader = DataLoader(
            _Images(folder, self.shape[-1]),
            batch_sampler=batches,
            num_workers=self._workers,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # or the loader would draw from the global one
        )
        for x, y in loader:
            pixels = x.to(self.device, non_blocking=True).float()  # bytes travel, floats would be four times as many
            yield pixels.sub_(self._mean).div_(self._std), y.to(self.device, non_blocking=True)


class _Steps:
    """The keys of the images of each of some steps, found when the loader gets there."""

    def __init__(self, source: FolderSource, seed: int, steps: range) -> None:
        self._source, self._seed, self._range = source, seed, steps

    def __len__(self) -> int:
        return len(self._range)

    def __iter__(self) -> Iterator[list[Key]]:
        return (self._source.keys(self._seed, step) for step in self._range)


class _Evaluation:
    """Batches that are read anew each time."""

    def __init__(self, length: int, read: Callable[[], Iterator[Batch]]) -> None:
        self._length, self._read = length, read

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Batch]:
        return self._read()


class _Images(TorchDataset[tuple[Tensor, int]]):
    """The images of a folder by key, as bytes of shape (3, size, size), with their labels."""

    def __init__(self, folder: ImageFolder, size: int) -> None:
        from torchvision import transforms

        self._folder = folder
        self._augmented = transforms.Compose(
            [transforms.RandomResizedCrop(size), transforms.RandomHorizontalFlip(), transforms.PILToTensor()]
        )
        self._plain = transforms.Compose(
            [transforms.Resize(size * 8 // 7), transforms.CenterCrop(size), transforms.PILToTensor()]
        )

    def __getitem__(self, key: Key) -> tuple[Tensor, int]:
        place, seed = key
        image, label = self._folder[place]
        if seed is None:
            return self._plain(image), label
        with torch.random.fork_rng(devices=[]):  # torchvision draws from the global generator of the CPU
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed the GPU's as well
            return self._augmented(image), label


def _fingerprint(splits: dict[Split, tuple[ImageFolder, Tensor]]) -> str:
    digest = hashlib.sha256()
    for split in SPLITS:
        folder, places = splits[split]
        samples: Sequence[tuple[str, int]] = folder.samples
        for place in places.tolist():
            path, label = samples[place]
            digest.update(f"{split} {Path(path).relative_to(folder.root).as_posix()} {label}\n".encode())
    return digest.hexdigest()
