"""Criteria: how much each weight matters. A criterion is a pure function (weights, evidence) -> scores; higher is kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from torch import Tensor

from ltb.common.allowed import Rounds
from ltb.core.tensors import Weights

Scores = Mapping[str, Tensor]


class Probe(Protocol):
    """Gathers evidence from a network: what it returns under each name reaches the criterion in `Evidence.gathered`.

    `module` holds the masked weights to be scored and is the probe's own copy; `batches()` starts a fresh pass over
    the training minibatches in the order of the run's seed. A probe is a frozen dataclass: it is part of the key.

    One that has `steps` says what a call costs, in steps of training (a forward and a backward pass of a minibatch), as a number
    or, where that depends on the data, a function of (module, batches): the cost of a search includes it. One without is free.
    """

    def __call__(self, module: Any, batches: Any) -> Mapping[str, Weights]: ...


@dataclass(frozen=True, eq=False)
class Evidence:
    """The evidence beside weights for a criterion or an allocation: the seed, the weights at the start, what probes gathered."""

    seed: int = 0
    start: Weights = field(default_factory=dict)
    gathered: Mapping[str, Weights] = field(default_factory=dict)


class Criterion(ABC):
    """(weights, evidence) -> scores: a float tensor of the same shape for each name; of two weights the higher is kept.

    A criterion is a frozen dataclass without state. One that needs more than weights carries a `probe`.

    rounds:  how many times a level scores on its way to its target, with densities in equal ratios, d₀^(1 − r/n) · d^(r/n)
             after round r of n (Tanaka et al. 2020).
    regrows: whether weights that a round has pruned may come back in a later one (what the source had pruned never does).
    signed:  whether a score may be below 0.
    version: raised when the same settings come to give other scores.
    """

    probe: ClassVar[Any] = None
    rounds: Rounds = 1
    regrows: bool = False
    signed: ClassVar[bool] = False
    version: ClassVar[int] = 1

    @abstractmethod
    def __call__(self, weights: Weights, evidence: Evidence) -> Scores: ...


def batches_of(stream: Iterable[tuple[Tensor, Tensor]], count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The first `count` minibatches of a stream. Raises ValueError when there are fewer."""
    iterator = iter(stream)
    for index in range(count):
        try:
            yield next(iterator)
        except StopIteration:
            raise ValueError(f"{count} minibatches were asked for; there are {index}") from None
