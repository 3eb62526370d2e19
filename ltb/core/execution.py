"""Executions: how a fit or a measure runs a masked network. One enters with a module, and what leaves it is a Point.

Whatever is executed (the dense network under masks, a smaller one, integers), points go in and come out in the dense network's
names and shapes, so that keys, tickets, rewinding and measures stay as they are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from torch import Tensor, nn
from torch.optim import Optimizer

from ltb.common.step import Step
from ltb.core import masks as m
from ltb.core import optimizer_state, tensors
from ltb.core.contracts import network_of
from ltb.core.hold import Hold
from ltb.core.masks import Masks
from ltb.core.points import Fit, Point
from ltb.core.tensors import Weights

if TYPE_CHECKING:
    from ltb.core.contracts import Bench, Progress
    from ltb.core.dynamics import Aim


class Body(Protocol):
    """A module that is run under masks, from `Execution.enter` or `begin` to `release`.

    A fit calls `load`, then `watch` once the module is on its device and its optimizers exist, then `point` and `change` at any
    step, `pause` and `resume` around each evaluation, and `release` at the end. A measure calls `load` alone.
    """

    @property
    def masks(self) -> Masks:
        """The masks that are held now, on the CPU: at the end of a fit those that its network has."""

    def row(self) -> Mapping[str, float]:
        """Return what a row of the history says of the masks: nothing where the body does not change them by itself."""

    def state(self) -> Weights:
        """Return copies of what a fit needs beside its point to go on from here, by names of its own; nothing for most."""

    def load(self, point: Point) -> None:
        """Put a point's weights in, under the masks; its optimizer state reaches the optimizers in `watch`."""

    def watch(self, optimizers: Iterable[Optimizer]) -> None:
        """Hold the masks from now on: after each step what is pruned is exactly 0, in weight, gradient and state."""

    def point(self, step: int, *, optimizer: bool = True) -> Point:
        """A copy of where the module stands, with the state of the optimizers that are watched unless told otherwise."""

    def change(self, masks: Masks) -> None:
        """Hold other masks from now on."""

    def pause(self) -> None:
        """Be what `point` gives, for an evaluation within the fit; nothing to do where that is so between steps anyway."""

    def resume(self) -> None:
        """Be what is trained again."""

    def release(self) -> None:
        """Mask a last time, and leave the module as any other: nothing is held any more."""


class Execution(ABC):
    """(module, masks) -> body. A frozen dataclass: it is part of a stage's key.

    prunes:   whether it comes to the level's target by itself: then a fit begins under the masks of what was pruned last, and
              `Fit.aim` says what its masks are to come to.
    changes:  whether its bodies can hold other masks under way, as dynamics ask them to.
    compares: whether it compares the weights that were scored with those at the start: then they must be others.
    removes:  whether units are taken out of the network that it trains.
    stands:   whether what is pruned stands at other values than 0, in training and after it.
    afterwards: whether it is for trained networks, each level's and the dense one, in a branch off them; then it trains them on for
              `length`, from their end.
    version:  raised when the same settings come to give other weights.
    """

    prunes: ClassVar[bool] = False
    changes: ClassVar[bool] = True
    compares: ClassVar[bool] = False
    removes: ClassVar[bool] = False
    stands: ClassVar[bool] = False
    afterwards: ClassVar[bool] = False
    length: ClassVar[Step] = Step(0)
    version: ClassVar[int] = 1

    def prepared(self, bench: Bench) -> Execution:
        """Return the execution with what it needs to know of a bench's network: by default as it is."""
        return self

    @abstractmethod
    def enter(self, module: nn.Module, masks: Masks) -> Body: ...

    def begin(self, module: nn.Module, fit: Fit, done: Progress | None = None) -> Body:
        """Return the body of a fit, at its beginning or where its progress is: by default the one that `enter` gives."""
        return self.enter(module, done.masks if done and done.masks else fit.masks)

    def masked(self, weights: Weights, masks: Masks, aim: Aim | None = None) -> dict[str, Tensor]:
        """Return copies of the weights that a fit under `masks` begins with: by default 0 where pruned, all else as it was."""
        return m.apply(weights, masks)


@dataclass(frozen=True)
class Masked(Execution):
    """The dense network under masks: the default, and what every other execution is compared with."""

    def enter(self, module: nn.Module, masks: Masks) -> Body:
        return MaskedBody(network_of(module), masks)


class MaskedBody:
    """`network` under masks that `Hold` keeps, and what `held` makes of them; see `Body`."""

    def __init__(self, network: nn.Module, masks: Masks, held: Callable[[Masks], Masks] = lambda masks: masks) -> None:
        self._network, self.masks, self._masks_held = network, masks, held
        self._state: Weights | None = None
        self._optimizers: list[Optimizer] = []
        self._hold: Hold | None = None

    def row(self) -> Mapping[str, float]:
        return {}

    def state(self) -> Weights:
        return {}

    def load(self, point: Point) -> None:
        tensors.load(self._network, m.apply(point.weights, self._masks_held(self.masks)))
        self._state = point.optimizer

    def watch(self, optimizers: Iterable[Optimizer]) -> None:
        self._optimizers = list(optimizers)
        if self._state is not None:
            for optimizer in self._optimizers:
                optimizer_state.load(optimizer, self._network, self._state)
        self.change(self.masks)

    def point(self, step: int, *, optimizer: bool = True) -> Point:
        weights, state = tensors.weights_of(self._network), dict[str, Tensor]()
        for each in self._optimizers if optimizer else ():
            state |= optimizer_state.save(each, self._network)
        return Point(weights, step, state if optimizer else None)

    def change(self, masks: Masks) -> None:
        self.release()
        self.masks, self._hold = masks, self.hold(masks)
        self._hold.watch(self._optimizers)

    def hold(self, masks: Masks) -> Hold:
        """Return what holds `masks` from now on, and what is 0 with them."""
        parameters = tensors.parameters(self._network)
        held = {name: mask for name, mask in self._masks_held(masks).items() if name in masks or name in parameters}
        return Hold(self._network, held)

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def release(self) -> None:
        if self._hold is not None:
            self._hold.release()
        self._hold = None


MASKED = Masked()
