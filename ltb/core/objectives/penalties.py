"""Penalties on the size of weights (Han et al. 2015)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from ltb.common.allowed import Positive, settle
from ltb.core import tensors
from ltb.core.contracts import network_of
from ltb.core.objectives.objective import Objective
from ltb.core.points import Point

if TYPE_CHECKING:
    from ltb.core.contracts import Bench
    from ltb.core.results import Result
    from ltb.core.stage import Stage


@dataclass(frozen=True)
class Penalty(Objective):
    """`strength` times the summed size of weights, beside any weight decay of the optimizer.

    over: ``prunable``, the weights that may be pruned; ``all`` parameters, biases and norms included; or ``norm_scales``, γ of
          batch norms alone (with `L1` network slimming: Liu et al. 2017, equation 1; theirs is 1e-4 or 1e-5).

    Its gradient is 0 where a weight is 0, so that what is pruned stays where it is.
    """

    strength: Positive = 1e-4
    over: Literal["prunable", "all", "norm_scales"] = "prunable"

    def __post_init__(self) -> None:
        settle(self, "objective")

    @staticmethod
    @abstractmethod
    def size(weight: Tensor) -> Tensor:
        """Return the size of one weight tensor, a scalar."""

    def prepared(self, bench: Bench, result: Callable[[Stage], Result]) -> Objective:
        if self.over == "all":
            return self
        if self.over == "prunable":
            return _Of(self, bench.prunable)
        names = tensors.norm_scales(network_of(bench.module(Point(bench.initial(), 0), {})))
        if not names:
            raise ValueError(f"objective.over={self.over}: the network has no batch norm")
        return _Of(self, names)

    def __call__(self, module: Any, batch: Any) -> Tensor:
        return self.total(tensors.parameters(network_of(module)).values())

    def total(self, weights: Iterable[Tensor]) -> Tensor:
        """Return the penalty on these tensors together."""
        return self.strength * torch.stack([self.size(weight) for weight in weights]).sum()


@dataclass(frozen=True)
class _Of(Objective):
    """A penalty on some of a network's parameters."""

    penalty: Penalty
    names: tuple[str, ...]

    def __call__(self, module: Any, batch: Any) -> Tensor:
        parameters = tensors.parameters(network_of(module))
        return self.penalty.total(parameters[name] for name in self.names)


@dataclass(frozen=True)
class L1(Penalty):
    """strength · Σ|w|."""

    @staticmethod
    def size(weight: Tensor) -> Tensor:
        return weight.abs().sum()


@dataclass(frozen=True)
class L2(Penalty):
    """strength · Σ w²: under plain SGD, a weight decay of 2 · strength."""

    @staticmethod
    def size(weight: Tensor) -> Tensor:
        return weight.square().sum()
