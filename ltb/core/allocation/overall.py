"""One ranking over all prunable weights: of scores as they are, or of LAMP's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ltb.common.allowed import CountFromZero, settle
from ltb.core.allocation.allocation import NO_EVIDENCE, Allocation, Shapes, keep_top, shapes_of, sizes
from ltb.core.criteria import Evidence, Scores
from ltb.core.masks import Masks


def check_minimum(minimum: int, counts: Sequence[int], kept: int, target: float, counted: str = "weights") -> None:
    """Raise ValueError where layers of so many weights would keep more than `kept` in all, each `minimum` or what it has."""
    guarded = sum(min(minimum, count) for count in counts)
    if guarded > kept:
        raise ValueError(
            f"allocation.min_per_layer={minimum}: {len(counts)} layers would keep {guarded} {counted}, and a "
            f"sparsity of {target:.6g} keeps {kept}"
        )


def rank_together(scores: Scores, masks: Masks, count: int, minimum: int = 0) -> dict[str, Tensor]:
    """Return masks of the `count` best candidates of all layers together, the `minimum` best of each layer among them.

    A layer with fewer candidates than `minimum` keeps those.
    """
    names = list(masks)
    flat = torch.cat([scores[name].flatten() for name in names])
    candidates = torch.cat([masks[name].flatten() for name in names])
    guarded = torch.zeros_like(candidates)
    if minimum:
        best = [
            keep_top(scores[name].flatten(), masks[name].flatten(), min(minimum, int(masks[name].sum())))
            for name in names
        ]
        guarded = torch.cat(best)
    kept = guarded | keep_top(flat, candidates & ~guarded, count - int(guarded.sum()))
    parts = kept.split([masks[name].numel() for name in names])
    return {name: part.reshape(masks[name].shape) for name, part in zip(names, parts, strict=True)}


@dataclass(frozen=True)
class Global(Allocation):
    """One ranking over all prunable weights: layers keep what their scores earn (Frankle & Carbin 2019, deep networks).

    `min_per_layer` weights of each layer are kept whatever their rank (0: a layer may collapse); the total stays exact.
    """

    min_per_layer: CountFromZero = 0

    def __post_init__(self) -> None:
        settle(self, "allocation")

    def check(self, shapes: Shapes, targets: Sequence[float]) -> None:
        check_minimum(self.min_per_layer, [*sizes(shapes).values()], self.kept(shapes, targets[-1]), targets[-1])

    def __call__(
        self, scores: Scores, masks: Masks, target: float, evidence: Evidence = NO_EVIDENCE
    ) -> dict[str, Tensor]:
        shapes = shapes_of(masks)
        self.check(shapes, [target])
        return rank_together(self.ranked(scores, masks), masks, self.kept(shapes, target), self.min_per_layer)

    def ranked(self, scores: Scores, masks: Masks) -> Scores:
        """Return what is ranked: the scores as they are."""
        return scores


@dataclass(frozen=True)
class LAMP(Global):
    """One ranking of layer-adaptive scores (Lee et al. 2021, equation 4): s² over the sum of s² of what scores no less in a layer.

    Only what the masks keep is summed; of equal scores the earlier counts as the larger. Each layer's best weight scores 1, so no
    layer empties while there are as many weights to keep as layers. Scores must be 0 or more, such as magnitudes.
    `min_per_layer` as in `Global`.
    """

    unsigned: ClassVar[bool] = True

    def ranked(self, scores: Scores, masks: Masks) -> Scores:
        return {name: lamp_scores(scores[name], mask) for name, mask in masks.items()}


def lamp_scores(scores: Tensor, mask: Tensor) -> Tensor:
    """Return LAMP's scores of one layer in float64, in [0, 1]; 0 where `mask` keeps nothing.

    Raises ValueError for a score below 0.

    >>> lamp_scores(torch.tensor([1.0, 3.0, 2.0]), torch.tensor([True, True, True]))
    tensor([0.0714, 1.0000, 0.3077], dtype=torch.float64)
    """
    alive = scores[mask].double()
    if (alive < 0).any():
        raise ValueError(
            f"allocation=LAMP: a score is {float(alive.min()):.6g}; LAMP ranks scores of 0 or more, such as criterion=magnitude"
        )
    largest = (
        alive.max() if len(alive) and alive.max() > 0 else alive.new_ones(())
    )  # a ratio: so that no square overflows
    ordered, order = (alive / largest).sort(descending=True, stable=True)
    squares = ordered.square()
    ratios = squares / squares.cumsum(0).where(squares.isnan() | (squares.cumsum(0) > 0), 1.0)
    ratios[:1] = ratios[:1].where(ratios[:1].isnan(), 1.0)  # in a layer of zeros too
    adapted = torch.zeros_like(alive)
    adapted[order] = ratios
    found = torch.zeros(scores.shape, dtype=torch.float64, device=scores.device)
    found[mask] = adapted
    return found
