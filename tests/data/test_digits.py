import torch

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
