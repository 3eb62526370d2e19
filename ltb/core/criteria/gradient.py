"""Gradients of the module's loss over training minibatches, as probes gather them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ltb.common.allowed import Count, settle
from ltb.core import tensors
from ltb.core.contracts import loss_of, network_of
from ltb.core.criteria import examples
from ltb.core.criteria.examples import Batches

Gathered = Mapping[str, Mapping[str, Tensor]]


@dataclass(frozen=True)
class Gradient:
    """The gradient of the module's loss over the first `batches` minibatches, their mean, as ``gathered["gradient"]``.

    With `examples_per_class` it is that over so many examples of each class, as `ltb.core.criteria.examples` draws them.
    It is taken at the masked weights, in evaluation mode or with `train` in training mode, and is dense: pruned weights have
    their gradient too.
    """

    batches: Count = 1
    train: bool = False
    examples_per_class: Count | None = None

    def __post_init__(self) -> None:
        settle(self, "criterion.probe")

    @property
    def steps(self) -> Any:
        return examples.steps(self)

    def __call__(self, module: Any, batches: Batches) -> Gathered:
        loss = loss_of(module.train(self.train), "criterion.probe=Gradient")
        return {"gradient": mean_gradient(loss, scored(module), examples.minibatches(self, module, batches))}


@dataclass(frozen=True)
class GradientMoments:
    """The means of |g| and of g² over minibatches, as ``gathered["absolute"]`` and ``gathered["square"]``.

    g is the gradient of a minibatch's mean loss for each of the first `batches` minibatches; with `per_example`, that of each
    of their examples, one at a time. At the masked weights, in evaluation mode; dense, and with `examples_per_class`, as
    `Gradient` is.
    """

    batches: Count = 1
    per_example: bool = False
    examples_per_class: Count | None = None

    def __post_init__(self) -> None:
        settle(self, "criterion.probe")

    @property
    def steps(self) -> Any:
        return examples.steps(self)

    def __call__(self, module: Any, batches: Batches) -> Gathered:
        loss, parameters = loss_of(module.eval(), "criterion.probe=GradientMoments"), scored(module)
        absolute, square, count = zeros(parameters), zeros(parameters), 0
        for batch in examples.minibatches(self, module, batches):
            for part in singles(batch) if self.per_example else [batch]:
                count += 1
                for name, gradient in gradients(loss(part), parameters).items():
                    absolute[name] += gradient.abs()
                    square[name] += gradient.square()
        found = {"absolute": absolute, "square": square}
        return {which: {name: total / count for name, total in sums.items()} for which, sums in found.items()}


def scored(module: Any) -> dict[str, Tensor]:
    """Return the parameters of a module's network by name, ready for gradients: frozen ones too, for they may be pruned."""
    every = tensors.parameters(network_of(module))
    return {name: p.requires_grad_() for name, p in every.items() if p.is_floating_point() or p.is_complex()}


def zeros(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a sum's beginning for each parameter."""
    return {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}


def gradients(value: Tensor, parameters: Mapping[str, Tensor], *, graph: bool = False) -> dict[str, Tensor]:
    """Return the gradient of a scalar for each parameter that it depends on; with `graph`, one to differentiate again."""
    found = torch.autograd.grad(value, list(parameters.values()), allow_unused=True, create_graph=graph)
    return {name: one for name, one in zip(parameters, found, strict=True) if one is not None}


def mean_gradient(
    loss: Callable[[Any], Tensor], parameters: Mapping[str, Tensor], batches: Iterable[Any]
) -> dict[str, Tensor]:
    """Return the mean over minibatches of the gradient of their losses."""
    total, count = zeros(parameters), 0
    for count, batch in enumerate(batches, start=1):  # noqa: B007 - counted for the mean
        for name, gradient in gradients(loss(batch), parameters).items():
            total[name] += gradient
    return {name: gradient / count for name, gradient in total.items()}


def singles(batch: Any) -> Iterator[tuple[Tensor, ...]]:
    """Yield a minibatch of each example of a minibatch. Raises ValueError for one that is not a tuple or list of tensors."""
    if not isinstance(batch, Sequence) or not all(isinstance(part, Tensor) for part in batch):
        raise ValueError(
            f"gradients of single examples need minibatches that are tuples of tensors, and one is a {type(batch).__name__}"
        )
    return zip(*(part.split(1) for part in batch), strict=True)
