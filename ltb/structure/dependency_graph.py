"""Units by Torch-Pruning's dependency graph: what is coupled through sums, norms, flattening and concatenation."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ltb.common.allowed import settle
from ltb.core import tensors
from ltb.core.contracts import loss_of, network_of
from ltb.core.criteria import batches_of
from ltb.core.criteria.examples import Batches
from ltb.core.criteria.gradient import scored
from ltb.core.seeds import derive
from ltb.core.tensors import Weights
from ltb.core.units import Group, Structure, by_halves, gathered
from ltb.structure.heads import heads

TOLERANCE = 1e-5  # of the loss of one minibatch, in relation to it


@dataclass(frozen=True)
class DependencyGraph(Structure):
    """The output channels of convolutions and neurons of linear layers, as the graph of Fang et al. 2023 couples them.

    The graph is that of the module's loss on one training minibatch, in evaluation mode. Each of its groups is then tried on
    weights that are drawn for it: where half of its units are read by nothing, other weights that make them must not change
    the loss. A group that fails is left out, as are those that nothing reads (the network's outputs): so are units that are
    normalised with others (LayerNorm, GroupNorm), and whatever the graph takes for something else than it is. Left out is also
    attention. Of a convolution in groups, other than a depthwise one, the channels at one place of each of its groups are one unit,
    so that all groups keep as many.

    heads: whether the heads of attention are units, too (`ltb.structure.heads`), tried likewise; by default they are not.
    """

    version: ClassVar[int] = 2
    heads: bool | None = None  # None, also for False: in no key

    def __post_init__(self) -> None:
        settle(self, "structure")
        object.__setattr__(self, "heads", self.heads or None)

    def __call__(self, module: Any, batches: Batches) -> Mapping[str, Weights]:
        loss = loss_of(module.eval(), "structure=DependencyGraph")
        network = network_of(module)
        scored(module)  # what is frozen is traced too
        (batch,) = batches_of(batches(), 1)
        _draw(network)
        of_attention = _heads(network) if self.heads else []
        try:
            traced = _traced(network, lambda: loss(batch)) + of_attention
            groups = by_halves(traced, lambda some: _removable(some, network, lambda: float(loss(batch).detach())))
        except Exception as error:
            told = " ".join(str(error).split())
            raise ValueError(
                f"structure=DependencyGraph: the loss cannot be traced: {type(error).__name__}: {told}"
            ) from error
        return gathered(groups)


def _heads(network: nn.Module) -> list[Group]:
    found = heads(network)
    if not found:
        raise ValueError(
            "structure.heads=true: false, for no layer has heads that are known: no nn.MultiheadAttention, derived from or with "
            "add_bias_kv or add_zero_attn"
        )
    return found


def _traced(network: nn.Module, loss: Callable[[], Tensor]) -> list[Group]:
    """The groups of the graph, without those whose units cannot be told."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it is not sure of is tried
        import torch_pruning  # tenths of a second, for structured pruning alone

        graph = torch_pruning.DependencyGraph().build_dependency(network, None, lambda *_: loss(), verbose=False)
        found = [list(group) for group in graph.get_all_groups()]
    names = {module: tensors.plain(f"{name}." if name else "") for name, module in network.named_modules()}
    order = {name: place for place, name in enumerate(tensors.state(network))}
    groups = [group for items in found if (group := _group(graph, items, names, order)) is not None and group.read]
    return sorted(groups, key=lambda group: order[group.name])


def _group(graph: Any, items: Sequence[Any], names: Mapping[nn.Module, str], order: Mapping[str, int]) -> Group | None:
    """A group of the graph, its tensors and its name in the network's own order."""
    made: dict[str, Tensor] = {}
    read: dict[str, Tensor] = {}
    alike: list[set[int]] = []
    for item in items:
        module, makes = item.dep.target.module, graph.is_out_channel_pruning_fn(item.dep.handler)
        if module not in names:  # a sum, a view
            continue
        units = item.root_idxs
        if None in units:
            return None
        places = item.idxs
        if size := _of_one_group(module, makes):
            alike += [{unit for at, unit in zip(places, units, strict=True) if at % size == one} for one in range(size)]
        for name, tensor, dim in _tensors(module, makes):
            if size:
                places = [at % tensor.shape[dim] for at in item.idxs]
            if names[module] + name not in order or max(places) >= tensor.shape[dim]:
                continue  # a buffer that is in no point, one number for all channels
            index = torch.full((tensor.shape[dim],), -1)
            index[torch.tensor(places)] = torch.tensor(units)
            shape = [1] * tensor.ndim
            shape[dim] = -1
            (made if makes else read)[names[module] + name] = index.reshape(shape)
    if alike and made:
        made, read = _merged(made, read, alike)
    made, read = (dict(sorted(side.items(), key=lambda one: order[one[0]])) for side in (made, read))
    root = next((name for name, index in made.items() if index.ndim > 1), None)
    return None if root is None else Group(root, made, read)


def _of_one_group(module: Any, makes: bool) -> int:
    """Return how many channels each group of a convolution makes or reads; 0 for one without groups, and a depthwise one."""
    groups = getattr(module, "groups", 1)
    if groups == 1 or groups == module.out_channels == module.in_channels:
        return 0
    return int((module.out_channels if makes else module.in_channels) // groups)


def _merged(
    made: Mapping[str, Tensor], read: Mapping[str, Tensor], alike: Sequence[set[int]]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the indices with units that are alike as one; none where all are."""
    unit = torch.arange(1 + max(int(index.max()) for index in made.values()))
    for together in alike:
        its = unit[list(together)]
        unit[torch.isin(unit, its)] = its.min()
    _, unit = unit.unique(return_inverse=True)
    if unit.max() == 0:
        return {}, {}
    one, other = (
        {name: torch.where(index < 0, index, unit[index.clamp(min=0)]) for name, index in side.items()}
        for side in (made, read)
    )
    return one, other


def _tensors(module: nn.Module, makes: bool) -> Iterator[tuple[str, Tensor, int]]:
    """Yield the tensors with an entry, a row or a column for each channel that a layer makes or reads, and in which dimension."""
    transposed = getattr(module, "transposed", False)
    for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
        if tensor.ndim > 1:
            yield name, tensor, int(makes == transposed)
        elif makes and tensor.ndim == 1:
            yield name, tensor, 0


@torch.no_grad()
def _removable(groups: Sequence[Group], network: nn.Module, loss: Callable[[], float]) -> bool:
    """Return whether the loss stays as it is when half of the units, which nothing reads any more, are made by other weights."""
    state, before = tensors.state(network), tensors.weights_of(network)
    losses = []
    # Above 0 where the drawn ones are at most 0.75: variances among them.
    others = {name: 1.5 - tensor if tensor.is_floating_point() else tensor for name, tensor in before.items()}
    for made in (before, others):
        weights = dict(before)
        for group in groups:
            kept = torch.arange(group.count) % 2 == 0
            for name, entries in group.entries(kept, group.made.items()):
                weights[name] = torch.where(entries, weights[name], made[name])
        for group in groups:
            kept = torch.arange(group.count) % 2 == 0
            for name, entries in group.entries(kept, group.read.items()):
                weights[name] = torch.where(entries, weights[name], torch.zeros((), dtype=weights[name].dtype))
        for name, tensor in state.items():
            tensor.copy_(weights[name])
        losses.append(loss())
    for name, tensor in state.items():
        tensor.copy_(before[name])
    return abs(losses[0] - losses[1]) <= TOLERANCE * abs(losses[0])


@torch.no_grad()
def _draw(network: nn.Module) -> None:
    """Draw weights for which every layer counts, whatever the network's are: a function of their names."""
    for name, tensor in tensors.state(network).items():
        generator = torch.Generator().manual_seed(derive(0, "structure", name))
        if not tensor.is_floating_point():
            continue
        if tensor.ndim > 1:
            drawn = torch.randn(tensor.shape, generator=generator) * (2 * tensor.shape[0] / tensor.numel()) ** 0.5
        else:
            drawn = 0.25 + 0.5 * torch.rand(tensor.shape, generator=generator)
        tensor.copy_(drawn)
