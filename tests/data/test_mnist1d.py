import random

import numpy
import pytest
import torch

from ltb.data import MNIST1D
from ltb.data.mnist1d import _made


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
    _made.__wrapped__()
    assert (random.random(), numpy.random.random()) == expected


@pytest.mark.slow
def test_it_is_the_same_data_each_time_it_is_made():
    first = MNIST1D().source()
    _made.cache_clear()
    numpy.random.seed(5)
    assert MNIST1D().source().fingerprint == first.fingerprint
    assert MNIST1D(split_seed=1).source().fingerprint != first.fingerprint
