"""Numbers as a reader of a report sees them: accuracies in percent, true minus signs, no digits that mean nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

NONE = "–"


@dataclass(frozen=True)
class Notation:
    """How one kind of value is written: `scale` · value, with `digits` (a format), then `unit`; a difference has a sign."""

    scale: float = 1.0
    digits: str = ".4g"
    unit: str = ""
    signed: bool = False

    def __call__(self, value: float) -> str:
        """The value with its unit; a dash for NaN.

        >>> Notation(100, ".1f", " %")(0.675), Notation(100, ".1f", signed=True)(-0.012)
        ('67.5 %', '−1.2')
        """
        if math.isnan(value):
            return NONE
        sign = "+" if self.signed else ""
        return format(self.scale * value, sign + self.digits).replace("-", "−") + self.unit

    def bare(self, value: float) -> str:
        """The value without its unit."""
        return self(value).removesuffix(self.unit)

    def interval(self, low: float, high: float) -> str:
        """Two ends with the unit once; a dash where they are not known.

        >>> Notation(100, ".1f", " %").interval(0.655, 0.695)
        '65.5 to 69.5 %'
        """
        return NONE if math.isnan(low) or math.isnan(high) else f"{self.bare(low)} to {self(high)}"


STEPS = Notation(digits=",.0f")
FLOPS = Notation(digits=".2e")
DENSITY = Notation(100, ".3g", " %")


def of(metric: str) -> Notation:
    """How values of a metric are written: an accuracy in percent with two decimals, any other with four digits."""
    return Notation(100, ".2f", " %") if "accuracy" in metric else Notation()


def difference(metric: str) -> Notation:
    """How differences of a metric are written: of accuracies in percentage points, always with their sign."""
    return Notation(100, ".2f", " points", signed=True) if "accuracy" in metric else Notation(signed=True)


def heading(quantity: str) -> str:
    """A quantity as the head of a column whose cells are bare.

    >>> heading("recovered_accuracy"), heading("iou")
    ('recovered accuracy (%)', 'iou')
    """
    return quantity.replace("_", " ") + of(quantity).unit.replace("%", "(%)")


def mean_std(quantity: str, mean: float, std: float) -> str:
    """Mean ± sample standard deviation without a unit; one seed has no spread and shows none.

    >>> mean_std("test/accuracy", 0.6892, 0.0041), mean_std("iou", 0.25, float("nan"))
    ('68.92 ± 0.41', '0.25')
    """
    write = STEPS if quantity == "early_stop_step" else of(quantity)
    return write.bare(mean) + ("" if math.isnan(std) else f" ± {write.bare(std)}")


def density(value: float) -> str:
    """Three digits are enough for any density.

    >>> density(0.05), density(0.000123), density(1.0)
    ('5 %', '0.0123 %', '100 %')
    """
    return DENSITY(value)


def densities(a: float, b: float) -> str:
    """Two densities that are compared: one where they are the same to a hundredth of them.

    >>> densities(0.05, 0.0502), densities(0.044, 0.05)
    ('5 %', '4.4 % and 5 %')
    """
    return density(a) if abs(a - b) <= 0.01 * max(a, b) else f"{density(a)} and {density(b)}"


def each(pairs: list[tuple[int, float]], write: Callable[[float], str]) -> str:
    """Seeds with their values, in the order of the seeds: "0: 67.1, 1: 68.0"."""
    return ", ".join(f"{seed}: {write(value)}" for seed, value in sorted(pairs))


def probability(p: float) -> str:
    """A p-value with the digits that carry something.

    >>> probability(0.0312), probability(0.00002), probability(float("nan"))
    ('0.031', '< 0.001', '–')
    """
    return NONE if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"
