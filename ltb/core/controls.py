"""Controls: what is broken on purpose before a fit, to see what a ticket owes to it. A branch off a level, never the chain."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ltb.common.allowed import CountFromZero, settle
from ltb.common.step import Clock
from ltb.core.masks import Masks
from ltb.core.points import Fit, Point
from ltb.core.seeds import derive
from ltb.core.tensors import Weights


@dataclass(frozen=True)
class Control(ABC):
    """(fit, unmasked origin, fresh, clock, seed) -> the fit with one thing changed. A frozen dataclass.

    `fresh(purpose)` draws the network's initialisation anew, as a function of (seed, purpose).
    """

    name: ClassVar[str]
    from_scratch: ClassVar[bool] = False  # whether training begins anew at step 0
    moves_masks: ClassVar[bool] = False  # whether weights are trained that the ticket lacks

    @property
    def drawn(self) -> int | None:
        """The number of the draw, the first 0; None for a control that draws nothing."""
        return None

    @abstractmethod
    def __call__(self, fit: Fit, unmasked: Point, fresh: Callable[[str], Weights], clock: Clock, seed: int) -> Fit: ...


@dataclass(frozen=True)
class Drawing(Control):
    """A control that draws at random, and may do so several times for one ticket.

    Frankle & Carbin 2019 draw three new initialisations for each. draw: which of them it is; the first is 0, and the same as if
    there were no others.
    """

    draw: CountFromZero | None = None

    def __post_init__(self) -> None:
        settle(self, "control")
        object.__setattr__(self, "draw", self.draw or None)  # what is None is in no key

    @property
    def drawn(self) -> int | None:
        return self.draw or 0

    def purpose(self, what: str) -> str:
        """Return what a seed is derived for, in this draw."""
        return what if self.draw is None else f"{what} {self.draw}"


@dataclass(frozen=True)
class Reinit(Drawing):
    """The ticket's mask on a new draw of the initialisation, trained from step 0 to T (Frankle & Carbin 2019)."""

    name: ClassVar[str] = "reinit"
    from_scratch: ClassVar[bool] = True

    def __call__(self, fit: Fit, unmasked: Point, fresh: Callable[[str], Weights], clock: Clock, seed: int) -> Fit:
        return fit.begun(fit.masks, Point(fresh(self.purpose("reinit")), 0), clock.length)


@dataclass(frozen=True)
class SignReinit(Drawing):
    """A `Reinit` in which each prunable weight of the new draw takes the sign of the ticket's origin (Zhou et al. 2019)."""

    name: ClassVar[str] = "sign_reinit"
    from_scratch: ClassVar[bool] = True

    def __call__(self, fit: Fit, unmasked: Point, fresh: Callable[[str], Weights], clock: Clock, seed: int) -> Fit:
        drawn = dict(fresh(self.purpose("reinit")))
        for name in fit.masks:
            drawn[name] = torch.copysign(drawn[name], unmasked.weights[name])
        return fit.begun(fit.masks, Point(drawn, 0), clock.length)


@dataclass(frozen=True)
class Shuffle(Drawing):
    """Each layer's mask permuted within the layer: the counts stay, the places go; weights as the ticket's origin has them.

    Frankle et al. 2021. Wherever a layer's mask can differ from the ticket's, it does.
    """

    name: ClassVar[str] = "shuffle"
    moves_masks: ClassVar[bool] = True

    def __call__(self, fit: Fit, unmasked: Point, fresh: Callable[[str], Weights], clock: Clock, seed: int) -> Fit:
        purpose = self.purpose("shuffle")
        masks = {name: _shuffled(mask, derive(seed, purpose, name)) for name, mask in fit.masks.items()}
        return fit.begun(masks, unmasked, fit.stop)


@dataclass(frozen=True)
class Complement(Control):
    """The complement of a ticket's mask, all that it leaves out, at density 1 − d (recorded as such).

    Not the inversion of Frankle et al. 2021, which prunes the highest scores and keeps the ticket's density.
    """

    name: ClassVar[str] = "complement"
    moves_masks: ClassVar[bool] = True

    def __call__(self, fit: Fit, unmasked: Point, fresh: Callable[[str], Weights], clock: Clock, seed: int) -> Fit:
        return fit.begun(_complement(fit.masks), unmasked, fit.stop)


def _complement(masks: Masks) -> dict[str, Tensor]:
    return {name: ~mask for name, mask in masks.items()}


def _shuffled(mask: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    uniform = bool(mask.all()) or not mask.any()
    while True:
        drawn = mask.flatten()[torch.randperm(mask.numel(), generator=generator)].reshape(mask.shape)
        if uniform or not torch.equal(drawn, mask):
            return drawn
