"""The overlap that random masks have: how many weights two share, as a distribution on consecutive integers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

REACH = 10  # standard deviations; with SPARE, what lies farther from the mode has a probability below 1e-18
SPARE = 40


@dataclass(frozen=True, eq=False)
class Chance:
    """A distribution of a count: the probabilities of `first`, `first` + 1 …, float64 (values,), and exact moments."""

    first: int
    probabilities: Tensor
    mean: float
    variance: float

    def expectation(self, of: Callable[[Tensor], Tensor]) -> float:
        """Return the expectation of a function of the count, float64 (values,) -> (values,), bounded by 1."""
        counts = torch.arange(self.first, self.first + len(self.probabilities), dtype=torch.float64)
        return float((self.probabilities * of(counts)).sum())


def hypergeometric(total: int, one: int, other: int) -> Chance:
    """Return how many weights two independent, uniformly random masks share that keep `one` and `other` of `total`.

    Mean one·other/total, variance one·other·(total−one)·(total−other)/(total²·(total−1)). The probabilities follow from
    the ratios of neighbours, so the cost grows with √total, and nothing is approximated but that far ends are left out.

    >>> hypergeometric(4, 2, 2).probabilities.mul(6).tolist()  # 2 of 4 weights each: 0, 1 or 2 are shared
    [1.0, 4.0, 1.0]
    """
    lowest, highest = max(0, one + other - total), min(one, other)
    mean = one * other / total
    variance = mean * (total - one) / total * (total - other) / (total - 1) if total > 1 else 0.0
    mode = (one + 1) * (other + 1) // (total + 2)
    reach = math.ceil(REACH * math.sqrt(variance)) + SPARE
    lowest, highest = max(lowest, mode - reach), min(highest, mode + reach)
    k = torch.arange(lowest, highest, dtype=torch.float64)
    steps = (one - k).log() + (other - k).log() - (k + 1).log() - (total - one - other + k + 1).log()
    logs = torch.cat([torch.zeros(1, dtype=torch.float64), steps.cumsum(0)])
    return Chance(lowest, logs.softmax(0), mean, variance)


def sum_of(chances: Iterable[Chance]) -> Chance:
    """Return the distribution of the sum of independent counts, one or more; probabilities within 1e-15."""
    return reduce(_plus, chances)


def _plus(one: Chance, other: Chance) -> Chance:
    size = len(one.probabilities) + len(other.probabilities) - 1
    spectra = (torch.fft.rfft(each.probabilities, size) for each in (one, other))
    found = torch.fft.irfft(math.prod(spectra), size)
    mean, variance = one.mean + other.mean, one.variance + other.variance
    first = one.first + other.first
    # Else the sum of many layers would be mostly ends without weight.
    reach = math.ceil(REACH * math.sqrt(variance)) + SPARE
    begin, end = max(0, math.floor(mean) - reach - first), min(size, math.ceil(mean) + reach + 1 - first)
    return Chance(first + begin, found[begin:end] / found[begin:end].sum(), mean, variance)
