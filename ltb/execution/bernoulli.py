"""Bernoulli: the masks are drawn with trained probabilities, and the weights are not trained."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ltb.common.allowed import settle
from ltb.core import masks as m
from ltb.core.contracts import Progress, network_of
from ltb.core.execution import Body, Masked
from ltb.core.masks import Masks
from ltb.core.points import Fit
from ltb.core.seeds import derive
from ltb.core.tensors import Weights
from ltb.execution.scores import ScoredBody, chosen

UPDATES = "updates"


@dataclass(frozen=True)
class Bernoulli(Masked):
    """A supermask of Zhou et al. 2019 (section 5 and their code): each prunable weight has a score s, and scores are trained.

    A minibatch sees the weights w · m, each entry of m drawn 1 with probability σ(s), by (seed, step), anew after each step of
    the optimizer. Backwards the draw is taken for its probability, so that the gradient of s is dL/d(w · m) · w · σ(s)(1 − σ(s)):
    weights not drawn have theirs too. What stays, what the optimizer does and what penalties see is as in `EdgePopup`.
    All scores begin at the one of which σ is the part that the level is to keep; their code has one constant too, by default 0,
    which it calls a bias that adjusts the percentage pruned.

    rescale: multiply each layer by its weights' number over that of its drawn ones, forwards and backwards (their dynamic
             weight rescaling); in an evaluation by that of the kept ones, so that points have the scaled weights.

    Evaluations and points round: of what the level before keeps, the highest s are kept, as many as the level's target and
    allocation say. A row of the history has the expected_density, the mean of σ(s), which training may move away from it: then
    what is evaluated is sparser, or denser, than what was trained.

    Deviations: theirs rounds at σ(s) = 1/2 or takes the mean of ten draws, whatever density that is; biases and norms stay
    untrained; their signed constants are a distribution of weights, and so the model's.
    """

    rescale: bool = False
    prunes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        settle(self, "execution")

    def begin(self, module: nn.Module, fit: Fit, done: Progress | None = None) -> Body:
        return BernoulliBody(network_of(module), fit, done.state if done else {}, self.rescale)


class BernoulliBody(ScoredBody):
    """A body whose effective weights are drawn; it counts the steps of the optimizer, which name the draws."""

    def __init__(self, network: nn.Module, fit: Fit, state: Weights, rescale: bool) -> None:
        super().__init__(network, fit, state)
        self._start, self._rescale = fit.origin.step, rescale
        self._updates = int(state.get(UPDATES, 0))
        self._drawn: dict[str, Tensor] = {}

    def initial(self, weights: Weights) -> Weights:
        equal = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        kept, candidates = m.remaining(chosen(equal, self._candidates, self._aim)), m.remaining(self._candidates)
        share = (kept + 0.5) / (candidates + 1)  # never 0 or 1
        return {name: score.add_(math.log(share / (1 - share))) for name, score in equal.items()}

    def rank(self, score: Tensor) -> Tensor:
        return score

    def effective(self) -> Weights:
        device = next(iter(self._scores.values())).device
        generator = torch.Generator(device).manual_seed(derive(self._aim.seed, "mask", self._start + self._updates))
        for name, score in self._scores.items():
            chance = torch.rand(score.shape, generator=generator, dtype=score.dtype, device=device)
            self._drawn[name] = (chance < score.sigmoid()) & self._candidates[name]
        return {name: self.shown(name, mask) for name, mask in self._drawn.items()}

    def shown(self, name: str, mask: Tensor) -> Tensor:
        shown = super().shown(name, mask)
        return shown * _scale(mask, shown.dtype) if self._rescale else shown

    def backward(self, name: str, gradient: Tensor) -> None:
        mask, probability = self._drawn[name], self._scores[name].sigmoid()
        if self._rescale:
            # Each entry of the mask is in the scale as well: n / Σm falls by n / (Σm)² as it rises.
            through_scale = (gradient * self.shown(name, mask)).sum() / mask.sum().clamp(min=1)
            gradient.mul_(self._weights[name]).mul_(_scale(mask, gradient.dtype)).sub_(through_scale)
        else:
            gradient.mul_(self._weights[name])
        gradient.mul_(probability * (1 - probability))

    def updated(self, before: Masks | None) -> None:
        self._updates += 1

    def row(self) -> dict[str, float]:
        expected = [score.sigmoid()[self._candidates[name]].sum() for name, score in self._scores.items()]
        return super().row() | {"expected_density": float(torch.stack(expected).sum()) / m.total(self._candidates)}

    def state(self) -> Weights:
        return {**super().state(), UPDATES: torch.tensor(self._updates)}


def _scale(mask: Tensor, kind: torch.dtype) -> Tensor:
    return mask.numel() / mask.sum().clamp(min=1).to(kind)
