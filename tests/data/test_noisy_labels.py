"""Label noise: exactly so many labels of the training split are others, and nothing else is."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ltb.data import MNIST1D, ImageNet, NoisyLabels
from ltb.data.source import TensorSource
from tests.data.test_imagenet import root  # noqa: F401 - a fixture


def made(train=40, classes=5, batch_size=4):
    """Examples that say which they are; the labels of every split are their places modulo the classes."""

    def split(n):
        return torch.arange(n, dtype=torch.float32).view(n, 1), torch.arange(n) % classes

    splits = {"train": split(train), "val": split(7), "test": split(9)}
    return TensorSource(splits, classes=classes, batch_size=batch_size, mean=(0.0,), std=(1.0,))


def labels(source, split):
    return torch.cat([y for _, y in source.evaluation(split)])


def same(batches, others):
    return all(torch.equal(x, x2) and torch.equal(y, y2) for (x, y), (x2, y2) in zip(batches, others, strict=True))


@settings(deadline=None, max_examples=50)
@given(
    train=st.integers(10, 200),
    classes=st.integers(2, 7),
    rate=st.floats(0.1, 0.9),
    seed=st.integers(0, 10),
)
def test_exactly_so_many_training_labels_are_other_classes(train, classes, rate, seed):
    clean = made(train, classes)
    noisy = NoisyLabels(clean, rate, seed)
    before, after = labels(clean, "train"), labels(noisy, "train")
    assert int((before != after).sum()) == round(rate * train)
    assert 0 <= int(after.min()) <= int(after.max()) < classes
    assert after.dtype == torch.int64
    for split in ("val", "test"):
        assert same(noisy.evaluation(split), clean.evaluation(split))


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 5), start=st.integers(0, 20), length=st.integers(0, 12))
def test_training_sees_the_clean_examples_in_their_order_with_the_labels_of_the_evaluation(seed, start, length):
    clean, noisy = made(), NoisyLabels(made(), 0.4, 3)
    wrong = labels(noisy, "train")
    pairs = zip(clean.stream(seed, start, start + length), noisy.stream(seed, start, start + length), strict=True)
    for (x, _), (x2, y2) in pairs:
        assert torch.equal(x, x2)
        assert torch.equal(y2, wrong[x[:, 0].long()])


def test_literal_labels():
    """Eight of forty: the places, true and new classes of seed 0, which stay what they are."""
    before, after = (labels(one, "train") for one in (made(), NoisyLabels(made(), 0.2, 0)))
    places = (before != after).nonzero().flatten().tolist()
    assert places == [0, 6, 9, 10, 13, 22, 27, 34]
    assert before[places].tolist() == [0, 1, 4, 0, 3, 2, 2, 4]
    assert after[places].tolist() == [2, 3, 2, 2, 1, 3, 3, 3]


def test_new_labels_are_uniform_over_the_other_classes():
    """Chi-square with 19 degrees of freedom over own class x other class, 12,000 labels: 43.8 is its 99.9 % point."""
    clean = made(20_000)
    before, after = labels(clean, "train"), labels(NoisyLabels(clean, 0.6, 1), "train")
    wrong = before != after
    counts = torch.bincount(before[wrong] * 5 + after[wrong], minlength=25).view(5, 5)
    assert counts.diagonal().tolist() == [0] * 5
    others = counts[~torch.eye(5, dtype=torch.bool)].double()
    assert float(((others - 600) ** 2 / 600).sum()) < 43.8


def test_the_same_seed_gives_the_same_labels_and_another_seed_or_rate_others():
    one, again = NoisyLabels(made(), 0.3, 1), NoisyLabels(made(), 0.3, 1)
    assert same(one.evaluation("train"), again.evaluation("train"))
    assert one.fingerprint == again.fingerprint
    others = [made(), NoisyLabels(made(), 0.3, 2), NoisyLabels(made(), 0.4, 1), NoisyLabels(made(21 * 2), 0.3, 1)]
    assert one.fingerprint not in {other.fingerprint for other in others}
    assert not torch.equal(labels(one, "train"), labels(others[1], "train"))


def test_the_clock_law_holds():
    noisy = NoisyLabels(made(), 0.3, 1)
    whole = list(noisy.stream(2, 0, 25))
    assert same(noisy.stream(2, 7, 25), whole[7:])
    assert noisy.ids(2, 9).tolist() == whole[9][0][:, 0].tolist()


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, 0.01])
def test_a_rate_without_an_effect_or_out_of_range_is_refused(rate):
    with pytest.raises(ValueError, match=f"label_noise.rate={rate}"):
        NoisyLabels(made(), rate)


def test_any_source_of_ours_takes_it(root):  # noqa: F811
    """Tensors in memory, and images that are read when they are asked for."""
    for dataset in (MNIST1D(), ImageNet(root=root, shape=(3, 16, 16), classes=2, batch_size=4, val_size=5, workers=0)):
        clean = dataset.source()
        noisy = NoisyLabels(clean, 0.4)
        wrong = labels(noisy, "train")
        assert int((wrong != labels(clean, "train")).sum()) == round(0.4 * clean.size)
        for step, (_, y) in enumerate(noisy.stream(1, 0, 5)):
            assert torch.equal(y, wrong[clean.ids(1, step)])
