"""Curves that lie on each other: which they are, in a sentence, and how they are drawn so that each is seen."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

WIDTH, SIZE = 2.0, 52.0  # of a line, and of a mark's area
RIM = 1.5  # how far a curve shows on either side of the next one on it
MOST = 9.0  # of all rims together
DIGITS = ".12g"  # equal to so many they are one number, summed in another order


def groups(drawn: pd.DataFrame, place: Sequence[str]) -> list[list[str]]:
    """Return the groups of curves whose points are all equal: in `place`, mean, low, high and n. `drawn`: as for `marks`.

    A curve of one point lies on others by having nothing else; it is in none. Each group, and they, are in the order of `drawn`.
    """
    found: dict[tuple[tuple[str, ...], ...], list[str]] = {}
    columns = [name for name in (*place, "mean", "low", "high", "n") if name in drawn]
    for curve, its in drawn.groupby("curve", sort=False):
        points = tuple(tuple(map(_same, row)) for row in its.sort_values([*place])[columns].itertuples(index=False))
        if len(points) > 1:
            found.setdefault(points, []).append(str(curve))
    return [curves for curves in found.values() if len(curves) > 1]


def _same(value: float | str) -> str:
    return value if isinstance(value, str) else format(float(value), DIGITS)


def listed(found: Sequence[Sequence[str]], what: str = "Equal") -> str:
    """Return the groups in a sentence; "" without any.

    >>> listed([["imp", "imp_rewind"], ["a", "b", "c"]])
    'Equal at every density: imp, imp_rewind; a, b, c.'
    """
    return f"{what} at every density: {'; '.join(map(', '.join, found))}." if found else ""


def layered(drawn: pd.DataFrame, found: Sequence[Sequence[str]], order: Sequence[str]) -> pd.DataFrame:
    """Return the rows with `width` of lines and `size` of marks: of equal curves the first is behind, with a rim around the next.

    Rows are in the order in which they are drawn: wide ones first.
    """
    width: dict[str, float] = {}
    for curves in found:
        rim = min(RIM, MOST / (len(curves) - 1))
        behind = sorted(curves, key=list(order).index, reverse=True)
        width |= {curve: WIDTH + 2 * rim * i for i, curve in enumerate(behind)}
    widths = pd.Series([width.get(str(curve), WIDTH) for curve in drawn["curve"]], index=drawn.index)
    radius = math.sqrt(SIZE) / 2 + (widths - WIDTH) / 2
    table = drawn.assign(width=widths, size=(2 * radius) ** 2)
    return table.sort_values("width", ascending=False, kind="stable", ignore_index=True)
