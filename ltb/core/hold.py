"""Holding masks during training: after every optimizer step a pruned weight, its gradient and its state are exactly 0.

Plain torch hooks, so that it works in any loop: under any trainer, with clipping, accumulation and mixed precision.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ltb.core.masks import Masks

# A mask is held as an integer of the weight's width, all ones or all zeros, and applied by a bitwise and. That is as fast
# as a multiplication and exact where a multiplication is not: NaN · 0 and inf · 0 are NaN, −1 · 0 is −0.
_INTEGER = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class Hold:
    """Holds `masks` on the parameters of `network` until `release`. Use after the network is on its device.

    The gradient is masked as soon as it is accumulated, so that clipping and optimizers see only what is kept; the
    weight once more after each step of the optimizers given to `watch`, whatever the optimizer does.
    Raises ValueError when a mask names no parameter or has another shape.
    """

    def __init__(self, network: nn.Module, masks: Masks) -> None:
        parameters = dict(network.named_parameters())
        for name, mask in masks.items():
            if name not in parameters:
                raise ValueError(
                    f"mask {name!r} names no parameter of {type(network).__name__}; there are {', '.join(parameters)}"
                )
            if mask.shape != parameters[name].shape:
                raise ValueError(
                    f"mask {name!r} is {tuple(mask.shape)}; the parameter is {tuple(parameters[name].shape)}"
                )
        # A layer that keeps everything needs no upkeep.
        self._held: dict[Tensor, Tensor] = {
            parameters[name]: _bits(mask, parameters[name]) for name, mask in masks.items() if not bool(mask.all())
        }
        self._handles = [parameter.register_post_accumulate_grad_hook(self._mask_gradient) for parameter in self._held]
        self._mask_weights()

    def watch(self, optimizers: Iterable[Optimizer]) -> None:
        """Mask the optimizers' state now, and the weights after each of their steps from now on."""
        for optimizer in optimizers:
            for parameter, state in optimizer.state.items():
                _mask_state(state, parameter, self._held.get(parameter))
            self._handles.append(optimizer.register_step_post_hook(lambda *_: self._mask_weights()))

    def release(self) -> None:
        """Remove all hooks; weights and gradients stay as they are."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _mask_gradient(self, parameter: Tensor) -> None:
        if parameter.grad is not None:
            _and(parameter.grad, self._held[parameter])

    def _mask_weights(self) -> None:
        for parameter, bits in self._held.items():
            _and(parameter.data, bits)


def _bits(mask: Tensor, parameter: Tensor) -> Tensor:
    kind = _INTEGER[parameter.element_size()]
    # empty_like keeps the parameter's memory format (channels_last), so that both are walked in the same order.
    return torch.empty_like(parameter, dtype=kind).copy_(mask).neg_()


def _and(tensor: Tensor, bits: Tensor) -> None:
    tensor.view(bits.dtype).bitwise_and_(bits)


def _mask_state(state: Mapping[str, object], parameter: Tensor, bits: Tensor | None) -> None:
    if bits is None:
        return
    for value in state.values():
        if isinstance(value, Tensor) and value.shape == parameter.shape:
            keep = bits if value.element_size() == bits.element_size() else bits.to(_INTEGER[value.element_size()])
            _and(value, keep)
