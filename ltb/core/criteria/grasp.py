"""GraSP: what keeps the gradient's flow stays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ltb.common.allowed import Count, Positive, settle
from ltb.core.contracts import loss_of, network_of
from ltb.core.criteria import examples
from ltb.core.criteria.criterion import Criterion, Evidence, Scores
from ltb.core.criteria.examples import Batches
from ltb.core.criteria.gradient import Gathered, gradients, mean_gradient, scored, zeros
from ltb.core.tensors import Weights


@dataclass(frozen=True)
class HessianGradient:
    """H·g as ``gathered["hessian_gradient"]``: g and H are the gradient and the Hessian of the mean loss of `batches` minibatches.

    By double backward: the gradient of stopped(g)·g. The loss is the module's own, with the network's outputs divided by
    `temperature`, by a hook on the network; so the network must give a tensor (logits) to its loss. Two passes are made over
    the same minibatches; in training mode (`train`) dropout draws anew in each. With `examples_per_class` they are of so many
    examples of each class, as `ltb.core.criteria.examples` draws them.
    """

    batches: Count = 1
    train: bool = True
    temperature: Positive = 200.0
    examples_per_class: Count | None = None

    def __post_init__(self) -> None:
        settle(self, "criterion.probe")

    @property
    def steps(self) -> Any:
        # In forward passes, of which a step is three: the first pass is 3; the second 3, the backward of its forward 2, and that of
        # its backward, in which each product has two factors to differentiate, 4.
        return examples.steps(self, 4)

    def __call__(self, module: Any, batches: Batches) -> Gathered:
        loss, parameters = loss_of(module.train(self.train), "criterion.probe=HessianGradient"), scored(module)
        total, count = zeros(parameters), 0

        def counted() -> Iterator[Any]:
            nonlocal count
            for count, batch in enumerate(examples.minibatches(self, module, batches), start=1):  # noqa: B007
                yield batch

        with _divided(network_of(module), self.temperature):
            stopped = mean_gradient(loss, parameters, counted())
            for batch in examples.minibatches(self, module, batches):
                found = gradients(loss(batch), parameters, graph=True)
                product = torch.stack([(stopped[name] * gradient).sum() for name, gradient in found.items()]).sum()
                for name, second in gradients(product, parameters).items():
                    total[name] += second / count
        return {"hessian_gradient": total}


@contextmanager
def _divided(network: nn.Module, temperature: float) -> Iterator[None]:
    """Divide what a network returns by `temperature`. Raises ValueError when it was not called, or returns no tensor."""
    called = False

    def divide(_: nn.Module, given: Any, output: Any) -> Tensor:
        nonlocal called
        called = True
        if not isinstance(output, Tensor):
            raise ValueError(
                f"{type(network).__name__} must return a tensor of logits; it is a {type(output).__name__}"
            )
        return output / temperature

    handle = network.register_forward_hook(divide)
    try:
        yield
    finally:
        handle.remove()
    if not called:
        raise ValueError(
            f"the module's loss(batch) must call {type(network).__name__}, whose logits are divided by a temperature"
        )


@dataclass(frozen=True)
class Grasp(Criterion):
    """w · (H g): gradient signal preservation (Wang et al. 2020, equation 8, whose largest −w · H g are removed).

    A weight with a low score is one whose removal lowers the gradient's norm least, or raises it. Scored once, as in the paper.
    Not followed: the authors' code draws linear layers anew in the copy that it scores; here the weights are those trained.

    batches:     how many training minibatches are scored.
    train:       in training mode, as the authors' code.
    temperature: the T that logits are divided by (the authors: 200).
    examples_per_class: score so many examples of each class instead of `batches` (the authors, on CIFAR-10: 10), the first ones
                 of the run's seed.
    """

    signed: ClassVar[bool] = True

    batches: Count = 1
    train: bool = True
    temperature: Positive = 200.0
    examples_per_class: Count | None = None

    def __post_init__(self) -> None:
        settle(self, "criterion")
        examples.check(self, "criterion")

    @property
    def probe(self) -> HessianGradient:  # type: ignore[override]
        return HessianGradient(self.batches, self.train, self.temperature, self.examples_per_class)

    def __call__(self, weights: Weights, evidence: Evidence) -> Scores:
        product = evidence.gathered["hessian_gradient"]
        return {name: weight * product[name] for name, weight in weights.items()}
