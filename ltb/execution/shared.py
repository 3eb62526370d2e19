"""Shared: weights that take few values, as in the second stage of Deep Compression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from ltb.common.allowed import Limits
from ltb.core import tensors
from ltb.core.contracts import Progress, network_of
from ltb.core.execution import Body
from ltb.core.grid import clusters, nearest
from ltb.core.masks import Masks
from ltb.core.points import Fit
from ltb.core.tensors import Weights
from ltb.execution.quantised import Quantised, QuantisedBody

Bits = Annotated[int, Limits("1 to 8", least=1, below=9)]


@dataclass(frozen=True)
class Shared(Quantised):
    """Weight sharing (Han et al. 2016, section 3): the kept weights of each parameter take 2^bits values, found by k-means.

    Centres begin at equal distances between the least and the largest kept weight, the best of their three. Trained on, the
    weights of a cluster move together, with the sum of their gradients (their equation 3), and stay in it.

    bits, convolution_bits: of linear layers and of convolutions; theirs are 5 and 8.

    Deviations: what an optimizer decays or scales is a weight's, not a centre's; their codes of the values are in `measure=bytes`.
    """

    bits: Bits = 5
    convolution_bits: Bits = 8

    def on_grid(self, weight: Tensor, mask: Tensor) -> Tensor:
        found, kept = torch.zeros_like(weight), weight[mask]
        if len(kept):
            centres = clusters(kept.cpu(), 2 ** (self.bits if weight.ndim <= 2 else self.convolution_bits))
            found[mask] = centres[nearest(kept.cpu(), centres)].to(weight)
        return found

    def enter(self, module: nn.Module, masks: Masks) -> Body:
        network = network_of(module)
        parameters = tensors.parameters(network)
        values = {name: self.on_grid(parameters[name].detach(), mask) for name, mask in masks.items()}
        return SharedBody(network, masks, self, {name: indices(value, masks[name]) for name, value in values.items()})

    def begin(self, module: nn.Module, fit: Fit, done: Progress | None = None) -> Body:
        values = {name: fit.origin.weights[name] for name in fit.masks}
        ids = done.state if done else {name: indices(value, fit.masks[name]) for name, value in values.items()}
        return SharedBody(network_of(module), fit.masks, self, ids)


class SharedBody(QuantisedBody):
    """A body whose weights stay equal within each cluster; `ids` names each weight's, −1 where it is pruned."""

    def __init__(self, network: nn.Module, masks: Masks, execution: Shared, ids: Weights) -> None:
        super().__init__(network, masks, execution)
        self._ids = dict(ids)
        self._firsts: dict[str, Tensor] = {}

    def state(self) -> Weights:
        return {name: ids.to("cpu", copy=True) for name, ids in self._ids.items()}

    def ready(self) -> None:
        for name, parameter in self._parameters.items():
            self._ids[name] = ids = self._ids[name].to(parameter.device)
            # The last place of each cluster, any will do.
            places = torch.arange(ids.numel(), device=parameter.device)
            firsts = torch.zeros(int(ids.max()) + 2, dtype=torch.int64, device=parameter.device)
            self._firsts[name] = firsts.scatter_(0, ids.flatten().long() + 1, places)

    def before(self) -> None:
        for name, parameter in self._parameters.items():
            if parameter.grad is not None:
                ids = self._ids[name].flatten().long() + 1
                sums = torch.zeros(len(self._firsts[name]), dtype=parameter.dtype, device=parameter.device)
                sums.scatter_add_(0, ids, parameter.grad.flatten())
                sums[0] = 0  # of what is pruned
                parameter.grad.copy_(sums[ids].reshape(parameter.shape))

    def after(self) -> None:
        for name, parameter in self._parameters.items():
            # An optimizer's kernels may round the last few entries of a tensor another way than the others.
            values = parameter.flatten()[self._firsts[name]]
            values[0] = 0
            parameter.copy_(values[self._ids[name].flatten().long() + 1].reshape(parameter.shape))


def indices(weight: Tensor, mask: Tensor) -> Tensor:
    """Return which of its parameter's distinct kept values each weight has, ascending, and −1 where it is pruned: int16."""
    found = torch.full(weight.shape, -1, dtype=torch.int16)
    found[mask] = weight[mask].unique(return_inverse=True)[1].to(torch.int16)
    return found
