"""Holding masks during training: what is pruned is exactly 0, in weight, gradient and optimizer state.

Plain torch hooks, so that it works in any loop: under any trainer, with clipping, accumulation and mixed precision.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ltb.core import masks as m
from ltb.core import tensors
from ltb.core.masks import Masks

# A mask is held as an integer of the weight's width, all ones or all zeros, and applied by a bitwise and. That is as fast
# as a multiplication and exact where a multiplication is not: NaN · 0 and inf · 0 are NaN, −1 · 0 is −0.
_INTEGER = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(eq=False)
class _Held:
    """A parameter, its mask as bits, and what was seen of it: its version when it was masked last, its state's names.

    frozen:   its pruned weights, 0 where it is kept; None where pruned weights are 0.
    integers: the parameter's memory as integers, where it was last seen. Made anew only where that has moved: with two more
              views a step the hold of a small network took twice as long.
    refilled: the names of state tensors that its optimizer does not leave at 0 where all gradients are 0, such as the step
              sizes of Rprop and the infinity norm of Adamax.
    """

    parameter: Tensor
    bits: Tensor
    integers: Tensor
    frozen: Tensor | None = None
    version: int = -1
    states: tuple[str, ...] = ()
    refilled: tuple[str, ...] = ()

    def mask(self) -> None:
        integers, parameter = self.integers, self.parameter
        # Other strides at the same place are another tensor, too.
        if integers.data_ptr() != parameter.data_ptr() or integers.stride() != parameter.stride():
            self.follow()
        self.integers.bitwise_and_(self.bits)
        if self.frozen is not None:
            self.integers.bitwise_or_(self.frozen.view(self.integers.dtype))
        self.version = self.parameter._version

    def follow(self) -> None:
        """Go where the parameter is now: its module may have been moved, copied or given another type."""
        parameter = self.parameter.data
        self.integers = _integers(parameter)
        self.bits = self.bits.to(parameter.device, self.integers.dtype)
        if self.frozen is not None:
            self.frozen = self.frozen.to(parameter)

    def mask_gradient(self, parameter: Tensor) -> None:
        if (gradient := parameter.grad) is not None:
            _and(gradient, self.bits)

    def state(self, state: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
        """The tensors of an optimizer's state that have an entry for each weight."""
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == self.parameter.shape:
                yield name, value


class Hold:
    """Holds `masks` on the parameters of `network` until `release`. Use after the network is on its device.

    A pruned weight is exactly 0 from the beginning and after each step of the optimizers given to `watch`, whatever the
    optimizer does; its gradient as soon as it is accumulated, so that clipping and optimizers see only what is kept; and
    what an optimizer's state has for it after each step (its step size under Rprop too: it decides nothing there).
    Weights that anything else changes in between (averages that are swapped in, a state dict that is loaded) are masked
    again before the network's next forward in evaluation mode, before its state dict is taken, and by `apply` and
    `release`; in training mode before the next forward too, unless they were written through ``.data``, of which torch
    keeps no count: then after the next step.
    With `frozen` a pruned weight is held at what it is now instead of 0; its gradient and state are 0 all the same.
    Not held: the state of LBFGS, one vector over all parameters; sparse gradients, which `prunable` refuses; a parameter that takes
    the place of one that is held (``load_state_dict(assign=True)``).
    Raises ValueError when a mask names no parameter, is not bool, or has another shape.
    """

    def __init__(self, network: nn.Module, masks: Masks, *, frozen: bool = False) -> None:
        parameters = tensors.parameters(network)
        m.check(masks, parameters)
        # A layer that keeps everything needs no upkeep.
        self._held = [_held(parameters[name], mask, frozen) for name, mask in masks.items() if not bool(mask.all())]
        self._handles: list[Any] = [
            network.register_forward_pre_hook(self._before_forward),
            network.register_state_dict_pre_hook(self._before_state_dict),
            *(held.parameter.register_post_accumulate_grad_hook(held.mask_gradient) for held in self._held),
        ]
        self.apply()

    def watch(self, optimizers: Iterable[Optimizer]) -> None:
        """Mask the optimizers' state now, and weights and state after each of their steps from now on."""
        for optimizer in optimizers:
            for held in self._held:
                for _, value in held.state(optimizer.state.get(held.parameter, {})):
                    _and(value, held.bits)
            self._handles.append(optimizer.register_step_post_hook(self._after_step))

    def apply(self) -> None:
        """Mask the weights now."""
        for held in self._held:
            held.mask()

    def release(self) -> None:
        """Mask the weights a last time, and remove all hooks."""
        if self._handles:
            self.apply()
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _after_step(self, optimizer: Optimizer, *_: Any) -> None:
        for held in self._held:
            held.mask()
            if not (state := optimizer.state.get(held.parameter)):
                continue
            if held.states != (states := tuple(state)):
                # What an optimizer leaves at 0 in its first step it leaves at 0: so the usual ones cost nothing here.
                held.states, held.refilled = states, tuple(_and_told(held, state))
            for name in held.refilled:
                _and(state[name], held.bits)

    def _before_forward(self, network: nn.Module, _: Any) -> None:
        if torch.compiler.is_compiling():  # traced by whoever compiles more than the network
            return
        for held in self._held:
            if not network.training or held.version != held.parameter._version:
                held.mask()

    def _before_state_dict(self, *_: Any) -> None:
        self.apply()


def _held(parameter: Tensor, mask: Tensor, frozen: bool) -> _Held:
    integers = _integers(parameter.data)
    # empty_like keeps the parameter's memory format (channels_last), so that both are walked in the same order.
    bits = torch.empty_like(integers).copy_(mask).neg_()
    return _Held(parameter, bits, integers, (integers & ~bits).view(parameter.dtype) if frozen else None)


def _integers(tensor: Tensor) -> Tensor:
    return tensor.view(_INTEGER[tensor.element_size()])


def _and(tensor: Tensor, bits: Tensor) -> None:
    if bits.dtype.itemsize != tensor.element_size() or bits.device != tensor.device:
        # A state of another width; a network that its trainer has taken off the device at the end.
        bits = bits.to(tensor.device, _INTEGER[tensor.element_size()])
    tensor.view(bits.dtype).bitwise_and_(bits)


def _and_told(held: _Held, state: Mapping[str, Any]) -> Iterator[str]:
    """Mask a parameter's state; yield the names of the tensors in which something pruned was not 0."""
    for name, value in held.state(state):
        before = value.clone()
        _and(value, held.bits)
        kind = _INTEGER[value.element_size()]
        if not torch.equal(before.view(kind), value.view(kind)):  # as bits: NaN is not equal to NaN
            yield name
