"""Probes: what a criterion needs to know of a network beside its weights, gathered where models and data are at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ltb.core.criteria import batches_of


@dataclass(frozen=True)
class Gradient:
    """The gradient of the mean cross-entropy over the first `batches` minibatches, as ``gathered["gradient"]``.

    At the masked weights, in evaluation mode; it is dense: pruned weights have their gradient too.
    """

    batches: int = 1

    def __post_init__(self) -> None:
        if self.batches < 1:
            raise ValueError(f"criterion.probe.batches={self.batches}: 1 or more")

    def __call__(self, module: Any, batches: Callable[[], Iterable[Any]]) -> Mapping[str, Mapping[str, Tensor]]:
        network = getattr(module, "network", module).eval()
        parameters = {name: p for name, p in network.named_parameters() if p.requires_grad}
        total = {name: torch.zeros_like(p) for name, p in parameters.items()}
        examples = 0
        for x, y in batches_of(batches(), self.batches):
            loss = functional.cross_entropy(network(x), y, reduction="sum")
            for name, gradient in zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True):
                total[name] += gradient
            examples += len(y)
        return {"gradient": {name: gradient.cpu() / examples for name, gradient in total.items()}}
