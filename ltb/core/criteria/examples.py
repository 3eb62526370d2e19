"""Which examples of training a probe looks at: the first minibatches, or so many examples of each class."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from ltb.core.contracts import loss_of, network_of
from ltb.core.criteria.criterion import batches_of

Batches = Callable[[], Iterable[Any]]


class Asking(Protocol):
    """A probe as this file sees it: `batches` minibatches are wanted, or, unless that is None, `examples_per_class`."""

    @property
    def batches(self) -> int: ...
    @property
    def examples_per_class(self) -> int | None: ...


def check(asking: Asking, key: str) -> None:
    """Raise ValueError, naming `key`, where both are asked for."""
    if asking.examples_per_class is not None and asking.batches != 1:
        raise ValueError(
            f"{key}.batches={asking.batches}: no effect with {key}.examples_per_class={asking.examples_per_class}; 1 is allowed"
        )


def steps(asking: Asking, each: float = 1) -> Any:
    """Return what a call costs if a minibatch costs `each`: the `steps` of a probe."""
    if asking.examples_per_class is None:
        return each * asking.batches
    return partial(_steps, asking.examples_per_class, each)


def _steps(per_class: int, each: float, module: Any, batches: Batches) -> float:
    (batch,) = batches_of(batches(), 1)
    return each * per_class * _classes(module, batch, per_class) / len(batch[1])


def minibatches(asking: Asking, module: Any, batches: Batches) -> Iterator[Any]:
    """Return the minibatches that are asked for, in the order of the stream; the same at each call.

    Of `examples_per_class` these are the first of each class that the stream brings, with its augmentation; a class of which an
    epoch has fewer gives them again in the next. They are cut into the fewest equal minibatches that are not larger than the
    stream's. Classes are the columns of what the network returns. Raises ValueError for minibatches other than (x, y) with
    y integers of shape (batch,), for networks that do not return logits of shape (batch, classes) to the loss, and where the
    stream ends before each class has its examples.
    """
    if asking.examples_per_class is None:
        return batches_of(batches(), asking.batches)
    return _of_classes(asking.examples_per_class, module, batches)


def _of_classes(per_class: int, module: Any, batches: Batches) -> Iterator[tuple[Tensor, Tensor]]:
    stream = iter(batches())
    first = next(stream)
    classes, size = _classes(module, first, per_class), len(first[1])
    left = torch.full((classes,), per_class, device=first[1].device)
    chosen: list[tuple[Tensor, Tensor]] = []
    for x, y in chain([first], stream):
        one_hot = functional.one_hot(_labels(y, classes, per_class), classes)
        rank = one_hot.cumsum(0).gather(1, y.long()[:, None]).squeeze(1)  # of an example in its class, from 1
        taken = rank <= left[y.long()]
        chosen.append((x[taken], y[taken]))
        left -= torch.minimum(one_hot.sum(0), left)
        if not left.any():
            break
    else:
        which = int(left.argmax())
        raise ValueError(
            f"examples_per_class={per_class}: of class {which} a run's training minibatches have "
            f"{per_class - int(left[which])}; each of the {classes} classes of the network must have as many"
        )
    x, y = (torch.cat(parts) for parts in zip(*chosen, strict=True))
    pieces = next(count for count in range(-(-len(y) // size), len(y) + 1) if len(y) % count == 0)
    yield from zip(x.chunk(pieces), y.chunk(pieces), strict=True)


def _classes(module: Any, batch: Any, per_class: int) -> int:
    """Return how many classes the network tells apart, by what it returns to the loss of a minibatch."""
    if not isinstance(batch, Sequence) or len(batch) != 2 or not all(isinstance(part, Tensor) for part in batch):
        raise ValueError(
            f"examples_per_class={per_class}: minibatches must be pairs (x, y) of tensors, and one is a {type(batch).__name__}"
        )
    _labels(batch[1], None, per_class)
    network, seen = network_of(module), list[Any]()
    loss, training = loss_of(module, "criterion.examples_per_class"), module.training
    module.eval()
    handle = network.register_forward_hook(lambda _, given, output: seen.append(output))
    try:
        with torch.no_grad():
            loss(batch)
    finally:
        handle.remove()
        module.train(training)
    if not seen or not isinstance(seen[0], Tensor) or seen[0].ndim != 2:
        shape = tuple(seen[0].shape) if seen and isinstance(seen[0], Tensor) else None
        raise ValueError(
            f"examples_per_class={per_class}: the module's loss(batch) must call {type(network).__name__}, which must return "
            f"logits of shape (batch, classes); here that is {shape}"
        )
    return seen[0].shape[1]


def _labels(y: Tensor, classes: int | None, per_class: int) -> Tensor:
    kind = f"{str(y.dtype).removeprefix('torch.')} of shape {tuple(y.shape)}"
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool or y.ndim != 1:
        raise ValueError(
            f"examples_per_class={per_class}: labels must be integers of shape (batch,), and these are {kind}"
        )
    if classes is not None and not bool(((y >= 0) & (y < classes)).all()):
        raise ValueError(f"examples_per_class={per_class}: labels must be in 0..{classes - 1}, the network's classes")
    return y.long()
