import gzip
import hashlib
from pathlib import Path

import pytest
import torch

from ltb.common.errors import Damaged, Unavailable
from ltb.data import KMNIST, MNIST, FashionMNIST
from ltb.data.mnist import FILES, read_idx

DEBIAN = FashionMNIST.ELSEWHERE[0]


def idx(*lengths):
    """An IDX file of these lengths that holds 0, 1, … 9, 0, 1, …"""
    size = torch.Size(lengths).numel()
    header = bytes([0, 0, 8, len(lengths)]) + b"".join(length.to_bytes(4, "big") for length in lengths)
    return header + (bytes(range(10)) * (size // 10 + 1))[:size]


def write_mnist(root, name):
    folder = root / name / "raw"
    folder.mkdir(parents=True)
    for file, lengths in zip(FILES, [(60000, 28, 28), (60000,), (10000, 28, 28), (10000,)], strict=True):
        (folder / file).write_bytes(idx(*lengths))
    return folder


@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize("lengths", [(7,), (2, 3, 4)])
def test_idx_files_are_read_gzipped_or_not(tmp_path, gzipped, lengths):
    if gzipped:
        (tmp_path / "file.gz").write_bytes(gzip.compress(idx(*lengths)))
    else:
        (tmp_path / "file").write_bytes(idx(*lengths))
    tensor = read_idx(tmp_path / "file")
    assert tensor.shape == lengths
    assert tensor.flatten().tolist() == [i % 10 for i in range(tensor.numel())]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0",
        b"<html>not found</html>",
        idx(5)[:-1],
        idx(5) + b"\0",
        b"\0\0\x0d\x01" + idx(5)[4:],
        idx(2, 3)[:7],
    ],
)
def test_files_that_are_damaged_are_named(tmp_path, content):
    (tmp_path / "images").write_bytes(content)
    with pytest.raises(Damaged, match=r"images is not the published file: delete it"):
        read_idx(tmp_path / "images")


def test_a_gzip_file_that_is_cut_short_is_named(tmp_path):
    (tmp_path / "images.gz").write_bytes(gzip.compress(idx(1000))[:-20])
    with pytest.raises(Damaged, match=r"images\.gz cannot be read"):
        read_idx(tmp_path / "images")


def test_another_checksum_is_damage(tmp_path):
    (tmp_path / "labels").write_bytes(idx(5))
    with pytest.raises(Damaged, match="labels"):
        read_idx(tmp_path / "labels", sha256="0" * 64)


def test_a_gzipped_file_with_a_sum_is_read_and_checked(tmp_path):
    gzipped = gzip.compress(idx(5))
    (tmp_path / "labels.gz").write_bytes(gzipped)
    (tmp_path / "labels").write_bytes(idx(6))  # beside it, and not what the sum is of
    sums = {"md5": hashlib.md5(gzipped).hexdigest()}
    assert read_idx(tmp_path / "labels", **sums).shape == (5,)
    (tmp_path / "labels.gz").write_bytes(gzip.compress(idx(7)))
    with pytest.raises(Damaged, match=r"labels\.gz is not the published file"):
        read_idx(tmp_path / "labels", **sums)
    (tmp_path / "labels.gz").unlink()
    assert read_idx(tmp_path / "labels", **sums).shape == (6,)


@pytest.mark.parametrize("dataset", [MNIST, KMNIST])
def test_files_in_root_are_read_and_nothing_is_downloaded(tmp_path, dataset, monkeypatch):
    monkeypatch.setattr(dataset, "SHA256", {})
    folder = write_mnist(tmp_path, dataset.__name__)
    source = dataset(root=str(tmp_path)).source()
    assert (source.shape, source.classes, source.size, source.epoch_length) == ((1, 28, 28), 10, 55000, 916)
    assert sorted(file.name for file in folder.iterdir()) == sorted(FILES)
    x, y = next(source.stream(0, 0, 1))
    assert (x.shape, x.dtype, y.dtype) == ((60, 1, 28, 28), torch.float32, torch.int64)


def test_kmnist_is_standardised_as_bytes_divided_by_255(tmp_path):
    write_mnist(tmp_path, "KMNIST")
    x = torch.cat([x for x, _ in KMNIST(root=str(tmp_path)).source().evaluation("train")]).double()
    assert abs(x.mean()) < 1e-5
    assert abs(x.std() - 1) < 1e-5


@pytest.mark.parametrize("dataset", [MNIST, FashionMNIST])
def test_another_file_in_the_place_of_a_published_one_is_found_out(tmp_path, dataset):
    write_mnist(tmp_path, dataset.__name__)
    with pytest.raises(Damaged, match="train-images-idx3-ubyte is not the published file"):
        dataset(root=str(tmp_path)).source()


def test_without_files_or_network_it_says_what_to_do(tmp_path, monkeypatch):
    def no_network(self, folder):
        raise OSError("no network")

    monkeypatch.setattr(FashionMNIST, "_download", no_network)
    monkeypatch.setattr(FashionMNIST, "ELSEWHERE", (Path("nowhere"),))
    with pytest.raises(
        Unavailable, match=r"FashionMNIST is not in .* \(no network\).*Debian's package.*mnist1d"
    ) as caught:
        FashionMNIST(root=str(tmp_path)).source()
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed")
def test_fashion_mnist_from_debian(tmp_path):
    source = FashionMNIST(root=str(tmp_path / "data")).source()
    assert (source.size, source.epoch_length) == (55000, 916)
    assert not (tmp_path / "data").exists()
    x, y = (torch.cat(part) for part in zip(*source.evaluation("train"), strict=True))
    assert abs(x.mean()) < 0.01
    assert abs(x.std() - 1) < 0.01
    labels = torch.cat([y, *(y for _, y in source.evaluation("val"))])
    assert labels.bincount().tolist() == [6000] * 10
