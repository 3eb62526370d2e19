"""One ranking over all prunable weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ltb.core.allocation.allocation import NO_EVIDENCE, Allocation, keep_top, kept_count
from ltb.core.allowed import CountFromZero, settle
from ltb.core.criteria import Evidence, Scores
from ltb.core.masks import Masks


def _guard(scores: Scores, masks: Masks, minimum: int) -> dict[str, Tensor]:
    """The `minimum` best candidates of each layer (fewer where fewer are left): what a min_per_layer sets aside."""
    return {
        name: keep_top(scores[name].flatten(), mask.flatten(), min(minimum, int(mask.sum()))).reshape(mask.shape)
        for name, mask in masks.items()
    }


@dataclass(frozen=True)
class Global(Allocation):
    """One ranking over all prunable weights: layers keep what their scores earn (Frankle & Carbin 2019, deep networks).

    `min_per_layer` weights of each layer are kept whatever their rank (0: a layer may collapse); the total stays exact.
    """

    min_per_layer: CountFromZero = 0

    def __post_init__(self) -> None:
        settle(self, "allocation")

    def check(self, counts: Mapping[str, int], target: float) -> None:
        guarded, kept = (
            sum(min(self.min_per_layer, n) for n in counts.values()),
            kept_count(sum(counts.values()), target),
        )
        if guarded > kept:
            raise ValueError(
                f"allocation.min_per_layer={self.min_per_layer}: {len(counts)} layers would keep {guarded} weights, and a "
                f"sparsity of {target:.6g} keeps {kept}"
            )

    def __call__(
        self, scores: Scores, masks: Masks, target: float, evidence: Evidence = NO_EVIDENCE
    ) -> dict[str, Tensor]:
        names = list(masks)
        flat = torch.cat([scores[name].flatten() for name in names])
        candidates = torch.cat([masks[name].flatten() for name in names])
        count = kept_count(len(flat), target)
        guarded = torch.zeros_like(candidates)
        if self.min_per_layer:
            guard = _guard(scores, masks, self.min_per_layer)
            guarded = torch.cat([guard[name].flatten() for name in names])
        self.check({name: mask.numel() for name, mask in masks.items()}, target)
        kept = guarded | keep_top(flat, candidates & ~guarded, count - int(guarded.sum()))
        parts = kept.split([masks[name].numel() for name in names])
        return {name: part.reshape(masks[name].shape) for name, part in zip(names, parts, strict=True)}
