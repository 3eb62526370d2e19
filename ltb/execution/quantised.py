"""Quantised: trained networks whose weights are brought onto a grid, and, where asked, trained on there."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ltb.common.allowed import settle
from ltb.common.step import Step
from ltb.core import masks as m
from ltb.core import tensors
from ltb.core.dynamics import Aim
from ltb.core.execution import Masked, MaskedBody
from ltb.core.masks import Masks
from ltb.core.tensors import Weights
from ltb.core.updates import around_updates

NOTHING = Step(0)


@dataclass(frozen=True)
class Quantised(Masked):
    """The prunable weights on a grid: of each trained level, in a branch off it, and of the dense network.

    Biases, norms and buffers stay as they are, and what is computed is in float. Points hold the weights as the grid has them, so
    that evaluations, measures and exports are of the quantised network.

    length: iterations that the network is trained on for on its grid (quantisation-aware training), from its end, at the learning
            rate that fine-tuning has there; 0it quantises what was trained (post-training quantisation).
    """

    length: Step = NOTHING  # type: ignore[misc]
    afterwards: ClassVar[bool] = True
    changes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        settle(self, "execution")

    @abstractmethod
    def on_grid(self, weight: Tensor, mask: Tensor) -> Tensor:
        """Return a weight with its entries on the grid, of the same shape, 0 where the mask is 0; a second time changes nothing."""

    def masked(self, weights: Weights, masks: Masks, aim: Aim | None = None) -> dict[str, Tensor]:
        found = m.apply(weights, masks)
        return found | {name: self.on_grid(found[name], mask) for name, mask in masks.items()}


class QuantisedBody(MaskedBody):
    """`network` on a grid between the steps of an optimizer; see `Body`."""

    def __init__(self, network: nn.Module, masks: Masks, execution: Quantised) -> None:
        super().__init__(network, masks)
        self._execution = execution
        self._parameters: dict[str, nn.Parameter] = {}
        self._handles: list[Any] = []

    def watch(self, optimizers: Iterable[Optimizer]) -> None:
        super().watch(optimizers)  # first: after a step the masks are held before the weights are brought onto the grid
        parameters = tensors.parameters(self._network)
        self._parameters = {name: parameters[name] for name in self.masks}
        self.ready()
        for optimizer in self._optimizers:
            self._handles += around_updates(optimizer, torch.no_grad()(self.before), torch.no_grad()(self.after))

    def release(self) -> None:
        super().release()
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    @abstractmethod
    def ready(self) -> None:
        """The parameters are on their device."""

    @abstractmethod
    def before(self) -> None:
        """Gradients are there, and the optimizer is about to step."""

    @abstractmethod
    def after(self) -> None:
        """The optimizer has stepped, and the masks are held: bring the weights onto the grid."""


class StraightThrough(QuantisedBody):
    """A body that trains float weights with the gradients of those on the grid, which each minibatch has in their place."""

    def __init__(self, network: nn.Module, masks: Masks, execution: Quantised, floats: Weights) -> None:
        super().__init__(network, masks, execution)
        self._floats = tensors.copy(floats)
        self._held = dict(masks)

    def state(self) -> Weights:
        return tensors.copy(self._floats)

    def ready(self) -> None:
        for name, parameter in self._parameters.items():
            self._floats[name] = self._floats[name].to(parameter.device)
            self._held[name] = self._held[name].to(parameter.device)
        self._show()

    def before(self) -> None:
        for name, parameter in self._parameters.items():
            parameter.copy_(self._floats[name])

    def after(self) -> None:
        for name, parameter in self._parameters.items():
            self._floats[name].copy_(parameter)
        self._show()

    @torch.no_grad()
    def _show(self) -> None:
        for name, parameter in self._parameters.items():
            parameter.copy_(self._execution.on_grid(self._floats[name], self._held[name]))
