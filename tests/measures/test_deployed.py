"""Accuracy of variants: the ledger's where arithmetic is the same, and near it in 8 bits."""

import pytest
import torch

from ltb.core import masks as m
from ltb.core.points import Point
from ltb.core.results import Trained
from ltb.data.source import TensorSource
from ltb.measures import Deployed
from ltb.measures.deployed import SIZE, minibatches, padded
from tests.training.small import dense, metrics, training


@pytest.fixture(scope="module")
def ticket():
    """300 test examples: three minibatches, the last short."""
    generator = torch.Generator().manual_seed(0)

    def split(count):
        x = torch.randn(count, 6, generator=generator)
        return x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long()

    splits = {"train": split(70), "val": split(30), "test": split(300)}
    of = TensorSource(splits, classes=3, batch_size=10, mean=[0.0], std=[1.0])
    one = training(dropout=0.0, of=of)
    trained = one.fit(dense(one))
    masks = {name: mask.clone() for name, mask in trained.masks.items()}
    masks["0.weight"][2:, :3] = False
    return one, Trained(masks, trained.origin, Point(m.apply(trained.point.weights, masks), 25))


def test_variants_of_the_same_arithmetic_have_the_ledgers_accuracy(ticket):
    one, result = ticket
    values = one.measure(Deployed(int8=False), [result]).values
    assert set(values) == {"masked", "csr", "csr/changed", "harvested", "harvested/changed"}
    assert values["masked"] == pytest.approx(metrics(one, result)["test/accuracy"], abs=1e-6)
    assert values["csr"] == values["harvested"] == values["masked"]
    assert values["csr/changed"] == values["harvested/changed"] == 0


@pytest.mark.slow
def test_integers_change_few_predictions(ticket):
    for package in ("torchao", "onnxruntime"):
        pytest.importorskip(package)
    one, result = ticket
    values = one.measure(Deployed(onnx=True), [result]).values
    for name in ("int8", "onnx", "onnx_int8"):
        assert abs(values[name] - values["masked"]) <= values[f"{name}/changed"] + 1e-9 <= 0.05
    assert values["onnx/changed"] == 0


def test_every_example_comes_once_in_minibatches_of_one_size(ticket):
    one, _ = ticket
    parts = list(minibatches(one))
    assert [len(x) for x, _ in parts] == [SIZE, SIZE, 300 - 2 * SIZE]
    x, y = (torch.cat(each) for each in zip(*parts, strict=True))
    expected = [torch.cat(each) for each in zip(*one.source.evaluation("test"), strict=True)]
    assert torch.equal(x, expected[0])
    assert torch.equal(y, expected[1])
    assert len(padded(parts[-1][0])) == SIZE
    assert torch.equal(padded(parts[-1][0])[: len(parts[-1][0])], parts[-1][0])
