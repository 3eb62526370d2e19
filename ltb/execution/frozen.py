"""Frozen: what is pruned stays at the value that training begins from, instead of 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, nn

from ltb.common.allowed import settle
from ltb.core import masks as m
from ltb.core import tensors
from ltb.core.contracts import network_of
from ltb.core.dynamics import Aim
from ltb.core.execution import Body, Masked, MaskedBody
from ltb.core.hold import Hold
from ltb.core.masks import Masks
from ltb.core.points import Point
from ltb.core.tensors import Weights


@dataclass(frozen=True)
class Frozen(Masked):
    """The control of Zhou et al. 2019 (section 4): pruned weights are frozen at what training begins from, not set to 0.

    With weight rewinding to step 0 that is the initialisation. Nothing moves where the mask is 0: no gradient, weight decay or
    optimizer state is there, and after each step a pruned weight has the bits that it began with. Points hold these values, so
    that evaluations and measures are of the network that was trained; a level's density is the part of weights that are trained.

    toward_zero: what pruned weights are whose magnitude fell from the rewind step to where they were scored: ``frozen`` as the
                 others, or ``zero``, the variant that the authors find best.

    Deviations: a ticket that is taken out is the masked one (`Ticket.apply` and `HoldMasks` set what is pruned to 0); theirs
    freezes biases too, which are not pruned here.
    """

    toward_zero: Literal["frozen", "zero"] = "frozen"
    changes: ClassVar[bool] = False
    stands: ClassVar[bool] = True

    def __post_init__(self) -> None:
        settle(self, "execution")

    @property
    def compares(self) -> bool:  # type: ignore[override]
        return self.toward_zero == "zero"

    def masked(self, weights: Weights, masks: Masks, aim: Aim | None = None) -> dict[str, Tensor]:
        m.check(masks, weights)
        if not self.compares:
            return {name: tensor.clone() for name, tensor in weights.items()}
        assert aim is not None
        stays = {name: mask | (aim.source[name].abs() >= aim.start[name].abs()) for name, mask in masks.items()}
        return m.apply(weights, stays)

    def enter(self, module: nn.Module, masks: Masks) -> Body:
        return FrozenBody(network_of(module), masks)


class FrozenBody(MaskedBody):
    """`network` with pruned weights held at the values of the point that was loaded; see `Body`."""

    def load(self, point: Point) -> None:
        tensors.load(self._network, point.weights)
        self._state = point.optimizer

    def hold(self, masks: Masks) -> Hold:
        return Hold(self._network, masks, frozen=True)
