"""The gradient of the loss, as criteria look at it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ltb.core import tensors
from ltb.core.contracts import loss_of, network_of
from ltb.core.criteria.criterion import batches_of


@dataclass(frozen=True)
class Gradient:
    """The gradient of the module's loss over the first `batches` minibatches, their mean, as ``gathered["gradient"]``.

    It is taken at the masked weights, in evaluation mode, and is dense: pruned weights have their gradient too.
    """

    batches: int = 1

    def __post_init__(self) -> None:
        if self.batches < 1:
            raise ValueError(f"criterion.probe.batches={self.batches}: 1 or more")

    def __call__(self, module: Any, batches: Callable[[], Iterable[Any]]) -> Mapping[str, Mapping[str, Tensor]]:
        loss = loss_of(module.eval(), "criterion.probe=Gradient")
        parameters = {name: p for name, p in tensors.parameters(network_of(module)).items() if p.requires_grad}
        total = {name: torch.zeros_like(p) for name, p in parameters.items()}
        for batch in batches_of(batches(), self.batches):
            gradients = torch.autograd.grad(loss(batch), list(parameters.values()), allow_unused=True)
            for name, gradient in zip(parameters, gradients, strict=True):
                if gradient is not None:
                    total[name] += gradient
        return {"gradient": {name: gradient / self.batches for name, gradient in total.items()}}
