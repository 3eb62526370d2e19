"""Geometric median: what others of its layer could stand for goes."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ltb.core.criteria.criterion import Criterion, Evidence, Scores
from ltb.core.tensors import Weights


@dataclass(frozen=True)
class GeometricMedian(Criterion):
    """The sum of a filter's Euclidean distances to the other filters of its layer, for each of its weights (He et al. 2019, FPGM).

    A filter is a row of a layer's weight, (out, all else). For allocations of whole units; any other keeps filters by it as well.
    Not followed: theirs sets filters to 0 and lets them grow again in each epoch.
    """

    def __call__(self, weights: Weights, evidence: Evidence) -> Scores:
        return {name: _distances(weight).to(weight.device) for name, weight in weights.items()}


def _distances(weight: torch.Tensor) -> torch.Tensor:
    rows = weight.detach().double().reshape(len(weight), -1)
    # Not by matrix products, which lose small distances.
    total = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").sum(1)
    return total.reshape(-1, *[1] * (weight.ndim - 1)).expand(weight.shape)
