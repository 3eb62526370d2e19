"""Accuracy by class on written-down scores, and the confusion matrix of torchmetrics."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

from ltb.measures import PerClass
from tests.measures.bench import ask


def one_hot(*predicted, classes=3):
    return torch.nn.functional.one_hot(torch.tensor(predicted), classes).float()


def test_literal_scores_in_two_batches():
    found = ask(
        PerClass(),
        (one_hot(0, 0, 1), torch.tensor([0, 0, 0])),
        (one_hot(1, 2), torch.tensor([1, 1])),
    )
    assert found.values == {
        "accuracy/class_0": 2 / 3,
        "accuracy/class_1": 0.5,
        "accuracy/class_2": None,  # no example of it, though it was predicted
        "examples/class_0": 3,
        "examples/class_1": 2,
        "examples/class_2": 0,
        "worst_accuracy": 0.5,
    }
    assert found.tensors["confusion"].tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 0]]


@given(st.integers(2, 6), st.integers(1, 50), st.integers(0, 1000), st.integers(1, 4))
def test_agreement_with_torchmetrics(classes, examples, seed, parts):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(examples, classes, generator=generator)
    labels = torch.randint(classes, (examples,), generator=generator)
    found = ask(PerClass(), *zip(scores.chunk(parts), labels.chunk(parts), strict=True))
    assert torch.equal(found.tensors["confusion"], MulticlassConfusionMatrix(classes)(scores, labels))
    assert found.tensors["confusion"].dtype == torch.int64
    accuracies = MulticlassAccuracy(classes, average="none")(scores, labels).tolist()
    for index, accuracy in enumerate(accuracies):
        count = int((labels == index).sum())
        assert found.values[f"examples/class_{index}"] == count
        assert found.values[f"accuracy/class_{index}"] == (pytest.approx(accuracy) if count else None)
    seen = [value for name, value in found.values.items() if name.startswith("accuracy/") and value is not None]
    assert found.values["worst_accuracy"] == min(seen)
