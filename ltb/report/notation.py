"""Numbers as a reader of a report sees them: accuracies in percent, true minus signs, no digits that mean nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

NONE = "–"
EXACT = 1e-12  # of two ends' size: nearer to each other they are one number, up to rounding


@dataclass(frozen=True)
class Notation:
    """A notation for values: `scale` · value in `digits` (a format), then `unit`; `signed` if a difference.

    A `fraction` lies between 0 and 1: an interval that holds all of that says nothing.
    """

    scale: float = 1.0
    digits: str = ".4g"
    unit: str = ""
    signed: bool = False
    fraction: bool = False

    def __call__(self, value: float) -> str:
        """Return the value with its unit; a dash for NaN.

        >>> Notation(100, ".1f", " %")(0.675), Notation(100, ".1f", signed=True)(-0.012)
        ('67.5 %', '−1.2')
        """
        if math.isnan(value):
            return NONE
        sign = "+" if self.signed else ""
        return format(self.scale * value, sign + self.digits).replace("-", "−") + self.unit

    def bare(self, value: float) -> str:
        """Return the value without its unit."""
        return self(value).removesuffix(self.unit)

    def interval(self, low: float, high: float) -> str:
        """Return two ends with the unit once, those of a fraction within 0 and 1; a dash where they are not known, or say nothing.

        >>> Notation(100, ".1f", " %").interval(0.655, 0.695), Notation().interval(0.5, 0.5)
        ('65.5 to 69.5 %', '– (no spread)')
        >>> DENSITY.interval(0.375, 1.164)
        '37.5 to 100 %'
        """
        if math.isnan(low) or math.isnan(high):
            return NONE
        why = self.empty(low, high)
        if self.fraction:
            low, high = max(low, 0.0), min(high, 1.0)  # a t interval may end beyond what there is
        return f"{NONE} ({why})" if why else f"{self.bare(low)} to {self(high)}"

    def empty(self, low: float, high: float) -> str:
        """Return why an interval says nothing: its values had no spread, or it holds all that there is; "" for any other.

        >>> DENSITY.empty(0.0, 1.0), DENSITY.empty(0.1, 1.0)
        ('anything from 0 to 100 %', '')
        """
        if abs(high - low) <= EXACT * max(abs(low), abs(high)):
            return "no spread"
        whole = self.fraction and low <= 0 and high >= 1
        return f"anything from {self.bare(0.0)} to {self(1.0)}" if whole else ""


STEPS = Notation(digits=",.0f")
FLOPS = Notation(digits=".2e")
DENSITY = Notation(100, ".3g", " %", fraction=True)


def of(metric: str) -> Notation:
    """Return the notation of a metric's values: accuracies in percent with two decimals, any other with four digits."""
    return Notation(100, ".2f", " %", fraction=True) if "accuracy" in metric else Notation()


def difference(metric: str) -> Notation:
    """Return the notation of a metric's differences: of accuracies in percentage points, always with their sign."""
    return Notation(100, ".2f", " points", signed=True) if "accuracy" in metric else Notation(signed=True)


def heading(quantity: str) -> str:
    """Return a quantity as the head of a column whose cells are bare.

    >>> heading("recovered_accuracy"), heading("iou")
    ('recovered accuracy (%)', 'iou')
    """
    return quantity.replace("_", " ") + of(quantity).unit.replace("%", "(%)")


def mean_std(quantity: str, mean: float, std: float) -> str:
    """Return mean ± sample standard deviation without a unit; one seed has no spread and shows none, and no seed a dash.

    >>> mean_std("test/accuracy", 0.6892, 0.0041), mean_std("iou", 0.25, float("nan"))
    ('68.92 ± 0.41', '0.25')
    """
    write = STEPS if quantity == "early_stop_step" else of(quantity)
    return write.bare(mean) + ("" if math.isnan(std) else f" ± {write.bare(std)}")


def diverged(count: float, seeds: float) -> str:
    """Return what is said beside a mean where `count` of `seeds` diverged; "" where none did.

    >>> diverged(1, 3), diverged(0, 3)
    (' (1 of 3 diverged)', '')
    """
    return f" ({count:.0f} of {seeds:.0f} diverged)" if count else ""


def density(value: float) -> str:
    """Return a density in percent, with three digits.

    >>> density(0.05), density(0.000123), density(1.0)
    ('5 %', '0.0123 %', '100 %')
    """
    return DENSITY(value)


def densities(a: float, b: float) -> str:
    """Return two densities that are compared: one where they are the same to a hundredth of them.

    >>> densities(0.05, 0.0502), densities(0.044, 0.05)
    ('5 %', '4.4 % and 5 %')
    """
    return density(a) if abs(a - b) <= 0.01 * max(a, b) else f"{density(a)} and {density(b)}"


def each(pairs: list[tuple[int, float]], write: Callable[[float], str]) -> str:
    """Return seeds with their values, in the order of the seeds: "0: 67.1, 1: 68.0"."""
    return ", ".join(f"{seed}: {write(value)}" for seed, value in sorted(pairs))


def probability(p: float) -> str:
    """Return a p-value with the digits that mean something.

    >>> probability(0.0312), probability(0.00002), probability(float("nan"))
    ('0.031', '< 0.001', '–')
    """
    return NONE if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def correlation(r: float) -> str:
    """Return a correlation with two digits.

    >>> correlation(-0.081), correlation(float("nan"))
    ('−0.08', '–')
    """
    return NONE if math.isnan(r) else f"{r:.2f}".replace("-", "−")
