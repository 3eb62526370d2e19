"""Edge-popup: the masks are trained and the weights are not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ltb.core.contracts import Progress, network_of
from ltb.core.execution import Body, Masked
from ltb.core.masks import Masks
from ltb.core.points import Fit
from ltb.core.seeds import derive
from ltb.core.tensors import Weights
from ltb.execution.scores import ScoredBody

REGROWN = "regrown"


@dataclass(frozen=True)
class EdgePopup(Masked):
    """Edge-popup (Ramanujan et al. 2020, section 3.2 and their code): each prunable weight has a score s, and scores are trained.

    The network's weights are w · h(s), h = 1 for the highest |s|: as many as the level's target and allocation say, of what
    the level before keeps. Backwards h is taken for the identity of |s|, so that the gradient of s is dL/d(w · h) · w · sign(s);
    weights, biases and norms stay as the fit begins with them (running statistics do not: they are no weights). The module's own
    optimizer trains the scores: its state, its weight decay and what it does with a gradient are theirs. Penalties and clipping
    are those of the effective weights' gradient. Scores begin uniform on ±1 / √fan-in, fan-in = all dimensions but the first, as
    their code has it (Kaiming uniform, a = √5), drawn by the run's seed and the parameter's name.

    Deviations: a module's biases and norms, which their networks lack, stay untrained; the weights' distribution is the model's,
    not a signed constant; of equal |s| the earlier is kept; after a fit the network is any other masked network.
    """

    prunes: ClassVar[bool] = True

    def begin(self, module: nn.Module, fit: Fit, done: Progress | None = None) -> Body:
        return EdgePopupBody(network_of(module), fit, done.state if done else {})


class EdgePopupBody(ScoredBody):
    """A body whose effective weights are those that are shown; it counts how often one that was not kept became one that is."""

    def __init__(self, network: nn.Module, fit: Fit, state: Weights) -> None:
        super().__init__(network, fit, state)
        self._regrown = state.get(REGROWN, torch.tensor(0)).clone()

    def initial(self, weights: Weights) -> Weights:
        return initial_scores(weights, self._aim.seed)

    def rank(self, score: Tensor) -> Tensor:
        return score.abs()

    def effective(self) -> Weights:
        return {name: self.shown(name, mask) for name, mask in self.held().items()}

    def backward(self, name: str, gradient: Tensor) -> None:
        gradient.mul_(self._weights[name]).mul_(self._scores[name].sign())

    def updated(self, before: Masks | None) -> None:
        assert before is not None
        for name, mask in self.held().items():
            self._regrown = self._regrown.to(mask.device)
            self._regrown += (mask & ~before[name]).sum()

    def row(self) -> dict[str, float]:
        return super().row() | {"regrown": int(self._regrown)}

    def state(self) -> Weights:
        return {**super().state(), REGROWN: self._regrown.to("cpu", copy=True)}


def initial_scores(weights: Weights, seed: int) -> dict[str, Tensor]:
    """Return scores for each weight, uniform on ±1 / √fan-in, a function of (seed, name, shape)."""
    found = {}
    for name, weight in weights.items():
        generator = torch.Generator().manual_seed(derive(seed, "scores", name))
        drawn = torch.rand(weight.shape, generator=generator, dtype=torch.float64)
        found[name] = ((2 * drawn - 1) * (weight.shape[0] / weight.numel()) ** 0.5).to(weight.dtype)
    return found
