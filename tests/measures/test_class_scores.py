"""Measures of classifiers say what they need, and take outputs of any precision."""

import pytest
import torch

from ltb.measures import Calibration, PerClass
from tests.measures.bench import ask

X, Y = torch.tensor([[0.0, 1.0], [2.0, 1.0]]), torch.tensor([1, 0])


@pytest.mark.parametrize("measure", [PerClass(), Calibration()], ids=lambda measure: measure.name)
@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([X], r"batches must be \(x, y\), and this is a Tensor"),
        ([{"x": X, "y": Y}], r"batches must be \(x, y\), and this is a dict"),
        ([(X, Y, Y)], r"batches must be \(x, y\), and this is a tuple of 3"),
        ([(X, Y.float())], r"labels must be int64 of shape \(batch,\), and these are float32 of shape \(2,\)"),
        ([(X, Y[:, None])], r"labels must be int64 of shape \(batch,\), and these are int64 of shape \(2, 1\)"),
        ([(X, [1, 0])], r"labels must be int64 .* these are a list"),
        ([(X[:, 0], Y)], r"class scores, floating point of shape \(2, classes\), and this is float32 of shape \(2,\)"),
        ([(X[:, :1], Y)], r"of shape \(2, classes\), and this is float32 of shape \(2, 1\)"),
        ([(X.long(), Y)], "floating point .* and this is int64"),
        ([((X, X), Y)], "and this is a tuple"),
        ([(X[:1], Y)], r"of shape \(2, classes\), and this is float32 of shape \(1, 2\)"),
        ([(X, Y), (torch.zeros(2, 3), Y)], r"of shape \(2, 2\), and this is float32 of shape \(2, 3\)"),
        ([(X, Y + 1)], r"label 2 is not in 0\.\.1, the module's classes"),
        ([(X, Y - 1)], r"label -1 is not in 0\.\.1"),
        ([], "the test split has no examples"),
    ],
)
def test_what_is_no_classification_is_refused(measure, batches, message):
    with pytest.raises(ValueError, match=rf"^measure={measure.name}: .*{message}"):
        ask(measure, *batches)


@pytest.mark.parametrize("measure", [PerClass, Calibration])
def test_a_split_is_one_of_three(measure):
    with pytest.raises(ValueError, match=r"measure\.\w+\.split='exam': one of train, val, test"):
        measure(split="exam")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("measure", [PerClass(), Calibration()], ids=lambda measure: measure.name)
def test_scores_of_any_precision_are_counted_as_the_float64_numbers_that_they_are(measure, dtype):
    scores = (3 * torch.randn(20, 4, generator=torch.Generator().manual_seed(0))).to(dtype)
    labels = torch.arange(20) % 4
    got, expected = ask(measure, (scores, labels)), ask(measure, (scores.double(), labels))
    assert got.values == expected.values
    assert {tensor.dtype for tensor in got.tensors.values()} <= {torch.int64, torch.float64}


def test_nothing_is_recorded_for_gradients():
    scores = torch.randn(6, 2, requires_grad=True)
    for measure in (PerClass(), Calibration()):
        found = ask(measure, (scores, torch.tensor([0, 1] * 3)))
        assert not any(tensor.requires_grad for tensor in found.tensors.values())
