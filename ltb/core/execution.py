"""Executions: how a fit or a measure runs a masked network. One enters with a module, and what leaves it is a Point.

Whatever is executed (the dense network under masks, a smaller one, integers), points go in and come out in the dense network's
names and shapes, so that keys, tickets, rewinding and measures stay as they are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn
from torch.optim import Optimizer

from ltb.core import masks as m
from ltb.core import optimizer_state, tensors
from ltb.core.contracts import network_of
from ltb.core.hold import Hold
from ltb.core.masks import Masks
from ltb.core.points import Point
from ltb.core.tensors import Weights


class Body(Protocol):
    """A module that is run under masks, from `Execution.enter` to `release`.

    A fit calls `load`, then `watch` once the module is on its device and its optimizers exist, then `point` and `change` at any
    step, and `release` at the end. A measure calls `load` alone.
    """

    def load(self, point: Point) -> None:
        """Put a point's weights in, under the masks; its optimizer state reaches the optimizers in `watch`."""

    def watch(self, optimizers: Iterable[Optimizer]) -> None:
        """Hold the masks from now on: after each step what is pruned is exactly 0, in weight, gradient and state."""

    def point(self, step: int, *, optimizer: bool = True) -> Point:
        """A copy of where the module stands, with the state of the optimizers that are watched unless told otherwise."""

    def change(self, masks: Masks) -> None:
        """Hold other masks from now on."""

    def release(self) -> None:
        """Mask a last time, and leave the module as any other: nothing is held any more."""


class Execution(ABC):
    """(module, masks) -> body. A frozen dataclass: it is part of a stage's key."""

    @abstractmethod
    def enter(self, module: nn.Module, masks: Masks) -> Body: ...


@dataclass(frozen=True)
class Masked(Execution):
    """The dense network under masks: the default, and what every other execution is compared with."""

    def enter(self, module: nn.Module, masks: Masks) -> Body:
        return MaskedBody(network_of(module), masks)


class MaskedBody:
    """`network` under masks that `Hold` keeps; see `Body`."""

    def __init__(self, network: nn.Module, masks: Masks) -> None:
        self._network, self._masks = network, masks
        self._state: Weights | None = None
        self._optimizers: list[Optimizer] = []
        self._hold: Hold | None = None

    def load(self, point: Point) -> None:
        tensors.load(self._network, m.apply(point.weights, self._masks))
        self._state = point.optimizer

    def watch(self, optimizers: Iterable[Optimizer]) -> None:
        self._optimizers = list(optimizers)
        if self._state is not None:
            for optimizer in self._optimizers:
                optimizer_state.load(optimizer, self._network, self._state)
        self.change(self._masks)

    def point(self, step: int, *, optimizer: bool = True) -> Point:
        weights, state = tensors.weights_of(self._network), dict[str, Tensor]()
        for each in self._optimizers if optimizer else ():
            state |= optimizer_state.save(each, self._network)
        return Point(weights, step, state if optimizer else None)

    def change(self, masks: Masks) -> None:
        self.release()
        self._masks, self._hold = masks, Hold(self._network, masks)
        self._hold.watch(self._optimizers)

    def release(self) -> None:
        if self._hold is not None:
            self._hold.release()
        self._hold = None


MASKED = Masked()
