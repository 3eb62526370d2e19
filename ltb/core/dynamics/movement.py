"""Movement pruning: weights that training moves away from 0 are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from ltb.core.dynamics.base import Regular, Standing
from ltb.core.dynamics.gradual import ramp
from ltb.core.masks import Masks


@dataclass(frozen=True)
class Movement(Regular):
    """Hard movement pruning (Sanh et al. 2020, section 4): the highest S are kept, S the sum of −w · dL/dw over the steps so far.

    The sparsity rises along `shape`, see `ramp`; what was pruned comes back where its S is among the highest again.
    Deviations: the paper trains masked weights on through a straight-through estimator; here what is masked is 0, so that its S
    stands still meanwhile and a weight that comes back begins at 0. The learning rate of S is left out: it scales all alike. The
    gradient is the one that the optimizer takes, penalties and clipping included.
    """

    shape: Literal["cubic", "linear", "exponential"] = "cubic"
    prunes: ClassVar[bool] = True
    ranks: ClassVar[bool] = True
    sums: ClassVar[bool] = True

    def summed(self, weight: Tensor, gradient: Tensor) -> Tensor:
        return -weight * gradient

    def __call__(self, now: Standing) -> Masks:
        target = ramp(now.aim.first, now.aim.target, self.progress(now), self.shape)
        return now.allocated(now.sums, now.aim.outer, target)
