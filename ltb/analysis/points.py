"""The points that are drawn of a set of ledgers, one row per seed and point, and the curves from best to worst."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ltb.analysis import statistics


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row per seed and point to draw; the dense network alone is not a curve unless nothing else is.

    A small dense network beside pruned ones is one point, at the share of the dense network's parameters that it has.
    A value that is not finite is not drawn; a finite one of a level that diverged is, and `diverged` says so.
    """
    long = statistics.tidy(rows)
    shown = long["kind"].isin(["value", "early_stop_step"]) & (long["density"] > 0) & np.isfinite(long["value"])
    long = long[shown]
    long = statistics.named(long)
    share = long["run_id"].map(statistics.shares(rows))
    long = long.assign(density=long["density"] * share.fillna(1.0))
    long = long.assign(sparsity=long["sparsity"].where(share.isna(), 1 - long["density"]))
    long["n"] = long.groupby(["task", "kind", "curve", "level"])["run_id"].transform("nunique")
    pruned = long.groupby(["task", "curve"])["level"].transform("max") > 0
    return long[pruned | share.notna()] if pruned.any() else long


def curves(points: pd.DataFrame, order: Sequence[str] = ()) -> dict[str, str]:
    """Return what each curve is called → its own name, whose look it has; in the `order` given, else from best to worst."""
    drawn = points.drop_duplicates("curve").set_index("curve")
    return {
        called: statistics.name(*(str(drawn.at[called, key]) for key in ("method", "control", "variant")))
        for called in (order or ranked(points))
        if called in drawn.index
    }


def ranked(points: pd.DataFrame) -> list[str]:
    """Return the curves from best to worst at their sparsest common point: the order at the right end of the figure.

    What is one point alone decides none: it is in the order where it is as sparse.
    """
    value = points[points["kind"] == "value"]
    value = value.assign(value=statistics.sign(value) * value["value"])
    ends = value.groupby(["task", "curve"])[["level", "sparsity"]].max()
    pruned = ends["level"].groupby("task").transform("max") > 0
    common = ends.loc[(ends["level"] > 0) | ~pruned, "sparsity"].groupby("task").min()
    there = value[value["sparsity"] >= value["task"].map(common) - 1e-9]
    scores = there.sort_values("sparsity").groupby(["task", "curve", "run_id"])["value"].first()
    ranks = scores.groupby(["task", "curve"]).mean().groupby("task").rank(ascending=False)
    order = ranks.groupby("curve").mean().sort_values(kind="stable").index
    return [*order, *sorted(set(points["curve"]) - set(order))]
