import dataclasses
from typing import ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ltb.common.errors import Damaged
from ltb.data import CIFAR10, Digits, FashionMNIST, ImageNet, Noise
from ltb.data.dataset import InMemory


@dataclasses.dataclass(frozen=True, kw_only=True)
class Made(InMemory):
    """Twelve and four examples, whose contents a test may replace."""

    SHAPE: ClassVar = (2,)
    CLASSES: ClassVar = 3
    EXAMPLES: ClassVar = (12, 4)

    shape: tuple[int, ...] = SHAPE
    classes: int = CLASSES
    batch_size: int = 2
    val_size: int = 3
    train: tuple = (torch.arange(24.0).view(12, 2), torch.arange(12) % 3)
    test: tuple = (torch.zeros(4, 2), torch.tensor([0, 1, 2, 0]))

    def read(self):
        return self.train, self.test


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"shape": [3]}, r"data\.shape=\[3\]: \[2\] for Made"),
        ({"shape": []}, r"data\.shape=.*\[\].*: a "),
        ({"shape": [0]}, r"data\.shape=.*\[0\].*: a "),
        ({"classes": 4}, r"data\.classes=4: 3 for Made"),
        ({"batch_size": 0}, r"data\.batch_size=0: a whole number, 1 or more"),
        ({"batch_size": 2.0}, r"data\.batch_size=.*2\.0.*: a "),
        ({"batch_size": True}, r"data\.batch_size=.*True.*: a "),
        ({"batch_size": 10}, r"data\.batch_size=10: at most 9, "),
        ({"batch_size": 5, "train_size": 4}, r"data\.batch_size=5: at most 4, "),
        ({"val_size": 0}, r"data\.val_size=0: a whole number, 1 or more"),
        ({"val_size": 12}, r"data\.val_size=\d+: less than 12"),
        ({"split_seed": -1}, r"data\.split_seed=.*-1.*: a "),
        ({"train_size": 0}, r"data\.train_size=.*0.*: a "),
        ({"train_size": 10}, r"data\.train_size=10: at most 9, "),
    ],
)
def test_bad_fields_are_refused_with_one_line(fields, message):
    with pytest.raises(ValueError, match=message) as caught:
        Made(**fields)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("dataset", "fields", "message"),
    [
        (FashionMNIST, {"shape": [784]}, r"data\.shape=\[784\]: \[1, 28, 28\] for FashionMNIST"),
        (FashionMNIST, {"val_size": 60000}, r"data\.val_size=\d+: less than 60000"),
        (Digits, {"train_size": 1201}, r"data\.train_size=\d+: at most 1200"),
        (CIFAR10, {"augment": "flip"}, r"data\.augment='flip': true or false"),
        (ImageNet, {"shape": [3, 224, 192]}, r"data\.shape=.*: \[3, n, n\]"),
        (ImageNet, {"workers": -1}, r"data\.workers=-1: a whole number, 0 to 1024"),
        (Noise, {"shape": [3], "classes": 0}, r"data\.classes=.*0.*: a "),
        (Noise, {"shape": [3], "classes": 2, "size": 100}, r"data\.val_size=\d+: less than 100"),
    ],
)
def test_every_dataset_refuses_at_construction(dataset, fields, message):
    with pytest.raises(ValueError, match=message):
        dataset(**fields)


def test_a_list_from_a_configuration_file_becomes_a_tuple():
    assert Made(shape=[2]) == Made(shape=(2,))
    assert isinstance(Made(shape=[2]).shape, tuple)


@settings(deadline=None)
@given(val_size=st.integers(1, 10), split_seed=st.integers(0, 100), small=st.integers(2, 11), data=st.data())
def test_splits_are_disjoint_complete_and_nested(val_size, split_seed, small, data):
    small = min(small, 12 - val_size)
    large = data.draw(st.integers(small, 12 - val_size))

    def split(train_size=None):
        made = Made(val_size=val_size, split_seed=split_seed, train_size=train_size, batch_size=1)
        train, val = made.split(12)
        return train.tolist(), val.tolist()

    train, val = split()
    assert sorted(train + val) == list(range(12))
    assert len(val) == val_size
    assert split(small) == (split(large)[0][:small], val)


def test_the_split_follows_split_seed_alone():
    torch.manual_seed(0)
    train, val = Made().split(12)
    torch.manual_seed(1)
    again, _ = Made().split(12)
    other, _ = Made(split_seed=1).split(12)
    assert torch.equal(train, again)
    assert not torch.equal(train, other)
    assert set(val.tolist()).isdisjoint(train.tolist())


@pytest.mark.parametrize("kind", [torch.uint8, torch.int32, torch.int64])
def test_labels_may_be_whole_numbers_of_any_kind(kind):
    made = Made(train=(torch.arange(24.0).view(12, 2), (torch.arange(12) % 3).to(kind)))
    assert made.source().classes == 3


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (torch.arange(12.0) % 3, "must have whole numbers as labels, not torch.float32$"),
        (torch.arange(12) % 3 > 0, "must have whole numbers as labels, not torch.bool$"),
        (torch.arange(12) % 3 - 1, r"must have the labels 0\.\.2, all of them$"),
        (torch.arange(12) % 4, r"must have the labels 0\.\.2, all of them$"),
        (torch.zeros(12, dtype=torch.int64), r"must have the labels 0\.\.2, all of them$"),
        (
            torch.zeros(12, 2, dtype=torch.int64),
            r"with one label each, but what was read is \[12, 2\] with labels \[12, 2\]; ",
        ),
    ],
)
def test_labels_that_are_none(labels, said):
    with pytest.raises(Damaged, match=said):
        Made(train=(torch.zeros(12, 2), labels)).source()


def test_labels_follow_their_examples_into_the_splits():
    source = Made().source()
    values = torch.arange(24.0).view(12, 2)[Made().split(12)[0]]
    mean, std = values.mean(), values.std(correction=0)
    for split in ("train", "val"):
        for x, y in source.evaluation(split):
            first = (x * std + mean)[:, 0].round().long() // 2  # the number of the example
            assert torch.equal(first % 3, y)


def test_values_are_standardised_with_the_training_split_alone():
    far = torch.cat([torch.arange(24.0).view(12, 2)])
    source = Made(train=(far, torch.arange(12) % 3)).source()
    x = torch.cat([x for x, _ in source.evaluation("train")]).double()
    assert abs(x.mean()) < 1e-6
    assert abs(x.std(correction=0) - 1) < 1e-6
    val = torch.cat([x for x, _ in source.evaluation("val")]).double()
    assert abs(val.mean()) > 1e-3


@pytest.mark.parametrize(
    "fields",
    [
        {"train": (torch.zeros(11, 2), torch.arange(11) % 3)},
        {"train": (torch.zeros(12, 3), torch.arange(12) % 3)},
        {"test": (torch.zeros(4, 2), torch.tensor([0, 1, 2]))},
        {"test": (torch.zeros(4, 2), torch.tensor([0, 1, 2, 3]))},
        {"train": (torch.zeros(12, 2), torch.zeros(12, dtype=torch.long))},
    ],
)
def test_contents_that_are_not_what_they_must_be_are_named(fields):
    with pytest.raises(Damaged, match=r"the (training|test) set of Made must"):
        Made(**fields).source()
