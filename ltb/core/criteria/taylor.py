"""Criteria of a weight's worth to a trained network's loss, by expansion around the weights: Taylor, Fisher, optimal brain damage.

With g̅ averaged before the absolute value, the first-order score is `Snip`'s, which any network may be scored by.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ltb.common.allowed import Count, Rounds, settle
from ltb.core.criteria import examples
from ltb.core.criteria.criterion import Criterion, Evidence, Scores
from ltb.core.criteria.gradient import GradientMoments
from ltb.core.tensors import Weights


@dataclass(frozen=True)
class OfMoments(Criterion):
    """A function of w and the means of |g| and g², which are over minibatches or, `per_example`, over examples.

    examples_per_class: look at so many examples of each class instead of `batches`, the first ones of the run's seed.
    """

    batches: Count = 1
    rounds: Rounds = 1
    examples_per_class: Count | None = None
    per_example: ClassVar[bool] = False

    def __post_init__(self) -> None:
        settle(self, "criterion")
        examples.check(self, "criterion")

    @property
    def probe(self) -> GradientMoments:  # type: ignore[override]
        return GradientMoments(self.batches, self.per_example, self.examples_per_class)


@dataclass(frozen=True)
class Taylor(OfMoments):
    """The mean over minibatches of |w · g|, g the gradient of a minibatch's loss, in evaluation mode (Molchanov et al. 2017).

    batches: how many training minibatches are scored, the first ones of the run's seed.
    """

    def __call__(self, weights: Weights, evidence: Evidence) -> Scores:
        absolute = evidence.gathered["absolute"]
        return {name: weight.abs() * absolute[name] for name, weight in weights.items()}


@dataclass(frozen=True)
class TaylorSquared(OfMoments):
    """The mean over minibatches of (w · g)²: squared, then averaged (Molchanov et al. 2019, equation 8). As `Taylor` otherwise."""

    def __call__(self, weights: Weights, evidence: Evidence) -> Scores:
        square = evidence.gathered["square"]
        return {name: weight.square() * square[name] for name, weight in weights.items()}


@dataclass(frozen=True)
class Fisher(OfMoments):
    """The diagonal of the empirical Fisher information, F: the mean over examples of g², whatever the weight (Sung et al. 2021).

    Empirical: g is the gradient of one example's loss at its own label. Examples pass one at a time, in evaluation mode, so a
    minibatch costs a step's FLOPs but more of its time.

    batches: how many training minibatches' examples are scored, the first ones of the run's seed.
    """

    per_example: ClassVar[bool] = True

    def __call__(self, weights: Weights, evidence: Evidence) -> Scores:
        square = evidence.gathered["square"]
        return {name: square[name] for name in weights}


@dataclass(frozen=True)
class OptimalBrainDamage(OfMoments):
    """w² · H_ii / 2, the rise of the loss when a weight is cut at a minimum (LeCun et al. 1990, equation 5).

    The diagonal of the Hessian H is taken to be that of the empirical Fisher information, as in Theis et al. 2018: see `Fisher`.
    """

    per_example: ClassVar[bool] = True

    def __call__(self, weights: Weights, evidence: Evidence) -> Scores:
        square = evidence.gathered["square"]
        return {name: weight.square() * square[name] / 2 for name, weight in weights.items()}
