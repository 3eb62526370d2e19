"""Integers: weights as small whole numbers times a scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ltb.core import masks as m
from ltb.core import tensors
from ltb.core.contracts import Progress, network_of
from ltb.core.dynamics import Aim
from ltb.core.execution import Body
from ltb.core.grid import Group, grouped, integers
from ltb.core.masks import Masks
from ltb.core.points import Fit
from ltb.core.tensors import Weights
from ltb.execution.quantised import Quantised, StraightThrough


@dataclass(frozen=True)
class Integers(Quantised):
    """Each weight a whole number of few bits times the scale of its group, see `ltb.core.grid.integers`: symmetric, weight-only.

    At one scale the numbers are those of torch.fake_quantize_per_channel_affine. Quantisation-aware training moves float weights
    with the gradient of those on the grid: the straight-through estimator (Jacob et al. 2018, section 3).

    Deviations: inputs are float; scales follow the weights at each step, and are not averaged; torchao's Int8WeightOnlyConfig
    divides the largest magnitude by 127.5, and clips it.
    """

    bits: ClassVar[int]
    group: ClassVar[int | None] = None

    def masked(self, weights: Weights, masks: Masks, aim: Aim | None = None) -> dict[str, Tensor]:
        # What is trained on begins off the grid.
        return m.apply(weights, masks) if self.length.count else super().masked(weights, masks, aim)

    def enter(self, module: nn.Module, masks: Masks) -> Body:
        network = network_of(module)
        parameters = tensors.parameters(network)
        return StraightThrough(network, masks, self, {name: parameters[name] for name in masks})

    def begin(self, module: nn.Module, fit: Fit, done: Progress | None = None) -> Body:
        floats = done.state if done else {name: fit.origin.weights[name] for name in fit.masks}
        return StraightThrough(network_of(module), fit.masks, self, floats)

    def on_grid(self, weight: Tensor, mask: Tensor) -> Tensor:
        kept = torch.where(mask, weight, torch.zeros((), dtype=weight.dtype, device=weight.device))
        numbers, scales = integers(grouped(kept, self.group), self.bits)
        rows = (numbers * scales).flatten(1)
        return rows[:, : weight.numel() // rows.shape[0]].reshape(weight.shape)


@dataclass(frozen=True)
class Int8(Integers):
    """A byte a weight, and a scale a row: an output channel, of a convolution too."""

    bits: ClassVar[int] = 8


@dataclass(frozen=True)
class Int4(Integers):
    """Half a byte a weight, and a scale for each `group` weights of a row, one after another; the last of them may be fewer."""

    group: Group = 32  # type: ignore[misc]
    bits: ClassVar[int] = 4
