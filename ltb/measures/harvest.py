"""The harvest of units that have died in a ticket: parameters that can be removed for nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from ltb.core import masks as m
from ltb.core import tensors
from ltb.core.contracts import Bench, loss_of, network_of
from ltb.core.masked_units import found
from ltb.core.masks import Masks
from ltb.core.measure import Measure
from ltb.core.points import Point
from ltb.core.results import Measurement, Result
from ltb.core.units import Group, left, whole
from ltb.execution.compact import CompactOfGroups, cuttable
from ltb.structure import DependencyGraph
from ltb.structure.heads import heads


@dataclass(frozen=True)
class Harvest(Measure):
    """The number of parameters that go with the units that are dead under a ticket's masks, at outputs that stay as they are.

    Dead are units that nothing reads, and units that nothing makes: all their incoming weights are 0, so that what they give
    is the same for every example, and is folded into the biases of the layers that read them. Where a layer has no bias, or pads
    what is not 0, that is not exact, and the unit stays. Heads of attention are units, too (`ltb.structure.heads`), and are removed
    where nothing reads them. For inference: batch norms are those of evaluation.

    What is the same for every example is so for a test minibatch, and for one whose inputs are its own in another order.

    Values: ``parameters`` of the dense network, those ``left``, and ``freed``; ``units`` and ``dead_units`` (those removed);
    ``loss_difference``, the largest difference of the loss on a test minibatch from the masked network's, relative to that.
    """

    version: ClassVar[int] = 3

    def __call__(self, of: Sequence[Result], bench: Bench) -> Measurement:
        (result,) = of
        module = bench.module(result.point, m.standing(result.masks, result.point.weights))
        whole_size = _size(module)
        small, groups, masks = harvested(result, bench)
        counts = [(group.count, int(kept.sum())) for group, kept in left(groups, masks)]
        return Measurement(
            {
                "parameters": whole_size,
                "left": _size(small),
                "freed": whole_size - _size(small),
                "units": sum(count for count, _ in counts),
                "dead_units": sum(count - kept for count, kept in counts),
                "loss_difference": loss_difference(small, module, bench),
            }
        )


@torch.no_grad()
def loss_difference(small: Any, module: Any, bench: Bench) -> float:
    """Return the largest difference of two modules' losses on a test minibatch, relative to the second's where that is not 0."""
    found = []
    for batch in bench.batches("test"):
        after, before = (float(loss_of(one, "measure=harvest")(batch)) for one in (small, module))
        found.append(abs(after - before) / (abs(before) or 1.0))
    return max(found, key=lambda one: (math.isnan(one), one))  # NaN is no agreement


@torch.no_grad()
def harvested(result: Result, bench: Bench, asked_by: str = "measure=harvest") -> tuple[Any, tuple[Group, ...], Masks]:
    """Return the module without its dead units; the groups of all units, and the masks without the weights that went with them.

    Raises ValueError that names the setting `asked_by` where the module has no `loss`.
    """
    batch = next(iter(bench.batches("test")))
    standing = m.standing(result.masks, result.point.weights)
    module = bench.module(result.point, standing)
    loss = loss_of(module, asked_by)
    groups = cuttable(found(DependencyGraph(heads=bool(heads(network_of(module)))), bench), bench)
    masks = folded(module, lambda: [loss(one) for one in (batch, _of_others(batch))], groups, standing)
    point = Point(tensors.weights_of(network_of(module)), result.point.step)
    return bench.module(point, masks, CompactOfGroups(groups)), groups, masks


def _of_others(batch: Any) -> Any:
    """Return a minibatch whose inputs have their numbers, or tokens, in another order: over examples and places."""
    generator = torch.Generator().manual_seed(0)

    def other(part: Tensor) -> Tensor:
        return part.flatten()[torch.randperm(part.numel(), generator=generator).to(part.device)].reshape(part.shape)

    if isinstance(batch, tuple | list):
        return [tree_map_only(Tensor, other, batch[0]), *batch[1:]]
    return tree_map_only(Tensor, other, batch)


def _size(module: Any) -> int:
    return sum(parameter.numel() for parameter in network_of(module).parameters())


@torch.no_grad()
def folded(module: Any, run: Any, groups: Sequence[Group], masks: Masks) -> dict[str, Tensor]:
    """Fold what units that nothing makes give into the biases of what reads them, in place; return masks without these weights.

    `run` passes minibatches through the module, which is in evaluation mode. Units that then are made by nothing follow.
    """
    network, masks = network_of(module), dict(masks)
    layers = {
        name: layer
        for prefix, layer in network.named_modules()
        if (name := tensors.plain(f"{prefix}.weight" if prefix else "weight")) in masks
    }
    groups = [group for group in whole(groups, masks) if group.read.keys() <= layers.keys()]
    while True:
        inputs = _inputs(run, {name: layers[name] for group in groups for name in group.read})
        done = [_fold(group, layers, inputs, masks) for group in groups]
        if not any(done):
            return masks


def _inputs(run: Any, layers: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Return what each layer reads: (channels, values)."""
    seen: dict[str, list[Tensor]] = {}

    def hook(name: str) -> Any:
        def note(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
            channels = -1 if isinstance(layer, nn.Linear) else 1
            seen.setdefault(name, []).append(given[0].movedim(channels, 0).flatten(1))

        return note

    with ExitStack() as stack:
        for name, layer in layers.items():
            stack.callback(layer.register_forward_pre_hook(hook(name)).remove)
        run()
    return {name: torch.cat(values, 1) for name, values in seen.items()}


def _fold(group: Group, layers: Mapping[str, Any], inputs: Mapping[str, Tensor], masks: dict[str, Tensor]) -> bool:
    """Fold one group's units where it is exact for all that read them; whether there were any."""
    unmade = (group.sums(masks, group.made.items()) == 0) & group.is_read(masks)
    for name, index in group.read.items():
        # A convolution in groups has one index for several inputs.
        if name not in inputs or len(inputs[name]) != index.numel():
            return False
        values = inputs[name].cpu()
        exact = (values == values[:, :1]).all(1) & ((values[:, 0] == 0) | _takes_constants(layers[name]))
        unmade &= group.sums({name: ~exact.reshape(index.shape)}, [(name, index)]) == 0
    for name, index in group.read.items():
        layer, columns = layers[name], ~dict(group.entries(~unmade, [(name, index)]))[name]
        constants = (inputs[name][:, 0].reshape(index.shape) * columns.to(inputs[name].device)).to(layer.weight.dtype)
        if _takes_constants(layer):
            layer.bias += (layer.weight * constants).flatten(1).sum(1)
        masks[name] = masks[name] & ~columns
        layer.weight *= masks[name].to(layer.weight.device)
    return bool(unmade.any())


def _takes_constants(layer: Any) -> bool:
    """Return whether a constant input can be folded into its bias: it has one, and puts no zeros around."""
    padding = getattr(layer, "padding", 0)
    even = padding == "valid" if isinstance(padding, str) else not torch.tensor(padding).any()
    return layer.bias is not None and even and not getattr(layer, "transposed", False)
