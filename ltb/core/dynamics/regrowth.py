"""Sparse training with regrowth: at regular steps each layer drops its smallest weights and grows as many others."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ltb.common.allowed import Fraction
from ltb.core.allocation import keep_top
from ltb.core.criteria import Gradient
from ltb.core.dynamics.base import Regular, Standing
from ltb.core.masks import Masks
from ltb.core.seeds import derive


@dataclass(frozen=True)
class Regrowth(Regular):
    """Of a layer's kept weights the smallest ⌊f · kept⌋ are dropped, and as many of what is then not kept are grown.

    What was just dropped may be grown, and so may what an earlier level pruned. Each layer keeps its number of weights.
    """

    regrows: ClassVar[bool] = True

    def __call__(self, now: Standing) -> Masks:
        growth, fraction = self.growth(now), self.fraction(now)
        return {
            name: self._changed(now.weights[name].flatten(), mask.flatten(), growth[name].flatten(), fraction).reshape(
                mask.shape
            )
            for name, mask in now.masks.items()
        }

    def _changed(self, weight: Tensor, mask: Tensor, growth: Tensor, fraction: float) -> Tensor:
        kept = int(mask.sum())
        stays = keep_top(weight.abs(), mask, kept - int(fraction * kept))
        return stays | keep_top(growth, ~stays, kept - int(stays.sum()))

    @abstractmethod
    def fraction(self, now: Standing) -> float:
        """Return the fraction f of a layer's kept weights that is exchanged, in [0, 1)."""

    @abstractmethod
    def growth(self, now: Standing) -> Mapping[str, Tensor]:
        """Return the scores by which weights are grown, the highest first."""


@dataclass(frozen=True)
class SET(Regrowth):
    """Sparse evolutionary training (Mocanu et al. 2018): a constant fraction `exchanged` of each layer, grown at random.

    Deviations: the smallest |w| are dropped, not the smallest positive and the largest negative weights apart; what is grown
    begins at 0, as in RigL, not at a random value.
    """

    exchanged: Fraction = 0.3

    def fraction(self, now: Standing) -> float:
        return self.exchanged

    def growth(self, now: Standing) -> Mapping[str, Tensor]:
        found = {}
        for name, mask in now.masks.items():
            generator = torch.Generator().manual_seed(derive(now.aim.seed, "grown", now.step, name))
            found[name] = torch.rand(mask.shape, generator=generator, dtype=torch.float64)
        return found


@dataclass(frozen=True)
class RigL(Regrowth):
    """RigL (Evci et al. 2020): a fraction of each layer that falls from `exchanged` along a cosine, grown by |dL/dw|.

    f = exchanged / 2 · (1 + cos(π · step / last)). The gradient is dense, that of the masked network's loss in training mode over
    one minibatch: the one that is trained on next. Deviation: theirs skips the optimizer's step at a change, so that it trains
    less; here the minibatch is trained on under the new masks.
    """

    exchanged: Fraction = 0.3
    probe: ClassVar[Any] = Gradient(train=True)

    def fraction(self, now: Standing) -> float:
        return self.exchanged / 2 * (1 + math.cos(math.pi * now.step / self.end(now.length, now.clock)))

    def growth(self, now: Standing) -> Mapping[str, Tensor]:
        return {name: gradient.abs() for name, gradient in now.gathered(self.probe)["gradient"].items()}
