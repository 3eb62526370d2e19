"""Calibration by hand, the bins of the paper, agreement with torchmetrics, and the ranges."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.classification import MulticlassCalibrationError

from ltb.measures import Calibration
from ltb.measures.calibration import reliability
from tests.measures.bench import ask, logits


def test_four_examples_by_hand():
    scores = logits([[0.75, 0.25], [0.75, 0.25], [0.25, 0.75], [0.6, 0.4]])
    labels = torch.tensor([0, 1, 1, 1])  # right, wrong, right, wrong
    found = ask(Calibration(bins=5), (scores[:1], labels[:1]), (scores[1:], labels[1:]))
    # Bin (0.4, 0.6]: one example, accuracy 0, confidence 0.6. Bin (0.6, 0.8]: three, 2/3 and 0.75.
    assert found.values == pytest.approx(
        {
            "ece": 0.25 * 0.6 + 0.75 * (0.75 - 2 / 3),
            "mce": 0.6,
            "brier": (2 * 0.25**2 + 2 * 0.75**2 + 2 * 0.25**2 + 2 * 0.6**2) / 4,
            "nll": -(2 * math.log(0.75) + math.log(0.25) + math.log(0.4)) / 4,
            "confidence": (3 * 0.75 + 0.6) / 4,
        },
        abs=1e-12,
    )
    assert found.tensors["count"].tolist() == [0, 0, 1, 3, 0]
    assert found.tensors["confidence"].tolist() == pytest.approx([math.nan, math.nan, 0.6, 0.75, math.nan], nan_ok=True)
    assert found.tensors["accuracy"].tolist() == pytest.approx([math.nan, math.nan, 0, 2 / 3, math.nan], nan_ok=True)


def test_three_classes_by_hand():
    found = ask(Calibration(), (logits([[0.5, 0.3, 0.2]]), torch.tensor([2])))
    assert found.values == pytest.approx(
        {"ece": 0.5, "mce": 0.5, "brier": 0.25 + 0.09 + 0.64, "nll": -math.log(0.2), "confidence": 0.5}
    )


@pytest.mark.parametrize(
    ("confidence", "bins", "index"),
    [(0.5, 2, 0), (0.5000001, 2, 1), (1.0, 2, 1), (0.25, 4, 0), (0.75, 4, 2), (1.0, 1, 0), (1e-9, 15, 0), (0.2, 5, 0)],
)
def test_a_bin_has_its_upper_edge(confidence, bins, index):
    one = torch.ones(1, dtype=torch.float64)
    count, _, _ = reliability(confidence * one, one, bins)
    assert count.tolist() == [int(bin == index) for bin in range(bins)]


def test_torchmetrics_has_the_lower_edge_and_a_bin_for_certainty():
    # 1/2 | 3/4, 1 in (0, 1/2] and (1/2, 1] here; 1/2, 3/4 | 1 in [1/2, 1) and {1} there.
    probabilities = torch.tensor([[0.5, 0.5], [0.75, 0.25], [1.0, 0.0]])
    labels = torch.tensor([0, 1, 0])
    theirs = MulticlassCalibrationError(2, n_bins=2)(probabilities, labels)
    assert float(theirs) == pytest.approx((0.75 + 0.5 - 1) / 3)
    ours = ask(Calibration(bins=2), (logits(probabilities.tolist()), labels)).values["ece"]
    assert ours == pytest.approx((0.5 + (0.75 + 1 - 1)) / 3)


@given(st.integers(2, 8), st.integers(1, 80), st.integers(1, 20), st.integers(0, 1000), st.integers(1, 4))
def test_agreement_with_torchmetrics_away_from_the_edges(classes, examples, bins, seed, parts):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(examples, classes, generator=generator)
    labels = torch.randint(classes, (examples,), generator=generator)
    found = ask(Calibration(bins=bins), *zip(scores.chunk(parts), labels.chunk(parts), strict=True))
    for value, norm in (("ece", "l1"), ("mce", "max")):
        # Given probabilities, for it takes scores that happen to be in [0, 1] for those.
        theirs = MulticlassCalibrationError(classes, n_bins=bins, norm=norm)(scores.softmax(1), labels)
        assert found.values[value] == pytest.approx(float(theirs), abs=1e-5)
    probabilities = scores.double().softmax(1)
    assert found.values["nll"] == pytest.approx(float(torch.nn.functional.cross_entropy(scores.double(), labels)))
    brier = sum(
        (probability - float(index == label)) ** 2
        for row, label in zip(probabilities.tolist(), labels.tolist(), strict=True)
        for index, probability in enumerate(row)
    )
    assert found.values["brier"] == pytest.approx(brier / examples)


rows = st.lists(st.floats(-1e4, 1e4), min_size=3, max_size=3)


@given(st.lists(st.tuples(rows, st.integers(0, 2)), min_size=1, max_size=30), st.integers(1, 30))
def test_ranges(examples, bins):
    scores = torch.tensor([row for row, _ in examples], dtype=torch.float64)
    found = ask(Calibration(bins=bins), (scores, torch.tensor([label for _, label in examples])))
    assert 0 <= found.values["ece"] <= found.values["mce"] + 1e-12
    assert found.values["mce"] <= 1
    assert 0 <= found.values["brier"] <= 2 + 1e-12
    assert found.values["nll"] >= 0
    assert 1 / 3 - 1e-12 <= found.values["confidence"] <= 1
    assert found.tensors["count"].sum() == len(examples)


@given(st.integers(2, 6), st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=4))
def test_where_k_of_m_are_right_at_a_confidence_of_k_of_m_the_error_is_0(classes, groups):
    batches = []
    for k, m in ((min(pair), max(pair)) for pair in groups):
        if k * classes <= m:  # the largest probability of so many classes is above 1 / classes
            k = m
        rest = (1 - k / m) / (classes - 1)
        scores = logits([[k / m] + [rest] * (classes - 1)] * m)
        batches.append((scores, torch.tensor([0] * k + [1] * (m - k))))
    found = ask(Calibration(), *batches).values
    assert found["ece"] == pytest.approx(0, abs=1e-12)
    assert found["mce"] == pytest.approx(0, abs=1e-12)


def test_a_network_that_diverged_has_nan():
    scores = torch.tensor([[math.nan, 1.0], [1.0, 0.0]])
    assert all(math.isnan(value) for value in ask(Calibration(), (scores, torch.tensor([0, 1]))).values.values())


def test_bins_are_checked():
    with pytest.raises(ValueError, match=r"measure\.calibration\.bins=0: a whole number, 1 to 10000"):
        Calibration(bins=0)
