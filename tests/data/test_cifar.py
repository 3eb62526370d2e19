import hashlib
import pickle

import numpy
import pytest
import torch
import torchvision

from ltb.common.errors import Damaged
from ltb.data import CIFAR10, CIFAR100


def write(monkeypatch, root, dataset, published):
    """Files like the published ones, of random images, whose checksums torchvision is made to expect."""
    folder = root / dataset.FOLDER
    folder.mkdir(parents=True)
    generator = numpy.random.default_rng(0)
    label = "labels" if dataset is CIFAR10 else "fine_labels"
    for part in ("train_list", "test_list"):
        entries = []
        for file, _ in getattr(published, part):
            n = 10000 if dataset is CIFAR10 or part == "test_list" else 50000
            pixels = generator.integers(0, 256, (n, 3072), dtype=numpy.uint8)
            content = pickle.dumps({"data": pixels, label: [i % dataset.CLASSES for i in range(n)]})
            (folder / file).write_bytes(content)
            entries.append([file, hashlib.md5(content).hexdigest()])
        monkeypatch.setattr(published, part, entries)
    content = pickle.dumps({published.meta["key"]: [str(i) for i in range(dataset.CLASSES)]})
    (folder / published.meta["filename"]).write_bytes(content)
    monkeypatch.setattr(published, "meta", {**published.meta, "md5": hashlib.md5(content).hexdigest()})


@pytest.mark.parametrize(
    ("dataset", "published"),
    [(CIFAR10, torchvision.datasets.CIFAR10), (CIFAR100, torchvision.datasets.CIFAR100)],
)
def test_files_in_root_are_read(monkeypatch, tmp_path, dataset, published):
    write(monkeypatch, tmp_path, dataset, published)
    made = dataset(root=str(tmp_path))
    source = made.source()
    assert (source.shape, source.classes, source.size, source.epoch_length) == (
        (3, 32, 32),
        dataset.CLASSES,
        45000,
        351,
    )
    x, y = next(source.stream(0, 0, 1))
    assert (x.shape, x.dtype, y.dtype) == ((128, 3, 32, 32), torch.float32, torch.int64)
    assert x.is_contiguous()
    # Channel, row and column are where they must be: compared with the image that torchvision shows.
    image, label = published(str(tmp_path), train=False)[3]
    pixels = torch.from_numpy(numpy.array(image)).permute(2, 0, 1).double() / 255
    expected = (pixels - torch.tensor(dataset.MEAN).view(3, 1, 1)) / torch.tensor(dataset.STD).view(3, 1, 1)
    x, y = next(iter(source.evaluation("test")))
    torch.testing.assert_close(x[3], expected.float(), rtol=1e-5, atol=1e-5)
    assert y[3] == label


def test_files_that_are_not_the_published_ones_are_not_unpickled(tmp_path):
    folder = tmp_path / CIFAR10.FOLDER
    folder.mkdir()
    for file in CIFAR10.FILES:
        (folder / file).write_bytes(b"something else")
    with pytest.raises(Damaged, match=r"cifar-10-batches-py does not hold the published files"):
        CIFAR10(root=str(tmp_path)).source()


def test_augmentation_is_a_field():
    assert CIFAR10().padding == 4
    assert CIFAR10(augment=False).padding == 0
    assert CIFAR10() != CIFAR10(augment=False)
