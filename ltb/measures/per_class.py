"""Accuracy class by class, and which class is taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ltb.common.allowed import Split, settle
from ltb.core.contracts import Bench
from ltb.core.measure import Measure
from ltb.core.results import Measurement, Number, Result
from ltb.measures.class_scores import class_scores


@dataclass(frozen=True)
class PerClass(Measure):
    """The accuracy on the examples of each class (recall), at the end of the fit, for classifiers.

    A prediction is the class of the highest score. What is asked of modules and batches, and the errors otherwise, are
    those of `class_scores`. Pruning harms classes unequally where the mean accuracy hardly moves (Hooker et al. 2019,
    "What do compressed deep neural networks forget?").

    Values: for each class, such as 3, ``accuracy/class_3`` in [0, 1], None without examples, and ``examples/class_3``,
    how many there are; worst_accuracy, the least accuracy of a class that has examples.
    Tensors: confusion, int64 (classes, classes): examples of the class of the row, predicted as that of the column.
    """

    split: Split = "test"

    def __post_init__(self) -> None:
        settle(self, f"measure.{self.name}")

    def __call__(self, of: Sequence[Result], bench: Bench) -> Measurement:
        (result,) = of
        counts = [confusion(*batch) for batch in class_scores(result, bench, self.split, self.name)]
        matrix = torch.stack(counts).sum(0)
        right, examples = matrix.diagonal().tolist(), matrix.sum(1).tolist()
        accuracies = [r / n if n else None for r, n in zip(right, examples, strict=True)]
        values: dict[str, Number | None] = {f"accuracy/class_{c}": value for c, value in enumerate(accuracies)}
        values |= {f"examples/class_{c}": count for c, count in enumerate(examples)}
        values["worst_accuracy"] = min(value for value in accuracies if value is not None)
        return Measurement(values, {"confusion": matrix})


def confusion(scores: Tensor, labels: Tensor) -> Tensor:
    """Return how many examples of each class (row) are predicted as each class (column): int64, (classes, classes).

    >>> confusion(torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 1.0]]), torch.tensor([0, 1, 1])).tolist()
    [[1, 0], [1, 1]]
    """
    classes = scores.shape[1]
    return torch.bincount(labels * classes + scores.argmax(1), minlength=classes**2).reshape(classes, classes)
