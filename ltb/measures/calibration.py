"""Calibration: how far a classifier's probabilities can be believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from ltb.common.allowed import Limits, Split, settle
from ltb.core.contracts import Bench
from ltb.core.measure import Measure
from ltb.core.results import Measurement, Result
from ltb.measures.class_scores import class_scores


@dataclass(frozen=True)
class Calibration(Measure):
    """Calibration of the softmax of the module's outputs, at the end of the fit, for classifiers that return logits.

    The confidence of an example is the largest softmax probability. `bins` bins of equal width divide [0, 1]: bin m =
    1..bins is ((m − 1)/bins, m/bins] as in Guo et al. 2017, "On calibration of modern neural networks", section 2; an
    example on an edge is in the lower bin (torchmetrics has it in the upper, and a confidence of 1 in a bin of its
    own). Sums are float64. What is asked of modules and batches, and the errors otherwise, are those of `class_scores`.
    A network that diverged, with NaN among its outputs, has NaN for all values.

    Values, over the examples of `split`:
    ece:        expected calibration error, Σ share of the bin · |accuracy − mean confidence|, in [0, 1] (equation 3).
    mce:        maximum calibration error, the largest |accuracy − mean confidence| of a bin with examples, in [0, 1]
                (equation 5).
    brier:      Σ over classes of (probability − [is the class])², mean over examples, in [0, 2] (Brier 1950).
    nll:        mean negative log-likelihood of the labels, in nats.
    confidence: mean confidence; above the accuracy the network is overconfident.
    Tensors, for a reliability diagram, each of shape (bins,): count (int64), and confidence and accuracy, the means in
    the bin (float64, NaN in a bin without examples).
    """

    split: Split = "test"
    bins: Annotated[int, Limits("1 to 10000", least=1, below=10_001)] = 15

    def __post_init__(self) -> None:
        settle(self, f"measure.{self.name}")

    def __call__(self, of: Sequence[Result], bench: Bench) -> Measurement:
        (result,) = of
        found = [_examples(*batch) for batch in class_scores(result, bench, self.split, self.name)]
        confidence, right, brier, nll = (torch.cat(column) for column in zip(*found, strict=True))
        count, mean_confidence, accuracy = reliability(confidence, right, self.bins)
        filled = count > 0
        gaps = (accuracy - mean_confidence)[filled].abs()
        values = {
            "ece": float((gaps * count[filled]).sum() / count.sum()),
            "mce": float(gaps.max()),
            "brier": float(brier.mean()),
            "nll": float(nll.mean()),
            "confidence": float(confidence.mean()),
        }
        return Measurement(values, {"count": count, "confidence": mean_confidence, "accuracy": accuracy})


def reliability(confidence: Tensor, right: Tensor, bins: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the count (int64), mean confidence and accuracy (float64, NaN without examples) of each bin, (bins,).

    `confidence` in [0, 1] and `right`, 0 or 1, are float64 of shape (examples,).

    >>> count, _, accuracy = reliability(torch.tensor([0.5, 0.625, 1]).double(), torch.tensor([1, 0, 1]).double(), 2)
    >>> count.tolist(), accuracy.tolist()
    ([1, 2], [1.0, 0.5])
    """
    inner = torch.arange(1, bins, dtype=torch.float64) / bins
    index = torch.bucketize(confidence, inner)  # edges[i - 1] < confidence <= edges[i]
    count = torch.bincount(index, minlength=bins)
    sums = (torch.bincount(index, weights=each, minlength=bins) for each in (confidence, right))
    mean_confidence, accuracy = (each / count for each in sums)
    return count, mean_confidence, accuracy


def _examples(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return confidence, rightness (0 or 1), Brier score and −log-likelihood of each example: float64 (batch,)."""
    log = scores.log_softmax(1)
    confidence, predicted = log.exp().max(1)
    truth = torch.nn.functional.one_hot(labels, scores.shape[1])
    brier = (log.exp() - truth).square().sum(1)
    return confidence, (predicted == labels).double(), brier, -log.gather(1, labels[:, None]).squeeze(1)
