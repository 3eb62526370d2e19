"""The stops of a slider through densities of the whole network, at which curves of several schedules meet."""

from __future__ import annotations

import math

import pandas as pd

NEAR = 1.15  # densities within this factor share a stop of the slider: 4.4 % and 5 %, never a level and the next


def stops(table: pd.DataFrame) -> list[int | None]:
    """Return the place of each row's level on the slider, whose stops are the densities of the curve with the most.

    `table`: curve, level and `whole`, the density of the whole network. None where no stop is near.
    """
    levels = table.drop_duplicates(["curve", "level"])
    densities = {
        str(curve): dict(zip(its["level"], its["whole"], strict=True)) for curve, its in levels.groupby("curve")
    }
    ordered = sorted(max(densities.values(), key=len).values(), reverse=True)
    near: dict[tuple[str, int], int] = {}
    for curve, its in densities.items():
        for stop, density in enumerate(ordered):
            away = {level: abs(math.log(whole / density)) for level, whole in its.items()}
            level = min(away, key=lambda one: away[one])
            if away[level] <= math.log(NEAR):
                near.setdefault((curve, level), stop)
    return [near.get(key) for key in zip(table["curve"], table["level"], strict=True)]


def shared(table: pd.DataFrame) -> int:
    """Return the sparsest stop at which all curves are that are at any; the last where there is none. `table`: curve, stop."""
    curves = table.groupby("stop")["curve"].nunique()
    every = curves.index[curves == table["curve"].nunique()]
    return int(max(every, default=max(curves.index)))


def at(stop: int, live: bool) -> dict[str, str]:
    """Return the transform that leaves the rows of the slider's stop on a page, those of `stop` in a file."""
    return {"filter": f"datum.stop == {'stop' if live else stop}"}
