import random

import numpy
import pytest
import torch

from ltb.data import MNIST1D
from ltb.data.mnist1d import _made, _signals


def test_what_it_contains():
    source = MNIST1D().source()
    assert (source.shape, source.classes, source.size, source.epoch_length) == ((40,), 10, 3600, 36)
    counts = {split: sum(len(y) for _, y in source.evaluation(split)) for split in ("train", "val", "test")}
    assert counts == {"train": 3600, "val": 400, "test": 1000}
    x, y = next(source.stream(0, 0, 1))
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((100, 40), torch.float32, (100,), torch.int64)


@pytest.mark.slow
def test_it_leaves_the_global_generators_as_they_were():
    random.seed(1)
    numpy.random.seed(2)
    expected = random.random(), numpy.random.random()
    random.seed(1)
    numpy.random.seed(2)
    _made()
    assert (random.random(), numpy.random.random()) == expected


@pytest.mark.slow
def test_it_is_the_same_data_each_time_it_is_made_and_read(tmp_path):
    first = MNIST1D(root=str(tmp_path / "a")).source()
    numpy.random.seed(5)
    _signals.cache_clear()
    assert MNIST1D(root=str(tmp_path / "a")).source().fingerprint == first.fingerprint  # read
    assert MNIST1D(root=str(tmp_path / "b")).source().fingerprint == first.fingerprint  # made
    assert MNIST1D(root=str(tmp_path / "a"), split_seed=1).source().fingerprint != first.fingerprint


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b"", lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda b: b + b"0"]
)
def test_a_file_that_is_not_whole_is_made_anew(tmp_path, monkeypatch, capsys, damage):
    made = [torch.arange(4.0).reshape(2, 2), torch.tensor([0, 1]), torch.ones(1, 2), torch.tensor([1])]
    times = []
    monkeypatch.setattr("ltb.data.mnist1d._made", lambda: times.append(1) or made)

    def read():
        _signals.cache_clear()
        assert all(map(torch.equal, _signals(tmp_path), made))
        return len(times)

    assert (read(), read()) == (1, 1)
    assert capsys.readouterr().err == ""
    (path,) = tmp_path.rglob("*.bin")
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert (read(), read()) == (2, 2)
    assert capsys.readouterr().err == f"ltb: {path}: damaged; it is made again\n"
    assert path.read_bytes() == whole
    _signals.cache_clear()


def test_where_no_file_can_be_written_it_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr("ltb.data.mnist1d._made", lambda: [torch.zeros(1) for _ in range(4)])
    (tmp_path / "mnist1d").write_text("a file")
    _signals.cache_clear()
    assert len(_signals(tmp_path)) == 4
    _signals.cache_clear()
