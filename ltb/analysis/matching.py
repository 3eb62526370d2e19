"""The sparsest matching ticket of each curve: how few weights still do as well as the dense network, and how surely.

A level matches where its test value is no worse than that of its own run's dense network by more than a tolerance in
the units of the metric. As in Frankle & Carbin (2019) the sparsest such level is picked on the test split: it is
reported, and decides nothing in any training. The sparsest of many noisy levels may match by chance, so that single
runs look too good; the mean over seeds does so less, and what is demonstrated least.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from ltb.analysis import statistics
from ltb.analysis.sparsest import check, matches

LEAST = 3  # seeds for a t interval; two have their minimum and maximum
KEYS = [*statistics.CURVE, "curve", "quantity", "direction"]
TYPES = {
    **dict.fromkeys(KEYS, "str"),
    **dict.fromkeys(("n", "matched", "at_edge"), "int64"),
    **dict.fromkeys(("density", "low", "high"), "float64"),
    "interval": "str",
    **dict.fromkeys(("value", "search_steps"), "float64"),
    **dict.fromkeys(("mean_level", "mean_n"), "Int64"),
    **dict.fromkeys(("mean_density", "gap", "gap_low", "gap_high"), "float64"),
    "demonstrated": "bool",
    "demonstrated_density": "float64",
    "dense_diverged": "int64",
}


def table(rows: pd.DataFrame, *, tolerance: float) -> pd.DataFrame:
    """Return the sparsest matching ticket of each curve, once from single runs and once from the mean over seeds.

    Runs with a dense level and at least one pruned level count; curves without any are left out. A level that diverged never
    matches, nor does a mean over seeds one of which did. A run whose dense network diverged has nothing to be compared with:
    it is not in n, but in `dense_diverged`; a curve all of whose runs are so has n = 0 and no numbers.
    Columns: task, method, control, variant, curve, quantity (test/<metric>), direction, then from single runs

    - n: seeds; matched: those in which any pruned level matches; at_edge: those whose sparsest tried level matches
    - density: the geometric mean over seeds of each one's sparsest matching density, 1 for a seed without any
    - low, high, `interval`: "95% t" (Student's t on the log of the density, n ≥ 3), "min–max" (n = 2), "" (NaN, n = 1);
      within [0, 1]. With at_edge > 0 the true density may be lower (read "≤ density"), so that low is 0
    - value, search_steps: means over seeds at those levels, of the metric and of what it cost to find the ticket

    and from the mean curve, over its levels that as many seeds have as any pruned level has

    - mean_level, mean_n, mean_density: the sparsest pruned level whose mean over seeds matches (NaN where none does)
    - gap, gap_low, gap_high: there, how much better than its own dense network (negative: worse) the mean of a run is,
      and the 95 % t interval of that paired difference (NaN for one seed)
    - demonstrated: whether gap_low ≥ −tolerance with n ≥ 3: worse than the tolerance is excluded, "demonstrably
      matching"; else it matches "on average". demonstrated_density: of the sparsest level that is demonstrated, or NaN
    """
    check(tolerance)
    levels = statistics.named(statistics.against_dense(rows))
    levels = levels[levels["gap"].notna() | (levels["diverged"] & levels["dense"].notna()) | levels["dense_diverged"]]
    tried = levels[levels["run_id"].isin(levels.loc[levels["level"] > 0, "run_id"])]
    lost = tried[tried["dense_diverged"]].groupby(KEYS)["run_id"].nunique().rename("dense_diverged")
    tried = tried[~tried["dense_diverged"]]
    runs = _per_run(tried, tolerance).groupby(KEYS, sort=True)
    found = pd.DataFrame(columns=KEYS)
    if len(tried):
        found = runs.apply(_over_seeds).join(_mean_curve(tried, tolerance)).reset_index()
    found = found.merge(lost.reset_index(), on=KEYS, how="outer").reindex(columns=list(TYPES))
    found["demonstrated"] = found["demonstrated"].eq(True)
    none = {"n": 0, "matched": 0, "at_edge": 0, "interval": "", "dense_diverged": 0}
    return found.astype({"interval": "str"}).fillna(none).astype(TYPES)


def _per_run(levels: pd.DataFrame, tolerance: float) -> pd.DataFrame:
    """Return each run's sparsest matching level (level 0 always is), and whether a pruned or the last one matches."""
    good = levels[levels["gap"].map(partial(matches, tolerance=tolerance)).astype("bool")]
    best = good.sort_values("sparsity", kind="stable").drop_duplicates("run_id", keep="last")
    last = best["run_id"].map(levels.groupby("run_id")["sparsity"].max())
    return best.assign(matched=best["level"] > 0, edge=(best["level"] > 0) & (best["sparsity"] == last))


def _over_seeds(runs: pd.DataFrame) -> pd.Series:
    n, edge = len(runs), int(runs["edge"].sum())
    with np.errstate(divide="ignore"):
        logs = np.log(runs["density"].to_numpy())
    low, high, kind = _interval(logs)
    return pd.Series(
        {
            "n": n,
            "matched": int(runs["matched"].sum()),
            "at_edge": edge,
            "density": float(np.exp(logs.mean())),
            "low": 0.0 if edge and n > 1 else low,
            "high": high,
            "interval": kind,
            "value": runs["value"].mean(),
            "search_steps": runs["search_steps"].astype("float64").mean(),
        }
    )


def _interval(logs: np.ndarray) -> tuple[float, float, str]:
    """Return the interval of the geometric mean, from the logarithms of densities; see `table`."""
    n = len(logs)
    if n == 1:
        return np.nan, np.nan, ""
    if n < LEAST or not np.isfinite(logs).all():
        return float(np.exp(logs.min())), float(np.exp(logs.max())), "min–max"
    half = stdtrit(n - 1, 0.5 + statistics.CONFIDENCE / 2) * logs.std(ddof=1) / np.sqrt(n)
    return float(np.exp(logs.mean() - half)), float(min(np.exp(logs.mean() + half), 1.0)), "95% t"


def _mean_curve(levels: pd.DataFrame, tolerance: float) -> pd.DataFrame:
    """Return each curve's sparsest pruned level that matches in the mean over seeds, and the sparsest demonstrated."""
    pruned = levels[levels["level"] > 0].groupby([*KEYS, "level"], sort=True)
    means = pruned[["sparsity", "density"]].mean().join(pruned["diverged"].sum())
    spread = statistics.spread(pruned["gap"]).join(means).reset_index()
    full = spread[(spread["n"] == spread.groupby(KEYS)["n"].transform("max")) & (spread["diverged"] == 0)]
    full = full.assign(
        matches=[matches(gap, tolerance) for gap in full["mean"]],
        demonstrated=[n >= LEAST and matches(low, tolerance) for low, n in zip(full["low"], full["n"], strict=True)],
    )
    full = full.astype({"matches": "bool", "demonstrated": "bool"}).sort_values("sparsity", kind="stable")
    names = {"level": "mean_level", "density": "mean_density", "n": "mean_n", "mean": "gap", "low": "gap_low"}
    average = full[full["matches"]].drop_duplicates(KEYS, keep="last").set_index(KEYS)
    surely = full[full["demonstrated"]].drop_duplicates(KEYS, keep="last").set_index(KEYS)
    average = average.rename(columns=names | {"high": "gap_high"})
    return average[[*names.values(), "gap_high", "demonstrated"]].join(
        surely["density"].rename("demonstrated_density"), how="outer"
    )
