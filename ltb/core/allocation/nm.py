"""N:M sparsity: the pattern that semi-structured kernels run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ltb.common.allowed import Count, settle
from ltb.core.allocation.allocation import (
    NO_EVIDENCE,
    Allocation,
    Shapes,
    keep_top,
    refuse_nan,
    shapes_of,
    sizes,
)
from ltb.core.criteria import Evidence, Scores
from ltb.core.masks import Masks


@dataclass(frozen=True)
class NM(Allocation):
    """The `n` best of each `m` consecutive weights along the input dimension (Mishra et al. 2021; Zhou et al. 2021).

    The input dimension is a weight's second; a convolution's groups are of `m` input channels at one place of the kernel. A
    schedule must end at the sparsity 1 − n/m. At a target below it the n best of each group are kept, and the best of the others
    in one ranking over all layers, so that the total is exact and the level at 1 − n/m is n:m. Refuses a higher target, and
    layers whose inputs m does not divide.
    """

    patterned = True

    n: Count = 2
    m: Count = 4

    def __post_init__(self) -> None:
        settle(self, "allocation")
        if self.n >= self.m:
            raise ValueError(f"allocation.n={self.n}: below allocation.m={self.m}")

    def check(self, shapes: Shapes, targets: Sequence[float]) -> None:
        for name, shape in shapes.items():
            inputs = shape[1] if len(shape) > 1 else 0
            if not inputs or inputs % self.m:
                raise ValueError(
                    f"allocation.m={self.m}: {name} has {inputs or 'no'} inputs, and a multiple of {self.m} is needed; "
                    f"prunable.exclude=[{name}] leaves it dense"
                )
        if len(targets) > 1 and self.kept(shapes, targets[-1]) != self._fewest(shapes):
            raise ValueError(
                f"allocation.n={self.n}: {self.n}:{self.m} is a sparsity of {1 - self.n / self.m:.6g}, and the schedule ends at "
                f"{targets[-1]:.6g}; schedule=explicit schedule.sparsities=[{1 - self.n / self.m:.6g}]"
            )

    def _fewest(self, shapes: Shapes) -> int:
        return sum(sizes(shapes).values()) // self.m * self.n

    def __call__(
        self, scores: Scores, masks: Masks, target: float, evidence: Evidence = NO_EVIDENCE
    ) -> dict[str, Tensor]:
        shapes = shapes_of(masks)
        self.check(shapes, [target])
        count = self.kept(shapes, target)
        if count < self._fewest(shapes):
            raise ValueError(
                f"allocation.n={self.n}: a sparsity of {target:.6g} is more than {self.n}:{self.m} has, {1 - self.n / self.m:.6g}"
            )
        best = {name: self._best(scores[name], mask) for name, mask in masks.items()}
        flat = torch.cat([scores[name].flatten() for name in masks])
        others = torch.cat([(mask & ~best[name]).flatten() for name, mask in masks.items()])
        more = keep_top(flat, others, count - sum(int(one.sum()) for one in best.values()))
        parts = more.split([mask.numel() for mask in masks.values()])
        return {name: best[name] | part.reshape(best[name].shape) for name, part in zip(masks, parts, strict=True)}

    def _best(self, scores: Tensor, mask: Tensor) -> Tensor:
        """The n best candidates of each group of one layer."""
        refuse_nan(scores[mask])
        moved = mask.movedim(1, -1)
        candidates = moved.reshape(-1, self.m)
        order = scores.movedim(1, -1).reshape(-1, self.m).argsort(dim=1, descending=True, stable=True)
        # Candidates before what is pruned, whatever its score.
        order = order.gather(1, candidates.gather(1, order).int().argsort(dim=1, descending=True, stable=True))
        kept = torch.zeros_like(candidates).scatter(1, order[:, : self.n], True) & candidates
        return kept.reshape(moved.shape).movedim(-1, 1)
