"""The mask criteria of Zhou et al. 2019 (figure 3, and their code), by their names; their large final is `Magnitude`.

w is what is scored, w₀ the weights at the rewind step: the initialisation, if k is 0. Where theirs makes all weights of the wrong
sign equal, at 0, these go on ranking them, so that ties decide nothing.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ltb.core.criteria.criterion import Criterion, Evidence, Scores
from ltb.core.tensors import Weights


@dataclass(frozen=True)
class Pair(Criterion):
    """A score of each weight by what it is and what it was."""

    def __call__(self, weights: Weights, evidence: Evidence) -> Scores:
        return {name: self.score(weight, evidence.start[name]) for name, weight in weights.items()}

    @abstractmethod
    def score(self, w: Tensor, w0: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class SmallFinal(Pair):
    """−|w|: what ended small stays."""

    signed: ClassVar[bool] = True

    def score(self, w: Tensor, w0: Tensor) -> Tensor:
        return -w.abs()


@dataclass(frozen=True)
class LargeInit(Pair):
    """|w₀|: what began large stays."""

    def score(self, w: Tensor, w0: Tensor) -> Tensor:
        return w0.abs()


@dataclass(frozen=True)
class SmallInit(Pair):
    """−|w₀|: what began small stays."""

    signed: ClassVar[bool] = True

    def score(self, w: Tensor, w0: Tensor) -> Tensor:
        return -w0.abs()


@dataclass(frozen=True)
class LargeInitLargeFinal(Pair):
    """min(|w|, |w₀|): what began large and ended large stays."""

    def score(self, w: Tensor, w0: Tensor) -> Tensor:
        return torch.minimum(w.abs(), w0.abs())


@dataclass(frozen=True)
class MagnitudeIncrease(Pair):
    """|w| − |w₀|: what grew most stays."""

    signed: ClassVar[bool] = True

    def score(self, w: Tensor, w0: Tensor) -> Tensor:
        return w.abs() - w0.abs()


@dataclass(frozen=True)
class Displacement(Pair):
    """|w − w₀|: what moved farthest stays. Theirs is called movement; movement pruning is Sanh et al. 2020."""

    def score(self, w: Tensor, w0: Tensor) -> Tensor:
        return (w - w0).abs()


@dataclass(frozen=True)
class LargeFinalSameSign(Pair):
    """w · sign(w₀): what ended large with the sign that it began with stays, what changed its sign goes first."""

    signed: ClassVar[bool] = True

    def score(self, w: Tensor, w0: Tensor) -> Tensor:
        return w * w0.sign()


@dataclass(frozen=True)
class LargeFinalDiffSign(Pair):
    """−w · sign(w₀): what ended large with the other sign stays, what kept its sign goes first."""

    signed: ClassVar[bool] = True

    def score(self, w: Tensor, w0: Tensor) -> Tensor:
        return -w * w0.sign()


@dataclass(frozen=True)
class MagnitudeIncreaseSameSign(Pair):
    """w · sign(w₀) − |w₀|: what grew most in the direction of its sign stays."""

    signed: ClassVar[bool] = True

    def score(self, w: Tensor, w0: Tensor) -> Tensor:
        return w * w0.sign() - w0.abs()
