"""The examples that a network classifies right: one bit an example."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ltb.common.allowed import Split, settle
from ltb.core import masks
from ltb.core.contracts import Bench
from ltb.core.measure import Measure
from ltb.core.results import Measurement, Result
from ltb.measures.class_scores import class_scores


@dataclass(frozen=True)
class Correctness(Measure):
    """The correctness of each example of the split at the end of the fit, for classifiers.

    From it a report makes intervals over seeds and examples: those over seeds alone take the test set as given. A prediction is
    the class of the highest score; what is asked of modules and batches, and the errors otherwise, are those of `class_scores`.

    Values: accuracy in [0, 1], examples. Tensors: correct, uint8 (ceil(examples / 8),), a bit an example in the order of the
    split, the first in the highest bit; examples, int64 (1,).
    """

    split: Split = "test"

    def __post_init__(self) -> None:
        settle(self, f"measure.{self.name}")

    def __call__(self, of: Sequence[Result], bench: Bench) -> Measurement:
        (result,) = of
        batches = class_scores(result, bench, self.split, self.name)
        right = torch.cat([scores.argmax(1) == labels for scores, labels in batches])
        count = len(right)
        tensors = {"correct": masks.pack(right), "examples": torch.tensor([count])}
        return Measurement({"accuracy": int(right.sum()) / count, "examples": count}, tensors)
