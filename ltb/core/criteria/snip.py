"""SNIP and its iterative forms: how much the loss changes, to first order, when a connection is cut."""

from __future__ import annotations

from dataclasses import dataclass

from ltb.common.allowed import Count, Rounds, settle
from ltb.core.criteria import examples
from ltb.core.criteria.criterion import Criterion, Evidence, Scores
from ltb.core.criteria.gradient import Gradient
from ltb.core.tensors import Weights


@dataclass(frozen=True)
class Snip(Criterion):
    """|w · ∂L/∂w|, connection sensitivity (Lee et al. 2019, equation 5): the minibatches are averaged before the absolute value.

    The paper divides by the sum of all scores, which changes no ranking, and prunes biases too, which ltb does not.

    batches: how many training minibatches are scored, the first ones of the run's seed (the authors: one).
    train:   score in training mode, where batch statistics and dropout act; the authors score in evaluation mode.
    rounds:  1 is SNIP; more are iterative SNIP, each round at the gradient of the masked network (de Jorge et al. 2021;
             Verdenius et al. 2020).
    regrows: let pruned weights return within the rounds: FORCE (de Jorge et al. 2021).
    examples_per_class: score so many examples of each class instead of `batches`, the first ones of the run's seed (Frankle et
             al. 2021: 10).
    """

    batches: Count = 1
    train: bool = False
    rounds: Rounds = 1
    regrows: bool = False
    examples_per_class: Count | None = None

    def __post_init__(self) -> None:
        settle(self, "criterion")
        examples.check(self, "criterion")

    @property
    def probe(self) -> Gradient:  # type: ignore[override]
        return Gradient(self.batches, self.train, self.examples_per_class)

    def __call__(self, weights: Weights, evidence: Evidence) -> Scores:
        gradient = evidence.gathered["gradient"]
        return {name: (weight * gradient[name]).abs() for name, weight in weights.items()}
