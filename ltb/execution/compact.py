"""Compact: pruned units are really removed, and a smaller network runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ltb.core import tensors
from ltb.core.contracts import Bench, loss_of, network_of
from ltb.core.execution import Body, Execution, MaskedBody
from ltb.core.masked_units import MaskedUnits, OfGroups, found
from ltb.core.masks import Masks, ones
from ltb.core.points import Point
from ltb.core.tensors import Weights
from ltb.core.units import Group, by_halves, whole, without
from ltb.execution.attention import narrowed

SAME = 1e-3  # of the loss, in float32


@dataclass(frozen=True)
class Compact(MaskedUnits):
    """The dense network without the units that nothing reads under the masks; what is left of the masks is held in it.

    Points go in and come out in the dense network's names and shapes, with 0 where something was removed, in the optimizer's
    state too. Outputs are those of the masked network up to the order in which sums are rounded: within 5e-5 of the largest in
    float32, 1e-12 in float64. So is a step of training, but for what draws random numbers by the shape of its input (dropout).
    A group of units of which none is left keeps one. Which units they are: see `ltb.core.units`; of groups with a weight that is
    not prunable none is removed, nor of those that cannot be missing, see `cuttable`: what is pruned of them is held at 0.
    """

    changes: ClassVar[bool] = False
    removes: ClassVar[bool] = True

    def prepared(self, bench: Bench) -> Execution:
        return CompactOfGroups(cuttable(found(self.structure, bench), bench))


@dataclass(frozen=True, eq=False)
class CompactOfGroups(OfGroups):
    """`Compact`, with the groups of the network's units."""

    def enter(self, module: nn.Module, masks: Masks) -> Body:
        return CompactBody(network_of(module), masks, self.groups)


class CompactBody:
    """`network`, cut in place to the units that are read under `masks`; see `Body`."""

    def __init__(self, network: nn.Module, masks: Masks, groups: Iterable[Group]) -> None:
        self.masks = masks
        self._shapes = {name: tensor.shape for name, tensor in tensors.state(network).items()}
        self._kept = kept_indices(groups, masks)
        cut(network, self._kept)
        self._body = MaskedBody(network, {name: self._small(name, mask) for name, mask in masks.items()})

    def row(self) -> Mapping[str, float]:
        return self._body.row()

    def state(self) -> Weights:
        return self._body.state()

    def load(self, point: Point) -> None:
        weights = {name: self._small(name, tensor) for name, tensor in point.weights.items()}
        state = None if point.optimizer is None else self._each(point.optimizer, self._shapes, self._small)
        self._body.load(Point(weights, point.step, state))

    def watch(self, optimizers: Iterable[Optimizer]) -> None:
        self._body.watch(optimizers)

    def point(self, step: int, *, optimizer: bool = True) -> Point:
        small = self._body.point(step, optimizer=optimizer)
        shapes = {name: tensor.shape for name, tensor in small.weights.items()}
        state = None if small.optimizer is None else self._each(small.optimizer, shapes, self._full)
        return Point({name: self._full(name, tensor) for name, tensor in small.weights.items()}, step, state)

    def change(self, masks: Masks) -> None:
        raise ValueError("execution=Compact: what is removed does not come back, so that masks cannot change under way")

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def release(self) -> None:
        self._body.release()

    def _each(
        self, state: Weights, shapes: Mapping[str, torch.Size], change: Callable[[str, Tensor], Tensor]
    ) -> dict[str, Tensor]:
        """An optimizer's state in other shapes: that of its entries that have a number for each weight."""
        owners = {name: name.rpartition("/")[0] for name in state}
        return {
            name: change(owners[name], value) if value.shape == shapes[owners[name]] else value
            for name, value in state.items()
        }

    def _small(self, name: str, tensor: Tensor) -> Tensor:
        for dim, index in self._kept.get(name, {}).items():
            tensor = tensor.index_select(dim, index)
        return tensor

    def _full(self, name: str, tensor: Tensor) -> Tensor:
        for dim, index in self._kept.get(name, {}).items():
            shape = list(tensor.shape)
            shape[dim] = self._shapes[name][dim]
            tensor = tensor.new_zeros(shape).index_copy(dim, index, tensor)
        return tensor


def cuttable(groups: Iterable[Group], bench: Bench) -> tuple[Group, ...]:
    """Return the groups whose units can be taken out of a bench's network.

    A channel that is added to the network's input, say, can be 0, and cannot be missing.
    """
    return by_halves(whole(groups, bench.prunable), lambda some: _same_cut(tuple(some), bench))


@torch.no_grad()
def _same_cut(groups: tuple[Group, ...], bench: Bench) -> bool:
    """Return whether the network without half of the units has the loss of the one in which they are 0."""
    weights = bench.initial()
    masks = ones(weights, bench.prunable)
    for group in groups:
        for name, entries in group.entries(torch.arange(group.count) % 2 == 0, group.sides()):
            if name in masks:
                masks[name] = masks[name] & entries
    batch, point = next(iter(bench.batches("train"))), Point(weights, 0)
    masked = float(loss_of(bench.module(point, masks, OfGroups(groups)), "execution=compact")(batch))
    try:
        cut_out = float(loss_of(bench.module(point, masks, CompactOfGroups(groups)), "execution=compact")(batch))
    except Exception:  # noqa: BLE001 (whatever a network says of shapes that do not go together)
        return False
    return abs(cut_out - masked) <= SAME * abs(masked)


def kept_indices(groups: Iterable[Group], masks: Masks) -> dict[str, dict[int, Tensor]]:
    """Return what is left where units are removed: a tensor's name -> a dimension -> its indices that stay, for those cut."""
    left: dict[str, dict[int, Tensor]] = {}
    for name, entries in without(groups, masks):
        dim = max(range(entries.ndim), key=lambda each: entries.shape[each])
        sides = left.setdefault(name, {})
        sides[dim] = entries.flatten() & sides.get(dim, torch.ones((), dtype=torch.bool))
    return {
        name: {dim: each.nonzero().flatten() for dim, each in sides.items() if not each.all()}
        for name, sides in left.items()
    }


def cut(network: nn.Module, kept: Mapping[str, Mapping[int, Tensor]]) -> None:
    """Leave the indices that are kept of each parameter and buffer of `network`, in place, and say so in its layers' sizes."""
    for prefix, module in network.named_modules():
        dot = f"{prefix}." if prefix else ""
        own = {tensors.plain(dot + name): name for name in (*module._parameters, *module._buffers)}
        for name in own.keys() & kept.keys():
            tensor = getattr(module, own[name])
            for dim, index in kept[name].items():
                if tensor.shape[dim] != len(index):  # else it is tied to one that was cut
                    tensor.data = tensor.data.index_select(dim, index.to(tensor.device))
        if any(kept.get(name) for name in own):
            for size, of in SIZES.items():
                if hasattr(module, size):
                    setattr(module, size, of(module))
            if isinstance(module, nn.MultiheadAttention):
                rows = next(
                    kept[name][0] for name in own if kept.get(name)
                )  # of queries, and of keys and values behind them
                narrowed(network, module, rows[rows < module.embed_dim][:: module.head_dim] // module.head_dim)


# In this order: channels are counted by a convolution's groups, of which a depthwise one loses some.
SIZES: Mapping[str, Callable[[Any], int]] = {
    "out_features": lambda linear: linear.weight.shape[0],
    "in_features": lambda linear: linear.weight.shape[1],
    "groups": lambda one: one.weight.shape[0] if one.groups == one.in_channels == one.out_channels else one.groups,
    "out_channels": lambda one: one.weight.shape[one.transposed] * (one.groups if one.transposed else 1),
    "in_channels": lambda one: one.weight.shape[not one.transposed] * (1 if one.transposed else one.groups),
    "num_features": lambda norm: len(norm.running_mean if norm.running_mean is not None else norm.weight),
    "num_parameters": lambda prelu: len(prelu.weight),
}
