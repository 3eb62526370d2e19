"""Edge-popup: the masks are trained and the weights are not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ltb.core import masks as m
from ltb.core import optimizer_state, tensors
from ltb.core.contracts import Progress, network_of
from ltb.core.criteria import Evidence
from ltb.core.dynamics import Aim
from ltb.core.execution import Body, Masked
from ltb.core.masks import Masks
from ltb.core.points import Fit, Point
from ltb.core.seeds import derive
from ltb.core.tensors import Weights
from ltb.core.updates import around_updates

SCORE, STATE, REGROWN = "score/", "optimizer/", "regrown"


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
        return ScoredBody(network_of(module), fit, done.state if done else {})


class ScoredBody:
    """`network` with fixed weights under masks that are the highest of trained scores; see `Body`.

    Between the steps of the optimizer the parameters are the masked weights. Within a step they are the scores, which so are
    trained under the names of their weights by any optimizer. Its points have no optimizer state: weights are not trained.
    """

    def __init__(self, network: nn.Module, fit: Fit, state: Weights) -> None:
        assert fit.aim is not None
        self._network, self._aim, self._candidates = network, fit.aim, fit.masks
        self._weights = {name: fit.origin.weights[name] for name in fit.masks}
        self._scores = _under(SCORE, state) or initial_scores(self._weights, fit.aim.seed)
        self._state = _under(STATE, state)
        self._held = chosen(self._scores, fit.masks, fit.aim)
        self._regrown = state.get(REGROWN, torch.tensor(0)).clone()
        self._optimizers: list[Optimizer] = []
        self._still: list[nn.Parameter] = []
        self._handles: list[Any] = []

    @property
    def masks(self) -> Masks:
        return tensors.copy(self._held)

    def told(self) -> dict[str, float]:
        return {"density": m.density(self._held), "regrown": int(self._regrown)}

    def state(self) -> Weights:
        """The scores, the optimizer's state, which is theirs, and how often a weight that was not kept became one that is."""
        found = {f"{SCORE}{name}": score for name, score in self._scores.items()}
        for optimizer in self._optimizers:
            saved = optimizer_state.save(optimizer, self._network)
            found |= {f"{STATE}{name}": value for name, value in saved.items()}
        return tensors.copy({**found, REGROWN: self._regrown})

    def load(self, point: Point) -> None:
        tensors.load(self._network, m.apply(point.weights, self.masks))

    def watch(self, optimizers: Iterable[Optimizer]) -> None:
        self._optimizers = list(optimizers)
        parameters = tensors.parameters(self._network)
        scored = {name: parameters[name] for name in self._scores}
        for name, parameter in scored.items():
            for each in (self._weights, self._scores):
                each[name] = each[name].to(parameter.device, copy=True)
        device = next(iter(scored.values())).device
        self._held = {name: mask.to(device) for name, mask in self._held.items()}
        self._candidates = {name: mask.to(device) for name, mask in self._candidates.items()}
        self._regrown = self._regrown.to(device)
        self._still = [p for name, p in parameters.items() if name not in scored and p.requires_grad]
        for parameter in self._still:
            parameter.requires_grad_(False)  # it gets no gradient, and an optimizer leaves it as it is
        for optimizer in self._optimizers:
            optimizer_state.load(optimizer, self._network, self._state)
            self._handles += around_updates(optimizer, lambda: self._enter(scored), lambda: self._leave(scored))

    def point(self, step: int, *, optimizer: bool = True) -> Point:
        return Point(tensors.weights_of(self._network), step, {} if optimizer else None)

    def change(self, masks: Masks) -> None:
        raise ValueError("execution=EdgePopup: its masks are those of its scores, and nothing else changes them")

    def release(self) -> None:
        for handle in self._handles:
            handle.remove()
        for parameter in self._still:
            parameter.requires_grad_(True)
        self._handles, self._still = [], []

    @torch.no_grad()
    def _enter(self, scored: Mapping[str, nn.Parameter]) -> None:
        """Put the scores, and their gradients, where the optimizer finds them."""
        for name, parameter in scored.items():
            score = self._scores[name]
            if parameter.grad is not None:
                parameter.grad.mul_(self._weights[name]).mul_(score.sign())
            parameter.copy_(score)

    @torch.no_grad()
    def _leave(self, scored: Mapping[str, nn.Parameter]) -> None:
        """Take the scores out, and put the weights in that they now keep."""
        for name, parameter in scored.items():
            self._scores[name].copy_(parameter)
        held = chosen(self._scores, self._candidates, self._aim)
        for name, parameter in scored.items():
            self._regrown += (held[name] & ~self._held[name]).sum()
            weight = self._weights[name]
            parameter.copy_(torch.where(held[name], weight, torch.zeros((), dtype=weight.dtype, device=weight.device)))
        self._held = held


def initial_scores(weights: Weights, seed: int) -> dict[str, Tensor]:
    """Return scores for each weight, uniform on ±1 / √fan-in, a function of (seed, name, shape)."""
    found = {}
    for name, weight in weights.items():
        generator = torch.Generator().manual_seed(derive(seed, "scores", name))
        drawn = torch.rand(weight.shape, generator=generator, dtype=torch.float64)
        found[name] = ((2 * drawn - 1) * (weight.shape[0] / weight.numel()) ** 0.5).to(weight.dtype)
    return found


def chosen(scores: Weights, candidates: Masks, aim: Aim) -> dict[str, Tensor]:
    """Return the masks of the aim's target among `candidates`: the highest |s|, as its allocation counts them."""
    sizes = {name: score.abs() for name, score in scores.items()}
    return aim.allocation(sizes, candidates, aim.target, Evidence(aim.seed, aim.start))


def _under(prefix: str, state: Weights) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
