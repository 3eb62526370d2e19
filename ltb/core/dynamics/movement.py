"""Movement pruning: weights that training moves away from 0 are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from ltb.common.allowed import Limits, NotNegative, Positive
from ltb.core.dynamics.base import Moment, Regular, Standing
from ltb.core.dynamics.gradual import Ramp, ramp
from ltb.core.masks import Masks

Threshold = Annotated[float, Limits("above 0 and below 0.5, the sigmoid of a score of 0", above=0, below=0.5)]


@dataclass(frozen=True)
class Movement(Ramp):
    """Hard movement pruning (Sanh et al. 2020, section 4): the highest S are kept, S the sum of −w · dL/dw over the steps so far.

    The sparsity rises along `shape`, see `ramp`; what was pruned comes back where its S is among the highest again.
    Deviations: the paper trains masked weights on through a straight-through estimator; here what is masked is 0, so that its S
    stands still meanwhile and a weight that comes back begins at 0. The learning rate of S is left out: it scales all alike. The
    gradient is the one that the optimizer takes, penalties and clipping included.
    """

    ranks: ClassVar[bool] = True
    sums: ClassVar[bool] = True

    def summed(self, total: Tensor, weight: Tensor, gradient: Tensor, at: Moment) -> Tensor:
        return -weight * gradient

    def __call__(self, now: Standing) -> Masks:
        return now.allocated(now.sums, now.aim.outer, self.target(now))


@dataclass(frozen=True)
class SoftMovement(Regular):
    """Soft movement pruning (Sanh et al. 2020, section 4): what is kept has σ(S) > `threshold`, and a penalty lowers every S.

    S begins at 0, and each step adds rate · (−w · dL/dw − λ · dσ(S)/dS): gradient descent on the loss and λ · Σ σ(S). λ rises from
    0 at `first` to `penalty` at `last` along a cubic, as in the authors' code, and stays. On the way the density is what
    comes of that (the history has it), but never below the level's; at the last change the level's highest S are kept, in exact
    number. So levels of other methods compare, and a jump at the last change says that rate · penalty is too weak for the target: a
    weight that the loss leaves alone falls below τ = 0.1 once rate · Σ λ over the steps is 13.3, ∫ dS / (dσ/dS) from there to 0.

    Deviations: in the paper λ and τ alone decide the density, there is no target, and its masks change at each step to the end.
    Masked weights are trained on there; here what is masked is 0, so that its S only falls. S descends plainly, by the paper's
    equation, where the authors' code has Adam. The authors' threshold rises too. The gradient is the one that the optimizer takes.
    """

    rate: Positive = 100.0
    penalty: NotNegative = 3e-4
    threshold: Threshold = 0.1
    prunes: ClassVar[bool] = True
    ranks: ClassVar[bool] = True
    sums: ClassVar[bool] = True

    def strength(self, at: Moment) -> float:
        """Return λ at a moment of the fit."""
        first, last = at.clock.at(self.first), self.end(at.length, at.clock)
        return ramp(0.0, self.penalty, min(max((at.step - first) / (last - first), 0.0), 1.0), "cubic")

    def summed(self, total: Tensor, weight: Tensor, gradient: Tensor, at: Moment) -> Tensor:
        kept = torch.sigmoid(total)
        return -self.rate * (weight * gradient + self.strength(at) * kept * (1 - kept))

    def __call__(self, now: Standing) -> Masks:
        least = now.allocated(now.sums, now.aim.outer, now.aim.target)
        if self.progress(now) == 1:
            return least
        above = {name: torch.sigmoid(score) > self.threshold for name, score in now.sums.items()}
        return {name: least[name] | (above[name] & mask) for name, mask in now.aim.outer.items()}
