"""Scores that are trained in place of weights: what executions share whose masks come of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ltb.core import masks as m
from ltb.core import optimizer_state, tensors
from ltb.core.criteria import Evidence
from ltb.core.dynamics import Aim
from ltb.core.masks import Masks
from ltb.core.points import Fit, Point
from ltb.core.tensors import Weights
from ltb.core.updates import around_updates

SCORE, STATE = "score/", "optimizer/"


class ScoredBody(ABC):
    """`network` with weights that stay, under masks that come of trained scores; see `Body`.

    Within a step of the optimizer the parameters are the scores, which so are trained under the names of their weights by any
    optimizer. Between steps they are the `effective` weights. While a fit is evaluated, in points and at the end they are
    `shown`: the weights under the masks of the level's target, which keep the highest `rank`. A point has no optimizer state:
    weights are not trained.
    """

    def __init__(self, network: nn.Module, fit: Fit, state: Weights) -> None:
        assert fit.aim is not None
        self._network, self._aim, self._candidates = network, fit.aim, fit.masks
        self._weights = {name: fit.origin.weights[name] for name in fit.masks}
        self._scores = _under(SCORE, state) or dict(self.initial(self._weights))
        self._state = _under(STATE, state)
        self._held: Masks | None = None
        self._optimizers: list[Optimizer] = []
        self._scored: dict[str, nn.Parameter] = {}
        self._still: list[nn.Parameter] = []
        self._handles: list[Any] = []

    @abstractmethod
    def initial(self, weights: Weights) -> Weights:
        """Return the scores that a fit begins with."""

    @abstractmethod
    def rank(self, score: Tensor) -> Tensor:
        """Return what of a parameter's score the level's allocation ranks."""

    @abstractmethod
    def effective(self) -> Weights:
        """Return the weights of the next minibatch."""

    @abstractmethod
    def backward(self, name: str, gradient: Tensor) -> None:
        """Turn the gradient of a parameter's effective weights into that of its scores, in place."""

    @abstractmethod
    def updated(self, before: Masks | None) -> None:
        """The scores are new; `before` are the masks that were asked for since they were new last."""

    def shown(self, name: str, mask: Tensor) -> Tensor:
        """Return a parameter under its mask, as it is evaluated."""
        weight = self._weights[name]
        return torch.where(mask, weight, torch.zeros((), dtype=weight.dtype, device=weight.device))

    def held(self) -> Masks:
        """The masks of the scores as they are, where the scores are."""
        if self._held is None:
            ranks = {name: self.rank(score) for name, score in self._scores.items()}
            self._held = chosen(ranks, self._candidates, self._aim)
        return self._held

    @property
    def masks(self) -> Masks:
        return tensors.copy(self.held())

    def row(self) -> dict[str, float]:
        return {"density": m.density(self.held())}

    def state(self) -> Weights:
        """The scores, and the optimizer's state, which is theirs."""
        found = {f"{SCORE}{name}": score for name, score in self._scores.items()}
        for optimizer in self._optimizers:
            saved = optimizer_state.save(optimizer, self._network)
            found |= {f"{STATE}{name}": value for name, value in saved.items()}
        return tensors.copy(found)

    def load(self, point: Point) -> None:
        tensors.load(self._network, m.apply(point.weights, self.masks))

    def watch(self, optimizers: Iterable[Optimizer]) -> None:
        self._optimizers = list(optimizers)
        parameters = tensors.parameters(self._network)
        self._scored = {name: parameters[name] for name in self._scores}
        for name, parameter in self._scored.items():
            for each in (self._weights, self._scores):
                each[name] = each[name].to(parameter.device, copy=True)
        device = next(iter(self._scored.values())).device
        self._candidates = {name: mask.to(device) for name, mask in self._candidates.items()}
        self._held = None
        self._still = [p for name, p in parameters.items() if name not in self._scored and p.requires_grad]
        for parameter in self._still:
            parameter.requires_grad_(False)  # it gets no gradient, and an optimizer leaves it as it is
        for optimizer in self._optimizers:
            optimizer_state.load(optimizer, self._network, self._state)
            self._handles += around_updates(optimizer, self._enter, self._leave)
        self.resume()

    def pause(self) -> None:
        self._put({name: self.shown(name, mask) for name, mask in self.held().items()})

    def resume(self) -> None:
        self._put(self.effective())

    def point(self, step: int, *, optimizer: bool = True) -> Point:
        before = {name: parameter.detach().clone() for name, parameter in self._scored.items()}
        self.pause()
        weights = tensors.weights_of(self._network)
        self._put(before)
        return Point(weights, step, {} if optimizer else None)

    def change(self, masks: Masks) -> None:
        raise ValueError("execution: the masks are those of trained scores, and nothing else changes them")

    def release(self) -> None:
        if self._handles:
            self.pause()
        for handle in self._handles:
            handle.remove()
        for parameter in self._still:
            parameter.requires_grad_(True)
        self._handles, self._still, self._scored = [], [], {}

    @torch.no_grad()
    def _put(self, weights: Weights) -> None:
        for name, parameter in self._scored.items():
            parameter.copy_(weights[name])

    @torch.no_grad()
    def _enter(self) -> None:
        """Put the scores, and their gradients, where the optimizer finds them."""
        for name, parameter in self._scored.items():
            if parameter.grad is not None:
                self.backward(name, parameter.grad)
            parameter.copy_(self._scores[name])

    @torch.no_grad()
    def _leave(self) -> None:
        """Take the scores out, and put the weights of the next minibatch in."""
        for name, parameter in self._scored.items():
            self._scores[name].copy_(parameter)
        before, self._held = self._held, None
        self.updated(before)
        self.resume()


def chosen(ranks: Weights, candidates: Masks, aim: Aim) -> dict[str, Tensor]:
    """Return the masks of the aim's target among `candidates`: the highest `ranks`, as its allocation counts them."""
    return aim.allocation(ranks, candidates, aim.target, Evidence(aim.seed, aim.start))


def _under(prefix: str, state: Weights) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
