"""Allocations that say how many weights each layer keeps, and the rule that makes whole numbers of shares."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from fractions import Fraction

from torch import Tensor

from ltb.core.allocation.allocation import NO_EVIDENCE, Allocation, Shapes, keep_top, shapes_of
from ltb.core.criteria import Evidence, Scores
from ltb.core.masks import Masks


class ByLayer(Allocation):
    """An allocation that gives each layer a number of weights, of which it keeps its best."""

    @abstractmethod
    def counts(self, shapes: Shapes, target: float) -> dict[str, int]:
        """Return how many weights each layer keeps at a target: no more at a higher one, so that masks nest.

        Raises ValueError for a target that cannot be had.
        """

    def check(self, shapes: Shapes, targets: Sequence[float]) -> None:
        for target in targets[1:]:
            self.counts(shapes, target)

    def __call__(
        self, scores: Scores, masks: Masks, target: float, evidence: Evidence = NO_EVIDENCE
    ) -> dict[str, Tensor]:
        counts = self.counts(shapes_of(masks), target)
        return {
            name: keep_top(scores[name].flatten(), mask.flatten(), counts[name]).reshape(mask.shape)
            for name, mask in masks.items()
        }


def check_patterns(key: str, patterns: Iterable[str], shapes: Shapes, remedy: str = "") -> None:
    """Raise ValueError for a glob pattern that matches no prunable parameter; `remedy` ends what it says."""
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in shapes):
            raise ValueError(f"{key}: {pattern!r} matches no prunable parameter; there are {', '.join(shapes)}{remedy}")


def apportion(total: int, shares: Sequence[int], least: Sequence[int], most: Sequence[int]) -> list[int]:
    """Return whole numbers in proportion to `shares`, each from `least` to `most`, that sum to `total` exactly.

    Each is round(factor · share), clamped, with one factor for all, and what rounding leaves over or short goes where it is
    nearest (Webster's method; of equally near ones the earlier gets it). With a larger total no number gets smaller, which the
    more familiar largest remainders do not hold: masks nest. In exact arithmetic; shares above 0, sum(least) <= total <=
    sum(most).

    >>> apportion(10, [1, 2, 30], [0, 0, 0], [5, 5, 6])  # the third is saturated: 4 are left for 1 : 2
    [1, 3, 6]
    """
    if not sum(least) <= total <= sum(most):
        raise ValueError(f"{total} weights in all, from {sum(least)} to {sum(most)}")

    def at(factor: Fraction) -> list[int]:
        rounded = (int(factor * share + Fraction(1, 2)) for share in shares)
        return [min(max(one, low), high) for one, low, high in zip(rounded, least, most, strict=True)]

    low, high = 0.0, 1.0 + max(top / share for top, share in zip(most, shares, strict=True))
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if sum(at(Fraction(middle))) <= total else (low, middle)
    found = at(Fraction(low))
    # What is left are ties, and layers whose next factors are closer than floats are. The next of each: (j + 1/2) / share.
    while (missing := total - sum(found)) > 0:
        free = [i for i, top in enumerate(most) if found[i] < top]
        found[min(free, key=lambda i: Fraction(2 * found[i] + 1, 2 * shares[i]))] += 1
    assert missing == 0
    return found
