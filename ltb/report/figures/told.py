"""The texts of a figure's means: what a tooltip says of each, and the table behind the figure."""

from __future__ import annotations

import pandas as pd

from ltb.report import notation
from ltb.report.notation import Notation

# The tooltip of the mean nearest to the pointer: column of `told` → title.
TOLD = {"curve": "curve", "at": "density", "said": "mean", "band": "95 % interval", "n": "n", "seeds": "by seed"}


def told(drawn: pd.DataFrame, points: pd.DataFrame, write: Notation) -> pd.DataFrame:
    """Return means with the texts of their tooltips: `at` (density), `said` (mean), `band`, `seeds`."""
    pairs = {
        key: notation.each(list(zip(one["seed"], one["value"], strict=True)), write.bare)
        for key, one in points.groupby(["curve", "level"], sort=False)
    }
    kept = drawn[[name for name in drawn.columns if name not in ("std", "min", "max")]]
    return kept.assign(
        at=[notation.density(value) for value in drawn["density"]],
        said=[
            write(value) + notation.diverged(lost, n)
            for value, lost, n in zip(drawn["mean"], drawn["diverged"], drawn["n"], strict=True)
        ],
        band=[
            write.interval(low, high) + " (min to max)" * (n == 2)
            for low, high, n in zip(drawn["low"], drawn["high"], drawn["n"], strict=True)
        ],
        seeds=[pairs.get(key, "") for key in zip(drawn["curve"], drawn["level"], strict=True)],
    )


def table(drawn: pd.DataFrame, write: Notation) -> tuple[list[str], list[list[str]]]:
    """Return the head and the cells of the table behind a figure: curve, density, n, mean, interval."""
    heads = ["curve", "density", "n", "mean", "95 % interval"]
    fields = ("curve", "at", "n", "said", "band")
    return heads, [[str(one) for one in row] for row in drawn[list(fields)].itertuples(index=False)]
