"""MNIST and the two datasets made to replace it, file for file: 60,000 and 10,000 grey images of 28 x 28, 10 classes.

Files are looked for where torchvision has them, in ``<root>/<class name>/raw``, gzipped or not, and downloaded to
there. Of the 60,000, 5,000 are held out for validation by default, as in Frankle and Carbin (2019).
"""

from __future__ import annotations

import gzip
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from ltb.common.allowed import Count
from ltb.common.errors import Damaged
from ltb.data.dataset import InMemory, Shape
from ltb.data.download import ensure
from ltb.data.normalisation import Normalisation
from ltb.data.source import Batch

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@dataclass(frozen=True, kw_only=True)
class _IDXImages(InMemory):
    """The base of the three datasets: four files in IDX format.

    ``SHA256`` has the sums of uncompressed files; ``MD5`` those of gzipped ones, which are then read wherever they are there.
    """

    SHAPE: ClassVar = (1, 28, 28)
    CLASSES: ClassVar = 10
    EXAMPLES: ClassVar = (60000, 10000)
    SHA256: ClassVar[Mapping[str, str]] = {}
    MD5: ClassVar[Mapping[str, str]] = {}
    ELSEWHERE: ClassVar[Sequence[Path]] = ()  # other folders in which the files may be; nothing is written there
    ADVICE: ClassVar = ""

    shape: Shape = SHAPE
    classes: Count = CLASSES
    batch_size: Count = 60
    val_size: Count = 5000

    def read(self) -> tuple[Batch, Batch]:
        folder = self._folder()
        images, labels, test_images, test_labels = (
            read_idx(folder / file, self.SHA256.get(file), self.MD5.get(file)) for file in FILES
        )
        return (images.unsqueeze(1), labels.long()), (test_images.unsqueeze(1), test_labels.long())

    def _folder(self) -> Path:
        name = type(self).__name__
        root = Path(self.root).expanduser()
        for folder in (root / name / "raw", *self.ELSEWHERE):
            if all(_existing(folder / file) for file in FILES):
                return folder
        ensure(root, [f"{name}/raw/{file}" for file in FILES], self._download, name=name, advice=self.ADVICE)
        return root / name / "raw"

    def _download(self, folder: Path) -> None:
        from torchvision import datasets

        getattr(datasets, type(self).__name__)(str(folder), download=True)


@dataclass(frozen=True, kw_only=True)
class MNIST(_IDXImages):
    """Handwritten digits (LeCun et al., 1998). ``normalisation``, if given, takes the place of their mean and deviation."""

    MEAN, STD = (0.1307,), (0.3081,)
    SHA256: ClassVar = dict(
        zip(
            FILES,
            (
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
            strict=True,
        )
    )

    normalisation: Normalisation | None = None

    @property
    def normaliser(self) -> Normalisation | None:
        return self.normalisation


class FashionMNIST(_IDXImages):
    """Articles of clothing (Xiao et al., 2017). Debian's package dataset-fashion-mnist will do where installed."""

    MEAN, STD = (0.2860,), (0.3530,)
    SHA256: ClassVar = dict(
        zip(
            FILES,
            (
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ),
            strict=True,
        )
    )
    ELSEWHERE: ClassVar = (Path("/usr/share/datasets/fashion-mnist"),)
    ADVICE: ClassVar = ", or install Debian's package dataset-fashion-mnist"


class KMNIST(_IDXImages):
    """Cursive Japanese characters (Clanuwat et al., 2018), standardised with the training split's statistics.

    Only of the gzipped files is a sum published (torchvision's); uncompressed ones without them are believed.
    """

    MD5: ClassVar = dict(
        zip(
            FILES,
            (
                "bdb82020997e1d708af4cf47b453dcf7",
                "e144d726b3acfaa3e44228e80efcd344",
                "5c965bf0a639b31b8f53240b1b52f4d7",
                "7320c461ea6c1c855c0b718fb2a4b134",
            ),
            strict=True,
        )
    )


def read_idx(path: Path, sha256: str | None = None, md5: str | None = None) -> Tensor:
    """Return the bytes in an IDX file, at ``path`` or gzipped at ``path`` + ".gz", as a uint8 tensor of its shape.

    ``sha256`` is that of the uncompressed file, ``md5`` that of the gzipped one, which is then read where it is there. Raises
    ``Damaged``, naming the file, if it is not such a file.
    """
    found = (md5 and _existing(_gzipped(path))) or _existing(path)
    assert found is not None, path
    try:
        content = found.read_bytes()
        published = found.suffix != ".gz" or not md5 or hashlib.md5(content, usedforsecurity=False).hexdigest() == md5
        content = gzip.decompress(content) if found.suffix == ".gz" and published else content
    except (EOFError, gzip.BadGzipFile, OSError) as error:
        raise Damaged(
            f"{found.absolute()} cannot be read ({error}): delete it, so that it is downloaded again"
        ) from error
    # Two zero bytes, 8 for "unsigned byte", the number of dimensions; then each length in four bytes, high byte first.
    dimensions = content[3] if content[:3] == b"\0\0\x08" and len(content) > 3 else 0
    start = 4 + 4 * dimensions
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)]
    intact = published and dimensions > 0 and len(content) == start + math.prod(shape)
    if not intact or (sha256 and hashlib.sha256(content).hexdigest() != sha256):
        raise Damaged(f"{found.absolute()} is not the published file: delete it, so that it is downloaded again")
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=start).view(shape)


def _existing(path: Path) -> Path | None:
    return next((file for file in (path, _gzipped(path)) if file.is_file()), None)


def _gzipped(path: Path) -> Path:
    return path.with_name(path.name + ".gz")
