"""Criteria made of another criterion: its scores turned round, or made comparable between layers.

A wrapper takes over the probe, the rounds and the regrowth of the criterion in its field.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from ltb.common.allowed import settle
from ltb.core.criteria.criterion import Criterion, Evidence, Scores
from ltb.core.criteria.magnitude import Magnitude
from ltb.core.tensors import Weights


@dataclass(frozen=True)
class Wrapper(Criterion):
    """The scores of `criterion`, each tensor changed by `change`."""

    criterion: Criterion = field(default_factory=Magnitude)

    def __post_init__(self) -> None:
        settle(self, "criterion")

    @property
    def probe(self) -> Any:  # type: ignore[override]
        return self.criterion.probe

    @property
    def rounds(self) -> int:  # type: ignore[override]
        return self.criterion.rounds

    @property
    def regrows(self) -> bool:  # type: ignore[override]
        return self.criterion.regrows

    @property
    def signed(self) -> bool:  # type: ignore[override]
        return self.criterion.signed

    def __call__(self, weights: Weights, evidence: Evidence) -> Scores:
        return {name: self.change(scores) for name, scores in self.criterion(weights, evidence).items()}

    @abstractmethod
    def change(self, scores: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Inverted(Wrapper):
    """The highest scores are pruned: the inversion of Frankle et al. 2021, at the density of what it inverts.

    Not the complement of a ticket (`ltb.core.controls.Complement`), which has the other density.
    """

    signed: ClassVar[bool] = True

    def change(self, scores: Tensor) -> Tensor:
        return -scores


@dataclass(frozen=True)
class PerTensorNorm(Wrapper):
    """Scores divided by their tensor's L2 norm: under a global allocation every layer competes at the same scale.

    The norm is over the whole tensor; a tensor of zeros stays one. With magnitude: |w| / ‖w‖₂.
    """

    def change(self, scores: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(scores)
        return scores / torch.where(norm > 0, norm, 1)


@dataclass(frozen=True)
class ZScore(Wrapper):
    """Scores less their tensor's mean, divided by its standard deviation (over n), the whole tensor's.

    A tensor whose scores are all equal has zeros.
    """

    signed: ClassVar[bool] = True

    def change(self, scores: Tensor) -> Tensor:
        centred = scores - scores.mean()
        deviation = centred.square().mean().sqrt()
        return centred / torch.where(deviation > 0, deviation, 1)
