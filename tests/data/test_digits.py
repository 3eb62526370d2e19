from importlib.metadata import version

import numpy
import pytest
import torch
from sklearn.datasets import load_digits

from ltb.common.errors import Unavailable
from ltb.data import Digits


def test_what_it_contains():
    source = Digits().source()
    assert (source.shape, source.classes, source.size, source.epoch_length) == ((1, 8, 8), 10, 1200, 24)
    counts = {split: sum(len(y) for _, y in source.evaluation(split)) for split in ("train", "val", "test")}
    assert counts == {"train": 1200, "val": 237, "test": 360}


def test_the_test_set_does_not_depend_on_how_the_rest_is_split():
    (x, y), (_, labels) = (next(iter(Digits(split_seed=seed).source().evaluation("test"))) for seed in (0, 1))
    assert x.shape == (360, 1, 8, 8)
    assert torch.equal(y, labels)


def test_values_are_between_zero_and_one_before_they_are_standardised():
    (x, _), (x_test, _) = Digits().read()
    assert x.min() == x_test.min() == 0
    assert x.max() == x_test.max() == 1


def test_what_is_kept_is_what_scikit_learn_has(tmp_path):
    made, read = (Digits(root=str(tmp_path)).read() for _ in range(2))
    (file,) = tmp_path.rglob("*.bin")
    assert file.name == f"scikit-learn-{version('scikit-learn')}.bin"
    pixels, labels = load_digits(return_X_y=True)
    for (x, y), (x_read, y_read) in zip(made, read, strict=True):
        assert torch.equal(x, x_read)
        assert torch.equal(y, y_read)
    together = torch.cat([x.flatten(1) for x, _ in read]) * 16
    assert sorted(map(tuple, together.tolist())) == sorted(map(tuple, pixels.tolist()))
    assert torch.cat([y for _, y in read]).bincount().tolist() == numpy.bincount(labels).tolist()


def test_a_package_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("ltb.data.kept.version", lambda name: version(f"no-{name}"))
    with pytest.raises(Unavailable, match=r"^digits needs scikit-learn: pip install scikit-learn \("):
        Digits(root=str(tmp_path)).read()
