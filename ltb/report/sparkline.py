"""A curve in one line of text, a character a level. Plain Python: a run shows it at its end."""

from __future__ import annotations

import math
from collections.abc import Iterable

BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Iterable[float | None]) -> str:
    """Return one bar for each value, from the lowest (▁) to the highest (█); a dot for None, NaN and infinite ones.

    Heights compare the values with each other only: equal values are all of middle height.

    >>> sparkline([0.68, 0.71, None, 0.60, 0.50])
    '▇█·▄▁'
    """
    numbers = [math.nan if value is None else float(value) for value in values]
    known = [value for value in numbers if math.isfinite(value)]
    low, high = min(known, default=0.0), max(known, default=0.0)
    return "".join(_bar(value, low, high) if math.isfinite(value) else "·" for value in numbers)


def _bar(value: float, low: float, high: float) -> str:
    height = high / 2 - low / 2  # halves: the difference of two large numbers may be infinite
    if height == 0:
        return BARS[len(BARS) // 2 - 1]
    return BARS[min(int(len(BARS) * ((value / 2 - low / 2) / height)), len(BARS) - 1)]
