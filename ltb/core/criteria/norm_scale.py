"""Norm scale: channels that batch normalisation scales down go."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ltb.common.allowed import settle
from ltb.core import tensors
from ltb.core.contracts import network_of
from ltb.core.criteria.criterion import Criterion, Evidence, Scores
from ltb.core.tensors import Weights
from ltb.core.units import Group, Structure, groups_of


@dataclass(frozen=True)
class NormScales:
    """|γ| of the norm behind each unit, for every weight that makes the unit, as ``gathered["scale"]``.

    Of several norms their mean; infinite where there is none, and 0 for weights that make no unit. Raises ValueError for a network
    without any.
    """

    structure: Structure

    def __call__(self, module: Any, batches: Any) -> Mapping[str, Weights]:
        network = network_of(module)
        weights = tensors.weights_of(network)  # before the structure is asked, which may draw others
        norms = set(tensors.norm_scales(network))
        scales = {name: torch.zeros(weight.shape, dtype=torch.float64) for name, weight in weights.items()}
        groups = groups_of(self.structure(module, batches))
        if not any(norms & group.made.keys() for group in groups):
            raise ValueError("no unit of this network has a batch norm behind it, whose scale it could be ranked by")
        for group in groups:
            scale = _scale(group, {name: weights[name].abs() for name in norms & weights.keys()})
            for name, index in group.made.items():
                scales[name] = torch.where(index < 0, scales[name], scale[index.clamp(min=0)]).expand(
                    weights[name].shape
                )
        return {"scale": scales}


def _scale(group: Group, scales: Mapping[str, Tensor]) -> Tensor:
    sides = group.made.items()
    count = group.sums({name: torch.ones_like(scale) for name, scale in scales.items()}, sides)
    return torch.where(count > 0, group.sums(scales, sides) / count, math.inf)


@dataclass(frozen=True)
class NormScale(Criterion):
    """|γ|, the scale of the batch norm behind a unit, for each weight that makes the unit (Liu et al. 2017, network slimming).

    For allocations of whole units, with ``reduce=mean``. A unit with several norms has their mean; one without any is worth most.
    The authors train with an L1 penalty on γ: ``dense_objective=l1 dense_objective.over=norm_scales``, ``method=network_slimming``.
    """

    structure: Structure

    def __post_init__(self) -> None:
        settle(self, "criterion")

    @property
    def probe(self) -> NormScales:  # type: ignore[override]
        return NormScales(self.structure)

    def __call__(self, weights: Weights, evidence: Evidence) -> Scores:
        scale = evidence.gathered["scale"]
        return {name: scale[name] for name in weights}
