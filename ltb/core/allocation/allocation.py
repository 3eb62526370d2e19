"""Allocations: which weights make up a target sparsity. (scores, masks, target, evidence) -> masks, with exact counts.

Of n weights a target s keeps exactly n − round(n·s): of all prunable weights together, or where a class says so of each
layer's, or of blocks. The target counts from the full n, never from what the last level
left, so rounding does not compound; only weights that `masks` still keeps are candidates, so masks nest. Among equal
scores the earlier weight is kept: layers in the network's order, then row-major within a layer.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from ltb.core.criteria import Evidence, Scores
from ltb.core.execution import Execution
from ltb.core.masks import Masks

Shapes = Mapping[str, tuple[int, ...]]  # the prunable parameters, in the network's own order


def kept_count(total: int, sparsity: float) -> int:
    """total − round(total · sparsity): how many of `total` weights a sparsity keeps."""
    return total - round(total * sparsity)


def keep_top(scores: Tensor, candidates: Tensor, count: int) -> Tensor:
    """The exact top-k of the project: a mask of the `count` highest `scores` (1-d) among `candidates` (bool, 1-d).

    Ties at the threshold are kept in index order. A comparison with a threshold alone would keep all of them or none.
    Raises ValueError when there are fewer candidates than `count`, and for NaN scores (a network that diverged).
    """
    alive = scores[candidates]
    refuse_nan(alive)
    if not 0 <= count <= len(alive):
        raise ValueError(f"{count} weights were to be kept, and {len(alive)} are left")
    mask = torch.zeros_like(candidates)
    if count == 0:
        return mask
    threshold = alive.kthvalue(len(alive) - count + 1).values
    chosen = alive > threshold
    ties = (alive == threshold).nonzero().flatten()[: count - int(chosen.sum())]
    chosen[ties] = True
    mask[candidates] = chosen
    return mask


def refuse_nan(scores: Tensor) -> None:
    """Raise ValueError where a score is NaN."""
    if torch.isnan(scores).any():
        raise ValueError(
            "scores are NaN: the network that was to be pruned has diverged; lower the learning rate (lr.base)"
        )


def sizes(shapes: Shapes) -> dict[str, int]:
    """Return the number of weights of each parameter."""
    return {name: math.prod(shape) for name, shape in shapes.items()}


def shapes_of(masks: Masks) -> Shapes:
    """Return the shape of each mask."""
    return {name: tuple(mask.shape) for name, mask in masks.items()}


NO_EVIDENCE = Evidence()


class Allocation(ABC):
    """(scores, masks, target sparsity in [0, 1), evidence) -> masks. A frozen dataclass without state.

    probe:     gathers what it looks at beside scores, as a criterion's does.
    execution: how the networks that it prunes are run where a recipe does not say: None holds masks on the dense one.
    version:   raised when the same settings come to give other masks.
    counted:   what it keeps an exact number of.
    unsigned:  whether it takes no score below 0.
    patterned: whether weights are kept by several at once.
    """

    probe: ClassVar[Any] = None
    execution: ClassVar[Execution | None] = None
    version: ClassVar[int] = 1
    counted: ClassVar[str] = "weights"
    unsigned: ClassVar[bool] = False
    patterned: ClassVar[bool] = False

    @abstractmethod
    def __call__(
        self, scores: Scores, masks: Masks, target: float, evidence: Evidence = NO_EVIDENCE
    ) -> dict[str, Tensor]: ...

    def parts(self, shapes: Shapes, evidence: Callable[[], Evidence]) -> Shapes:
        """Return what it shares a target out among, for `kept` and `check`: by default the prunable parameters themselves.

        `evidence` gathers it: nothing is, where it is not called.
        """
        return shapes

    def kept(self, shapes: Shapes, target: float) -> int:
        """Return how many weights, or of what else it counts, of all parts together a target keeps."""
        return kept_count(sum(sizes(shapes).values()), target)

    def check(self, shapes: Shapes, targets: Sequence[float]) -> None:  # noqa: B027 - most allocations fit any network
        """Raise ValueError when the allocation cannot serve these parts at a schedule's targets, level 0's first."""
