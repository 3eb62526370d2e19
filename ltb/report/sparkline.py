"""A curve in one line of text, a character a level. Plain Python: a run shows it at its end."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Iterable[float | None]) -> str:
    """Return one bar for each value, from the lowest (▁) to the highest (█); a dot for None, NaN and infinite ones.

    Heights compare the values with each other only (`scale` says which they are): equal values are all of middle height.

    >>> sparkline([0.68, 0.71, None, 0.60, 0.50])
    '▇█·▄▁'
    """
    numbers = [math.nan if value is None else float(value) for value in values]
    low, high = _extremes(numbers)
    return "".join(_bar(value, low, high) if math.isfinite(value) else "·" for value in numbers)


def scale(values: Iterable[float | None], write: Callable[[float], str]) -> str:
    """Return what the lowest and the highest bar stand for; "" where no value is finite.

    >>> scale([0.68, 0.71, None], "{:.2f}".format)
    '▁ 0.68, █ 0.71'
    """
    known = [value for value in values if value is not None and math.isfinite(value)]
    low, high = map(write, _extremes(known))
    return f"{BARS[0]} {low}, {BARS[-1]} {high}" if known else ""


def _extremes(values: Iterable[float]) -> tuple[float, float]:
    """Return the lowest and the highest of those values that are finite, 0 and 0 where none is."""
    known = [value for value in values if math.isfinite(value)]
    return min(known, default=0.0), max(known, default=0.0)


def _bar(value: float, low: float, high: float) -> str:
    height = high / 2 - low / 2  # halves: the difference of two large numbers may be infinite
    if height == 0:
        return BARS[len(BARS) // 2 - 1]
    return BARS[min(int(len(BARS) * ((value / 2 - low / 2) / height)), len(BARS) - 1)]
