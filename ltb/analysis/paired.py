"""Two curves compared at equal sparsity, seed by seed: differences, their 95 % intervals, and what they decide.

Runs of one seed share their dense network and their data order, so that much of the spread between seeds is common to
both curves and cancels in the difference: fewer seeds decide than with two separate means.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import ndtri, stdtr, stdtrit

from ltb.analysis import statistics

LEAST = 3  # seeds for a verdict: with two, t(0.975, 1) = 12.7 and the interval is valid but decides nothing
POWER, MOST = 0.80, 10_000  # of seeds_needed: the chance to decide, and the number above which it says infinite
UNDECIDED = "cannot decide"
SAME_TARGET, SAME_DENSITY = 1e-9, 1e-6
EXACT = 1e-14  # of a value's size: below it a spread or a mean is rounding, and is set to 0
WHERE = ["task", "quantity", "direction"]
COLUMNS = [
    *("task", "quantity", "direction", "a", "b", "level_a", "level_b", "target_sparsity"),
    *(
        "density",
        "density_a",
        "density_b",
        "n",
        "diverged",
        "mean",
        "std",
        "low",
        "high",
        "p",
        "verdict",
        "seeds_needed",
    ),
]


def differences(rows: pd.DataFrame, *, reference: str | None = None) -> pd.DataFrame:
    """Return for each pair of curves of a task, at each target of both, the mean of a − b over the seeds of both.

    Pairs are unordered, named a < b; with `reference` (a curve's `statistics.name`) they are every other curve a
    against b = reference. Levels are compared where their target sparsities are equal, else where their densities are
    (within a millionth of them); nothing is interpolated. Level 0 is left out where it is one network for both, and a
    seed where either value is not finite or either level diverged (n says how many are left, `diverged` how many of those
    seeds have a level that diverged; where no seed is left, n is 0 and there is no mean).

    Columns: task, quantity (test/<metric>), direction, a, b, level_a, level_b, target_sparsity (a's), density (mean of
    both), density_a, density_b (means over seeds: equal targets may come to unequal densities, where one of them has
    rates of its own for some layers), n (seeds), diverged, mean, std (sample), low and high (95 % by Student's t of the paired
    differences; NaN for one seed), p (two-sided paired t test), verdict, seeds_needed.

    `verdict` is "a" or "b" (the better one, by the metric's direction) where the interval excludes 0 and n ≥ 3, else
    "cannot decide". Differences equal in all seeds have std 0, a point for an interval and p = 0 (1 if they are 0).
    Many rows are many chances to be wrong, one in twenty each: a claim belongs on `headline`.

    `seeds_needed` says, where nothing is decided, how many seeds would decide with a probability of 80 % if the true
    difference and spread were those observed: the least n ≥ 3 with |mean| √n / std ≥ t(0.975, n−1) + t(0.8, n−1).
    NaN where the mean is 0 or n < 2.

    ValueError for a reference that is no curve of any task.
    """
    points = _points(rows, reference)
    return _table(_pairs(points, None if reference is None else points[points["curve"] == reference]))


def headline(rows: pd.DataFrame, *, reference: str | None = None) -> pd.DataFrame:
    """Return the comparisons to base claims on: each curve against one reference, at one target, corrected for number.

    The reference of a task is by default the curve with the most seeds, then levels, controls and variants last, then
    by name: never chosen by its results. The target is the sparsest one at which every pair has all the seeds that it
    ever has together; where there is none, each pair's own.

    Columns of `differences`, and p_holm (Holm 1979: over the pairs of a task with n ≥ 3; NaN for the others) and
    comparisons (their number). The verdict is by p_holm < 0.05, and seeds_needed at 0.05 / comparisons; low and high
    stay those of the single comparison. ValueError as there.
    """
    points = _points(rows, reference)
    against = points["task"].map(_references(points)) if reference is None else reference
    table = _sparsest(_table(_pairs(points, points[points["curve"] == against])))
    family = table["p"].where(table["n"] >= LEAST)
    table["p_holm"] = family.groupby(table["task"]).transform(_holm).astype("float64")
    table["comparisons"] = family.groupby(table["task"]).transform("count").astype("int64")
    alpha = 1 - statistics.CONFIDENCE
    table["verdict"] = _verdict(table, table["p_holm"] < alpha)
    # As if all comparisons but this one were decided last: the strictest of Holm's steps.
    needed = seeds_needed(table["mean"], table["std"], alpha=alpha / table["comparisons"].clip(lower=1))
    return table.assign(seeds_needed=needed.where(table["verdict"] == UNDECIDED))


def _references(points: pd.DataFrame) -> pd.Series:
    """Return for each task the curve that the others are compared with when none is named."""
    curves = points.groupby(["task", "curve"], sort=True).agg(
        seeds=("seed", "nunique"),
        levels=("target", "nunique"),
        control=("control", "last"),
        variant=("variant", "last"),
    )
    curves = curves.assign(control=curves["control"] == "none", variant=curves["variant"] == "").reset_index()
    order = ["seeds", "levels", "control", "variant"]
    chosen = curves.sort_values(order, ascending=False, kind="stable").drop_duplicates("task")
    return chosen.set_index("task")["curve"]


def _points(rows: pd.DataFrame, reference: str | None) -> pd.DataFrame:
    """Return a row per task, curve, seed and target, with `target` and `same` (density), equal numbers where equal."""
    points = statistics.named(statistics.distinct(rows))
    points = points[np.isfinite(points["value"]) | points["diverged"]]
    points = points.assign(value=points["value"].mask(points["diverged"]))
    known = set(points["curve"])
    if reference is not None and reference not in known:
        raise ValueError(f"reference={reference!r}: no such curve; one of {', '.join(sorted(known))}")
    points = points.assign(
        target=_alike(points["target_sparsity"], SAME_TARGET), same=_alike(points["density"], SAME_DENSITY)
    )
    return points.drop_duplicates([*WHERE, "curve", "seed", "target"], keep="last")


def _alike(values: pd.Series, tolerance: float) -> np.ndarray:
    """Return a whole number per value, the same for neighbours apart by no more than the tolerance times their size."""
    numbers = values.to_numpy(dtype="float64")
    order = np.argsort(numbers, kind="stable")
    groups = np.empty(len(numbers), dtype="int64")
    ordered = numbers[order]
    groups[order] = np.cumsum(np.diff(ordered, prepend=ordered[:1]) > tolerance * ordered)
    return groups


def _pairs(points: pd.DataFrame, right: pd.DataFrame | None) -> pd.DataFrame:
    """Return the points of two curves of one seed side by side (columns with _a and _b): by target, else by density.

    The pairs are every two curves, or every curve and those on the `right`.
    """
    kept = [*WHERE, "seed", "curve", "level", "target_sparsity", "density", "target", "same", "value", "diverged"]
    found = []
    for key in ("target", "same"):
        others = points if right is None else right
        both = points[kept].merge(others[kept], on=[*WHERE, "seed", key], suffixes=("_a", "_b"))
        ordered = both["curve_a"] < both["curve_b"] if right is None else both["curve_a"] != both["curve_b"]
        found.append(both[ordered])
    by_target, by_density = found
    for side in ("a", "b"):  # a level that has its equal by target is not compared with another one as well
        pair = ["task", "curve_a", "curve_b", f"level_{side}"]
        taken = pd.MultiIndex.from_frame(by_target[pair].drop_duplicates())
        by_density = by_density[~pd.MultiIndex.from_frame(by_density[pair]).isin(taken)]
    return pd.concat([by_target, by_density], ignore_index=True)


def _table(pairs: pd.DataFrame) -> pd.DataFrame:
    difference = pairs["value_a"] - pairs["value_b"]
    size = np.maximum(pairs["value_a"].abs(), pairs["value_b"].abs())
    both = (pairs["density_a"] + pairs["density_b"]) / 2
    pairs = pairs.assign(
        difference=difference.mask(difference.abs() <= EXACT * size, 0.0),
        size=size,
        both=both,
        lost=pairs["diverged_a"] | pairs["diverged_b"],
    )
    groups = pairs.groupby([*WHERE, "curve_a", "curve_b", "level_a", "level_b"], sort=True)
    table = groups.agg(
        target_sparsity=("target_sparsity_a", "mean"),
        density=("both", "mean"),
        density_a=("density_a", "mean"),
        density_b=("density_b", "mean"),
        size=("size", "max"),
        n=("difference", "count"),
        diverged=("lost", "sum"),
        mean=("difference", "mean"),
        std=("difference", "std"),
        unequal=("difference", "any"),
    ).reset_index()
    table = table[table["unequal"] | (table["level_a"] > 0) | (table["level_b"] > 0)]
    table = table.rename(columns={"curve_a": "a", "curve_b": "b"})
    for column in ("mean", "std"):
        table[column] = table[column].mask(table[column].abs() <= EXACT * table["size"], 0.0)
    table = _inference(table)
    table["verdict"] = _verdict(table, (table["low"] > 0) | (table["high"] < 0))
    table["seeds_needed"] = seeds_needed(table["mean"], table["std"]).where(table["verdict"] == UNDECIDED)
    order = ["task", "a", "b", "target_sparsity"]
    return table.sort_values(order, kind="stable", ignore_index=True).loc[:, COLUMNS]


def _inference(table: pd.DataFrame) -> pd.DataFrame:
    """Return low, high and p of Student's paired t; without spread the interval is a point."""
    n, mean, error = table["n"].to_numpy(), table["mean"].to_numpy(), (table["std"] / np.sqrt(table["n"])).to_numpy()
    half = stdtrit(np.maximum(n - 1, 1), 0.5 + statistics.CONFIDENCE / 2) * error
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where((error == 0) & (mean == 0), 0.0, np.abs(mean) / error)
    p = 2 * stdtr(np.maximum(n - 1, 1), -t)
    return table.assign(low=mean - half, high=mean + half, p=p)


def _verdict(table: pd.DataFrame, decided: pd.Series) -> pd.Series:
    """Return which of a and b is better where it is decided and there are seeds enough."""
    higher = (table["mean"] > 0) == (table["direction"] == "max")
    better = pd.Series(np.where(higher, "a", "b"), index=table.index, dtype="str")
    return better.where(decided & (table["n"] >= LEAST), UNDECIDED)


def seeds_needed(mean: pd.Series, std: pd.Series, *, alpha: float | pd.Series = 1 - statistics.CONFIDENCE) -> pd.Series:
    """Return how many seeds a two-sided paired t test at `alpha` needs to find a difference with a probability of 80 %.

    See `differences` for the formula. NaN without a difference or a spread; infinite above 10 000.

    >>> seeds_needed(pd.Series([0.01, 0.0]), pd.Series([0.01, 0.01])).to_list()
    [10.0, nan]
    """
    some = (std > 0) & (mean != 0)
    ratio = (std.where(some) / mean.where(some).abs()).to_numpy(dtype="float64")
    tail = np.broadcast_to(1 - np.asarray(alpha, dtype="float64") / 2, ratio.shape)
    need = np.maximum(np.ceil(((ndtri(tail) + ndtri(POWER)) * ratio) ** 2), LEAST)
    # Normal quantiles give a lower bound: those of t are larger, by less the more seeds. Count up from there.
    need = np.where(need > MOST, np.inf, need)
    while True:
        degrees = np.where(np.isfinite(need), need - 1, 1.0)
        short = np.isfinite(need) & ((stdtrit(degrees, tail) + stdtrit(degrees, POWER)) * ratio > np.sqrt(need))
        if not short.any():
            return pd.Series(need, index=mean.index)
        need = need + short


def _sparsest(table: pd.DataFrame) -> pd.DataFrame:
    """Return each task's rows at the sparsest target at which every pair is complete, or each pair's at its own."""
    pair = ["task", "a", "b"]
    table = table[table["level_b"] > 0]
    complete = table[table["n"] == table.groupby(pair)["n"].transform("max")]
    target = complete.groupby(["task", "level_b"])["a"].transform("nunique")
    shared = complete[target == complete.groupby("task")["a"].transform("nunique")]
    common = complete["task"].map(shared.groupby("task")["level_b"].max())
    chosen = complete[common.isna() | (complete["level_b"] == common)]
    return chosen.sort_values("target_sparsity", kind="stable").drop_duplicates(pair, keep="last").sort_values(pair)


def _holm(p: pd.Series) -> np.ndarray:
    """Return Holm's (1979) p-values: the k-th smallest of m times m − k + 1, not below the one before it, at most 1."""
    order = np.argsort(p.to_numpy(), kind="stable")  # NaN last
    m = int(p.notna().sum())
    adjusted = np.full(len(p), np.nan)
    steps = p.to_numpy()[order[:m]] * np.arange(m, 0, -1)
    adjusted[order[:m]] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted
