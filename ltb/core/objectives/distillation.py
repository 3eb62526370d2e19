"""Distillation: a teacher's outputs as targets beside the labels, and hints from its layers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import nextafter
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div, log_softmax

from ltb.common.allowed import Limits, Positive, settle
from ltb.core.contracts import loss_of, network_of
from ltb.core.objectives.hints import Hints, listened
from ltb.core.objectives.objective import Objective

if TYPE_CHECKING:
    from ltb.core.contracts import Bench
    from ltb.core.results import Result
    from ltb.core.stage import Stage

Share = Annotated[float, Limits("above 0, to 1", above=0, below=nextafter(1, 2))]


class Teacher(ABC):
    """Where a trained network comes from that others learn from. A frozen dataclass: it is part of the key."""

    @abstractmethod
    def module(self, bench: Bench, result: Callable[[Stage], Result]) -> Any:
        """Return the module, in evaluation mode."""


@dataclass(frozen=True)
class Distil(Objective):
    """Knowledge distillation (Hinton et al. 2015, section 2): (1 − α) · loss + α · T² · KL(p_T(teacher) ‖ p_T(student)).

    p_T is the softmax of the network's outputs, logits of shape (batch, classes), divided by the temperature T; the divergence is
    the mean over the batch, and over places where there are any (of pixels, of tokens). The gradient of the cross-entropy with the
    teacher's soft targets, which the paper has, is the same.
    The outputs are what the module's ``loss`` of a batch comes from, so that it needs that method; the student goes through it once
    more for them, without moving its running statistics again, and with draws of its own where it has dropout.

    What a fit costs is recorded as for one without: neither the teacher's pass nor the student's second one is in its FLOPs.

    temperature: T; alpha: α, the weight of the soft targets; theirs are T from 1 to 20 and an α close to 1.
    classes:     the dimension of the outputs in which the classes are, where that is not said by (batch, classes): 1 of pixels in
                 (batch, classes, …), −1 of tokens in (batch, …, classes).
    hints:       what is added for layers inside of the networks; None for nothing.
    """

    teacher: Teacher
    temperature: Positive = 4.0
    alpha: Share = 0.9
    hints: Hints | None = None
    classes: Literal[1, -1] | None = None

    def __post_init__(self) -> None:
        settle(self, "objective")

    def prepared(self, bench: Bench, result: Callable[[Stage], Result]) -> Objective:
        return _Taught(self, self.teacher.module(bench, result))

    @property
    def by_unit(self) -> bool:
        return self.hints is not None and self.hints.by_unit

    def check(self, module: Any, batch: Any) -> None:
        with listened(network_of(module), self.hints.names if self.hints else ()) as own:
            _, found = outputs(module, batch)
        self._dimension(found)
        if self.hints:
            self.hints(own, own)  # a distance that there is not

    def __call__(self, module: Any, batch: Any) -> Tensor:
        raise AssertionError("it is prepared for each fit")

    def divergence(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return T² · KL of two batches of outputs, a scalar."""
        dim = self._dimension(student)
        theirs, ours = (log_softmax(outputs / self.temperature, dim=dim) for outputs in (teacher, student))
        summed = kl_div(ours, theirs, reduction="sum", log_target=True)
        return self.temperature**2 * (summed / (ours.numel() // ours.shape[dim]))

    def _dimension(self, outputs: Tensor) -> int:
        if self.classes is None and outputs.ndim > 2:
            raise ValueError(
                f"objective.classes=null: of outputs {tuple(outputs.shape)} it must be said where the classes are: 1 of "
                "(batch, classes, places …), -1 of (batch, places …, classes)"
            )
        return self.classes or 1


@dataclass(frozen=True, eq=False)
class _Taught(Objective):
    """Distillation with its teacher at hand."""

    how: Distil
    teacher: Any

    def __call__(self, module: Any, batch: Any) -> Tensor:
        names = self.how.hints.names if self.how.hints else ()
        self.teacher.to(module.device)
        with torch.no_grad(), listened(network_of(self.teacher), names, "teacher") as shown:
            try:
                _, theirs = outputs(self.teacher, batch)
            except (IndexError, RuntimeError) as error:
                raise ValueError(
                    f"objective.teacher: its network cannot do with this run's examples: {error}"
                ) from None
        with _buffers_kept(network_of(module)), listened(network_of(module), names) as own:
            loss, ours = outputs(module, batch)
        if theirs.shape != ours.shape:
            raise ValueError(
                f"objective.teacher: its outputs are {tuple(theirs.shape)}, those of the student {tuple(ours.shape)}"
            )
        found = self.how.alpha * (self.how.divergence(ours, theirs.to(ours)) - loss)
        return found + self.how.hints(own, shown) if self.how.hints else found


def outputs(module: Any, batch: Any) -> tuple[Tensor, Tensor]:
    """Return a module's loss of a batch, and the outputs of its network that this comes from.

    Raises ValueError for a module without ``loss``, and for a loss that its network's outputs, one tensor, are not behind.
    """
    found: list[Any] = []
    handle = network_of(module).register_forward_hook(lambda network, given, output: found.append(output))
    try:
        loss = loss_of(module, "objective=distil")(batch)
    finally:
        handle.remove()
    if not found or not isinstance(found[-1], Tensor) or found[-1].ndim < 2:
        raise ValueError(
            f"objective=distil: the loss of {type(module).__name__} must come from a call of its network, whose outputs are one "
            "tensor (batch, classes)"
        )
    return loss, found[-1]


@contextmanager
def _buffers_kept(network: nn.Module) -> Iterator[None]:
    """Leave running statistics and the like as they are: copies take what a forward pass does to them."""
    # Not written back in place: the backward pass that is to come would find them changed.
    before = [
        (module, name, buffer) for module in network.modules() for name, buffer in module.named_buffers(recurse=False)
    ]
    for module, name, buffer in before:
        setattr(module, name, buffer.clone())
    try:
        yield
    finally:
        for module, name, buffer in before:
            setattr(module, name, buffer)
