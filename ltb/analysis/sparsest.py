"""The sparsest matching level of one run, in plain Python: a run's summary and every report use one rule, `matches`, and words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

LEAST = 3  # seeds for a verdict: with two, t(0.975, 1) = 12.7 and the interval is valid but decides nothing
STD = "std"  # the tolerance that is one standard deviation of the dense networks
DENSE_DIVERGED = "the dense network diverged"  # in the place of a number that would compare with it
ROUNDING = 1e-9  # 0.8 - 0.1 > 0.7 in binary: a value exactly at the tolerance still counts


def sparsest_matching(
    levels: Iterable[tuple[float, float]], *, dense: float, tolerance: float, direction: str = "max"
) -> float | None:
    """Return the highest sparsity whose value is no worse than the dense network's by more than `tolerance`.

    `levels` are (sparsity, value) pairs in any order, value in the units of `dense` and `tolerance`; with
    direction "min" lower is better (an error). Levels without a value (NaN, as that of a level that diverged) do not match;
    None if no level does, or the dense network has no value.
    A level may match although a denser one does not: the highest is taken, as in Frankle & Carbin (2019).

    >>> sparsest_matching([(0.0, 0.70), (0.2, 0.71), (0.36, 0.69), (0.488, 0.60)], dense=0.70, tolerance=0.01)
    0.36
    """
    if direction not in ("max", "min"):
        raise ValueError(f"direction={direction!r}: must be 'max' or 'min'")
    check(tolerance)
    sign = 1.0 if direction == "max" else -1.0
    good = (sparsity for sparsity, value in levels if matches(sign * (value - dense), tolerance))
    return max(good, default=None)


def matches(gap: float, tolerance: float) -> bool:
    """Return whether a level better than the dense network by `gap` (negative: worse) is within tolerance; NaN and ±∞ are not.

    >>> matches(0.7 - 0.8, 0.1), matches(-0.11, 0.1), matches(float("nan"), 0.1)
    (True, False, False)
    """
    return math.isfinite(gap) and gap >= -tolerance - ROUNDING


def no_better_than_untrained(row: Mapping[str, Any], metric: str, direction: str) -> str | None:
    """Return what to say of a dense network, by its row of a ledger, that ended no better than it began; None of others.

    By the loss in validation where one is recorded, else by the metric. None too where what it began with is not recorded.

    >>> no_better_than_untrained({"val/loss": 6e26, "untrained/loss": 2.31}, "accuracy", "max")
    'validation loss ended at 6e+26, and was 2.31 before any training'
    >>> no_better_than_untrained({"val/loss": 0.5, "untrained/loss": 2.31}, "accuracy", "max")
    """
    for name, better in (("loss", "min"), (metric, direction)):
        before, after = row.get(f"untrained/{name}"), row.get(f"val/{name}")
        if before is not None and after is not None and math.isfinite(before):
            learned = after < before if better == "min" else after > before
            told = f"validation {name} ended at {after:.4g}, and was {before:.4g} before any training"
            return None if learned else told
    return None


def check(tolerance: float) -> None:
    """Raise ValueError for a tolerance that is negative or no number."""
    if not tolerance >= 0:
        raise ValueError(f"tolerance={tolerance}: must be at least 0")
