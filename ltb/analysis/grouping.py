"""Which curves cannot be told apart from the best, and which are decidedly worse, at one level that no result chose.

The best is picked by its results, so that a comparison with it alone would find too much: all pairs are compared, and corrected
together (Holm), before what concerns the best is looked up. So in one study of twenty at most is any curve called
worse that is not.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ltb.analysis import inference, meeting, paired, statistics
from ltb.analysis.inference import PAIRED
from ltb.analysis.sparsest import LEAST

BEST, WORSE, NEITHER = "best", "worse", "cannot be compared"
COLUMNS = [*meeting.WHERE, "curve", "level", "density", *statistics.STATISTICS, "diverged", "group", "p_best", "pairs"]


def table(points: pd.DataFrame, headline: pd.DataFrame, *, test: str = PAIRED) -> pd.DataFrame:
    """Return a row per task and curve of the `headline` (of `paired.against`, from the same `meeting.points`), the best first.

    The level is the headline's: of the reference the sparsest that all its comparisons share, or, where they share none, that which
    most of them have; and of each other curve the one that meets it. Curves that meet it nowhere are left out.
    Columns: task, quantity, direction, curve, level, density, n (seeds that did not diverge), mean, std, low, high (95 % t), min,
    max, diverged (seeds), group, p_best (Holm, against the best; NaN for it), pairs (compared in all, with n ≥ 3).

    `group` is "best" for the highest mean (all that tie) and what cannot be told from it, "worse" for what is decidedly worse than
    one of the highest by the corrected p < 0.05, and "cannot be compared" where all seeds diverged.
    """
    places = _places(headline)
    there = points.merge(places, on=["task", "curve", "level"])
    if there.empty:
        return pd.DataFrame(columns=COLUMNS)
    keys = [*meeting.WHERE, "curve", "level"]
    groups = there.groupby(keys, sort=True)
    found = (
        statistics.spread(groups["value"]).join(groups[["density"]].mean()).join(groups["diverged"].sum()).reset_index()
    )
    found = found.assign(score=statistics.sign(found) * found["mean"])
    found["top"] = found["score"] == found.groupby("task")["score"].transform("max")
    found = found.merge(_against_best(there, found, test), on=["task", "curve"], how="left")
    found["group"] = np.select([found["n"] == 0, found["p_best"] < 1 - statistics.CONFIDENCE], [NEITHER, WORSE], BEST)
    order = {"task": True, "score": False, "curve": True}
    found = found.sort_values(list(order), ascending=list(order.values()), na_position="last", ignore_index=True)
    return found[COLUMNS].astype({"group": "str"})


def _places(headline: pd.DataFrame) -> pd.DataFrame:
    """Return the level of each curve at which all are compared: task, curve, level."""
    met = headline.groupby(["task", "level_b"], sort=True).agg(count=("a", "nunique")).reset_index()
    met = met.sort_values(["count", "level_b"], kind="stable").drop_duplicates("task", keep="last")
    chosen = headline.merge(met[["task", "level_b"]], on=["task", "level_b"])
    sides = [chosen[["task", side, f"level_{side}"]].set_axis(["task", "curve", "level"], axis=1) for side in "ab"]
    return pd.concat(sides, ignore_index=True).drop_duplicates(["task", "curve"])


def _against_best(there: pd.DataFrame, found: pd.DataFrame, test: str) -> pd.DataFrame:
    """Return for each curve the least corrected p against one of the best by which it is worse, and the number of pairs."""
    kept = [*meeting.WHERE, "seed", "curve", "level", "target_sparsity", "density", "value", "diverged"]
    both = there[kept].merge(there[kept], on=[*meeting.WHERE, "seed"], suffixes=("_a", "_b"))
    every = paired.table(both[both["curve_a"] < both["curve_b"]].assign(met="target"), test=test)
    family = every["p"].where(every["n"] >= LEAST)
    every["p_best"] = family.groupby(every["task"]).transform(inference.holm).astype("float64")
    pairs = family.groupby(every["task"]).count().rename("pairs")
    top = pd.MultiIndex.from_frame(found.loc[found["top"], ["task", "curve"]])
    sides = []
    for best, other, side in (("a", "b", 1.0), ("b", "a", -1.0)):
        its = every[pd.MultiIndex.from_frame(every[["task", best]]).isin(top)]
        better = side * its["mean"] * statistics.sign(its)
        sides.append(
            its.assign(curve=its[other], p_best=its["p_best"].where(better > 0, 1.0).mask(its["p_best"].isna()))
        )
    least = pd.concat(sides).groupby(["task", "curve"])["p_best"].min()
    known = found[["task", "curve"]].merge(least.reset_index(), how="left").merge(pairs.reset_index(), how="left")
    return known.fillna({"pairs": 0}).astype({"pairs": "int64"})
