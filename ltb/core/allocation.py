"""Allocations: which weights make up a target sparsity. (scores, masks, target, evidence) -> masks, with exact counts.

Of n weights a target s keeps exactly n − round(n·s). The target counts from the full n, never from what the last level
left, so rounding does not compound; only weights that `masks` still keeps are candidates, so masks nest. Among equal
scores the earlier weight is kept: layers in the network's order, then row-major within a layer.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, ClassVar

import torch
from torch import Tensor

from ltb.core.allowed import CountFromZero, Fraction, settle
from ltb.core.criteria import Evidence, Scores
from ltb.core.masks import Masks


def kept_count(total: int, sparsity: float) -> int:
    """total − round(total · sparsity): how many of `total` weights a sparsity keeps."""
    return total - round(total * sparsity)


def keep_top(scores: Tensor, candidates: Tensor, count: int) -> Tensor:
    """The exact top-k of the project: a mask of the `count` highest `scores` (1-d) among `candidates` (bool, 1-d).

    Ties at the threshold are kept in index order. A comparison with a threshold alone would keep all of them or none.
    Raises ValueError when there are fewer candidates than `count`, and for NaN scores (a network that diverged).
    """
    alive = scores[candidates]
    if torch.isnan(alive).any():
        raise ValueError(
            "scores are NaN: the network that was to be pruned has diverged; lower the learning rate (lr.base)"
        )
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


NO_EVIDENCE = Evidence()


class Allocation(ABC):
    """(scores, masks, target sparsity in [0, 1), evidence) -> masks. A frozen dataclass without state.

    One that looks at more than scores carries a `probe`, as a criterion does.
    """

    probe: ClassVar[Any] = None
    version: ClassVar[int] = 1

    @abstractmethod
    def __call__(
        self, scores: Scores, masks: Masks, target: float, evidence: Evidence = NO_EVIDENCE
    ) -> dict[str, Tensor]: ...

    def check(self, counts: Mapping[str, int], target: float) -> None:  # noqa: B027 - most allocations fit any network
        """Raise ValueError when the allocation cannot serve a network with so many weights in each prunable parameter."""


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


@dataclass(frozen=True)
class Layerwise(Allocation):
    """Every layer to its own sparsity by its own ranking (Frankle & Carbin 2019, LeNet and Conv-N).

    Without `rates` each layer gets the target. `rates` maps glob patterns over parameter names to factors: a layer of factor
    f, a number >= 0 or ``half``, loses f · rate of its weights while other layers lose `rate`; LeNet's output at half rate
    is ``rates={"output.weight": "half"}``. At target density d such a layer has density d^(ln(1 − f·rate) / ln(1 − rate)):
    after L geometric levels (1 − f·rate)^L, and the same at equal d for any other schedule. A target is then the sparsity
    of the layers of factor 1; what the network as a whole has is recorded beside it. `min_per_layer` as in `Global`, layer
    by layer.

    >>> round(Layerwise(rate=0.2, rates={"output.weight": "half"}).layer_sparsity("output.weight", 0.36), 4)
    0.19
    """

    rate: Fraction = 0.2
    rates: Mapping[str, Any] | tuple[tuple[str, Any], ...] = ()
    min_per_layer: CountFromZero = 0

    def __post_init__(self) -> None:
        settle(self, "allocation")
        # Pairs, for their order counts: of several patterns that match a layer the first one does.
        pairs = tuple((pattern, self._factor(pattern, value)) for pattern, value in dict(self.rates).items())
        object.__setattr__(self, "rates", pairs)

    def _factor(self, pattern: str, value: object) -> float:
        factor = 0.5 if value == "half" else value
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 <= factor * self.rate < 1:
            raise ValueError(
                f"allocation.rates[{pattern!r}]={value!r}: half or a number, 0 or more, "
                f"that times the rate ({self.rate}) is below 1"
            )
        return float(factor)

    def check(self, counts: Mapping[str, int], target: float) -> None:
        for pattern in dict(self.rates):
            if not any(fnmatchcase(name, pattern) for name in counts):
                raise ValueError(
                    f"allocation.rates: {pattern!r} matches no prunable parameter; there are {', '.join(counts)}"
                )
        if target > 0 and self.min_per_layer >= max(counts.values()):
            raise ValueError(
                f"allocation.min_per_layer={self.min_per_layer}: no layer would lose a weight, for the largest has "
                f"{max(counts.values())}"
            )

    def layer_sparsity(self, name: str, target: float) -> float:
        """The sparsity of layer `name` at a target; of several patterns that match, the first counts."""
        pairs: tuple[tuple[str, float], ...] = self.rates  # type: ignore[assignment]
        factor = next((factor for pattern, factor in pairs if fnmatchcase(name, pattern)), 1.0)
        if factor == 1:
            return target
        rate = round(factor * self.rate, 12)  # 0.75 of 0.2 is 0.15, as one would write it, and not 0.15000000000000002
        return 1 - (1 - target) ** (math.log1p(-rate) / math.log1p(-self.rate))

    def __call__(
        self, scores: Scores, masks: Masks, target: float, evidence: Evidence = NO_EVIDENCE
    ) -> dict[str, Tensor]:
        self.check({name: mask.numel() for name, mask in masks.items()}, target)
        allocated = {}
        for name, mask in masks.items():
            count = max(
                kept_count(mask.numel(), self.layer_sparsity(name, target)), min(self.min_per_layer, int(mask.sum()))
            )
            allocated[name] = keep_top(scores[name].flatten(), mask.flatten(), count).reshape(mask.shape)
        return allocated
