"""Two curves compared at equal sparsity, seed by seed: differences, their 95 % intervals, and what they decide.

Runs of one seed share their dense network and their data order, so that what these do to both curves cancels in the difference. How
much that is differs from study to study, and is said: the correlation over seeds. In `ltb.analysis.inference` is the other
test, Welch's, which does without it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ltb.analysis import inference, meeting, statistics
from ltb.analysis.inference import PAIRED, seeds_needed
from ltb.analysis.meeting import WHERE
from ltb.analysis.sparsest import LEAST

UNDECIDED = "cannot decide"
EXACT = 1e-14  # of a value's size: below it a spread or a mean is rounding, and is set to 0
COLUMNS = [
    *("task", "quantity", "direction", "a", "b", "level_a", "level_b", "met", "target_sparsity"),
    *("density", "density_a", "density_b", "n", "diverged", "mean", "std", "low", "high", "p", "test"),
    *("p_paired", "p_welch", "correlation", "verdict", "seeds_needed"),
]


def differences(rows: pd.DataFrame, *, reference: str | None = None, test: str = PAIRED) -> pd.DataFrame:
    """Return for each pair of curves of a task, at each density of both, the mean of a − b over the seeds of both.

    Pairs are unordered, named a < b; with `reference` (a curve's `statistics.name`) they are every other curve a
    against b = reference. Levels meet as `meeting` says, `met`: where their target sparsities are equal ("target"), else where
    their densities are (within a millionth, "density"), else where they are the nearest of both and near ("nearest"). Level 0 is
    left out where it is one network for both, and a seed where either value is not finite or either level diverged (n says how many
    are left, `diverged` how many of those seeds have a level that diverged; where no seed is left, n is 0 and there is no mean).

    Columns: task, quantity (test/<metric>), direction, a, b, level_a, level_b, met, target_sparsity (a's), density (mean of
    both), density_a, density_b (means over seeds: equal targets may come to unequal densities, where one of them has
    rates of its own for some layers), n (seeds), diverged, mean, std (sample, of the differences), low and high (95 %) and p
    (two-sided) by the `test` ("paired" or "welch", over the same seeds), p of both tests, the correlation over seeds, verdict,
    seeds_needed.

    `verdict` is "a" or "b" (the better one, by the metric's direction) where the interval excludes 0 and n ≥ 3, else
    "cannot decide". Differences equal in all seeds have std 0, a point for an interval and p = 0 (1 if they are 0).
    Many rows are many chances to be wrong, one in twenty each: a claim belongs on `headline`.

    `seeds_needed` says, where nothing is decided, how many seeds would, see `inference.seeds_needed`: it is post hoc.

    ValueError for a reference that is no curve of any task, and for a test that is none.
    """
    points = meeting.points(rows, reference)
    right = None if reference is None else points[points["curve"] == reference]
    return table(meeting.pairs(points, right), test=test)[COLUMNS]


def headline(rows: pd.DataFrame, *, reference: str | None = None, test: str = PAIRED) -> pd.DataFrame:
    """Return the comparisons to base claims on: each curve against one reference, at one target, corrected for number.

    The reference of a task is by default the curve with the most seeds, then levels, controls and variants last, then
    by name; the target is the sparsest one at which every pair has all the seeds that it ever has together, diverged or not; where
    there is none, each pair's own. Neither looks at a result.

    Columns of `differences`, and p_holm (Holm 1979: over the pairs of a task with n ≥ 3; NaN for the others) and
    comparisons (their number). The verdict is by p_holm < 0.05, and seeds_needed at 0.05 / comparisons; low and high
    stay those of the single comparison. ValueError as there.
    """
    points = meeting.points(rows, reference)
    found, _ = against(points, reference=reference, test=test)
    return found


def against(points: pd.DataFrame, *, reference: str | None, test: str) -> tuple[pd.DataFrame, list[str]]:
    """Return `headline` of `meeting.points`, and a sentence for each curve that meets its reference nowhere."""
    references = _references(points)
    if reference is not None:
        references = pd.Series(reference, index=references.index)
    met = meeting.pairs(points, points[points["curve"] == points["task"].map(references)])
    found = _sparsest(table(met, test=test))
    family = found["p"].where(found["n"] >= LEAST)
    found["p_holm"] = family.groupby(found["task"]).transform(inference.holm).astype("float64")
    found["comparisons"] = family.groupby(found["task"]).transform("count").astype("int64")
    alpha = 1 - statistics.CONFIDENCE
    found["verdict"] = _verdict(found, found["p_holm"] < alpha)
    # As if all comparisons but this one were decided last: the strictest of Holm's steps.
    spread = inference.spread(found, test=test)
    needed = seeds_needed(found["mean"], spread, alpha=alpha / found["comparisons"].clip(lower=1))
    found = found.assign(seeds_needed=needed.where(found["verdict"] == UNDECIDED))
    columns = [*COLUMNS, "p_holm", "comparisons"]
    return found[columns], meeting.alone(points, met, references[references.isin(points["curve"])])


def _references(points: pd.DataFrame) -> pd.Series:
    """Return for each task the curve that the others are compared with when none is named; no other name changes which."""
    curves = points.groupby(["task", "method", "control", "variant", "curve"], sort=True).agg(
        seeds=("seed", "nunique"),
        levels=("target", "nunique"),
    )
    curves = curves.reset_index()
    curves = curves.assign(plain=curves["control"] == "none", whole=curves["variant"] == "")
    order = ["seeds", "levels", "plain", "whole"]
    chosen = curves.sort_values(order, ascending=False, kind="stable").drop_duplicates("task")
    return chosen.set_index("task")["curve"]


def table(pairs: pd.DataFrame, *, test: str) -> pd.DataFrame:
    """Return `differences` of `meeting.pairs`, with the columns std_a and std_b besides."""
    difference = pairs["value_a"] - pairs["value_b"]
    size = np.maximum(pairs["value_a"].abs(), pairs["value_b"].abs())
    both = (pairs["density_a"] + pairs["density_b"]) / 2
    pairs = pairs.assign(
        difference=difference.mask(difference.abs() <= EXACT * size, 0.0),
        # Of the same seeds as the differences.
        **{f"value_{side}": pairs[f"value_{side}"].mask(difference.isna()) for side in "ab"},
        size=size,
        both=both,
        lost=pairs["diverged_a"] | pairs["diverged_b"],
    )
    groups = pairs.groupby([*WHERE, "curve_a", "curve_b", "level_a", "level_b"], sort=True)
    found = groups.agg(
        met=("met", "first"),
        target_sparsity=("target_sparsity_a", "mean"),
        density=("both", "mean"),
        density_a=("density_a", "mean"),
        density_b=("density_b", "mean"),
        size=("size", "max"),
        n=("difference", "count"),
        diverged=("lost", "sum"),
        mean=("difference", "mean"),
        std=("difference", "std"),
        std_a=("value_a", "std"),
        std_b=("value_b", "std"),
        unequal=("difference", "any"),
    ).reset_index()
    found = found[found["unequal"] | (found["level_a"] > 0) | (found["level_b"] > 0)]
    found = found.rename(columns={"curve_a": "a", "curve_b": "b"})
    for column in ("mean", "std", "std_a", "std_b"):
        found[column] = found[column].mask(found[column].abs() <= EXACT * found["size"], 0.0)
    found = inference.compared(found, test=test)
    found["verdict"] = _verdict(found, (found["low"] > 0) | (found["high"] < 0))
    needed = seeds_needed(found["mean"], inference.spread(found, test=test))
    found["seeds_needed"] = needed.where(found["verdict"] == UNDECIDED)
    order = ["task", "a", "b", "target_sparsity"]
    found = found.sort_values(order, kind="stable", ignore_index=True)
    return found.loc[:, [*COLUMNS, "std_a", "std_b"]]


def _verdict(table: pd.DataFrame, decided: pd.Series) -> pd.Series:
    """Return which of a and b is better where it is decided and there are seeds enough."""
    higher = (table["mean"] > 0) == (table["direction"] == "max")
    better = pd.Series(np.where(higher, "a", "b"), index=table.index, dtype="str")
    return better.where(decided & (table["n"] >= LEAST), UNDECIDED)


def _sparsest(table: pd.DataFrame) -> pd.DataFrame:
    """Return each task's rows at the sparsest target at which every pair is complete, or each pair's at its own."""
    pair = ["task", "a", "b"]
    table = table[table["level_b"] > 0]
    there = table["n"] + table["diverged"]  # what diverged is a result: it must not choose the level
    complete = table[there == there.groupby([table[name] for name in pair]).transform("max")]
    target = complete.groupby(["task", "level_b"])["a"].transform("nunique")
    shared = complete[target == complete.groupby("task")["a"].transform("nunique")]
    common = complete["task"].map(shared.groupby("task")["level_b"].max())
    chosen = complete[common.isna() | (complete["level_b"] == common)]
    return chosen.sort_values("target_sparsity", kind="stable").drop_duplicates(pair, keep="last").sort_values(pair)
