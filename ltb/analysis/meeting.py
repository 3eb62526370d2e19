"""The levels at which two curves are compared: those of one target sparsity, else of one density, else the nearest ones.

Nothing is interpolated. Levels of one target are compared where the ratio of their densities is at most `LEVEL`: half of the
channels may be a quarter of the weights, and is then compared with a quarter of them. Levels that are only near each other are
compared where that ratio is at most `NEAR` and each is the nearest of the other curve's. No level has two partners on one curve.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ltb.analysis import statistics

SAME_TARGET, SAME_DENSITY = 1e-9, 1e-6
NEAR = 1.05  # of two densities that are compared though they are not the same
LEVEL = 1.25  # of two densities of one target: apart by more, one of them is as sparse as another level of a fifth
WHERE = ["task", "quantity", "direction"]
PAIR = ["task", "curve_a", "curve_b"]


def points(rows: pd.DataFrame, reference: str | None = None) -> pd.DataFrame:
    """Return a row per task, curve, seed and target, with `target` and `same` (density), equal numbers where equal, and the
    `mean_density` of a curve at the target over seeds.

    ValueError for a `reference` that is no curve of any task.
    """
    found = statistics.named(statistics.distinct(rows))
    found = found[np.isfinite(found["value"]) | found["diverged"]]
    found = found.assign(value=found["value"].mask(found["diverged"]))
    known = set(found["curve"])
    if reference is not None and reference not in known:
        raise ValueError(f"reference={reference!r}: no such curve; one of {', '.join(sorted(known))}")
    found = found.assign(
        target=_alike(found["target_sparsity"], SAME_TARGET), same=_alike(found["density"], SAME_DENSITY)
    )
    found = found.drop_duplicates([*WHERE, "curve", "seed", "target"], keep="last")
    return found.assign(mean_density=found.groupby([*WHERE, "curve", "target"])["density"].transform("mean"))


def _alike(values: pd.Series, tolerance: float) -> np.ndarray:
    """Return a whole number per value, the same for neighbours apart by no more than the tolerance times their size."""
    numbers = values.to_numpy(dtype="float64")
    order = np.argsort(numbers, kind="stable")
    groups = np.empty(len(numbers), dtype="int64")
    ordered = numbers[order]
    groups[order] = np.cumsum(np.diff(ordered, prepend=ordered[:1]) > tolerance * ordered)
    return groups


def pairs(points: pd.DataFrame, right: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the points of two curves of one seed side by side (columns with _a and _b), and by what they met: `met`.

    The pairs are every two curves (named a < b), or every curve and those on the `right`.
    """
    kept = [*WHERE, "seed", "curve", "level", "target_sparsity", "density", "mean_density", "target", "same"]
    kept += ["value", "diverged"]
    left, others = points[kept], (points if right is None else right)[kept]
    found = pd.DataFrame(columns=[*PAIR, "level_a", "level_b"])
    for key, met in (("target", "target"), ("same", "density")):
        both = left.merge(others, on=[*WHERE, "seed", key], suffixes=("_a", "_b"))
        both = both[_apart(both, every=right is None) & _near(both)]
        both = _untaken(both, found).assign(met=met)
        found = pd.concat([found, both], ignore_index=True) if len(found) else both
    near = _untaken(_nearest(left, others, every=right is None), found)
    if len(near):
        ends = [name for name in kept if name not in [*WHERE, "seed"]]
        a, b = (
            side.rename(columns={name: f"{name}_{end}" for name in ends}) for side, end in ((left, "a"), (others, "b"))
        )
        both = near.merge(a, on=[*WHERE, "curve_a", "level_a"]).assign(met="nearest")
        both = both.merge(b, on=[*WHERE, "seed", "curve_b", "level_b"])
        found = pd.concat([found, both], ignore_index=True) if len(found) else both
    return found


def _apart(both: pd.DataFrame, *, every: bool) -> pd.Series:
    return both["curve_a"] < both["curve_b"] if every else both["curve_a"] != both["curve_b"]


def _near(both: pd.DataFrame) -> pd.Series:
    """Return whether two curves keep about as much at a target, see `LEVEL`: over their seeds, so that all meet or none."""
    ends = both[["mean_density_a", "mean_density_b"]]
    return ends.max(axis=1) <= LEVEL * (1 + 1e-9) * ends.min(axis=1)


def _untaken(both: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs of levels neither of which has its equal already."""
    for side in ("a", "b"):
        place = [*PAIR, f"level_{side}"]
        taken = pd.MultiIndex.from_frame(found[place].drop_duplicates())
        both = both[~pd.MultiIndex.from_frame(both[place]).isin(taken)]
    return both


def _nearest(left: pd.DataFrame, right: pd.DataFrame, *, every: bool) -> pd.DataFrame:
    """Return the pruned levels of two curves that are each other's nearest in density, and near: WHERE, curve and level of both."""
    a, b = (_levels(points) for points in (left, right))
    # Levels are near only where they are in one bucket of that ratio, or in neighbouring ones.
    sides = [
        a.merge(b.assign(bucket=b["bucket"] + by), on=[*WHERE, "bucket"], suffixes=("_a", "_b")) for by in (-1, 0, 1)
    ]
    both = pd.concat(sides, ignore_index=True)
    both = both[_apart(both, every=every)]
    both = both.assign(far=(both["place_a"] - both["place_b"]).abs())
    both = both[both["far"] <= np.log(NEAR) * (1 + 1e-9)].sort_values(["far", "level_a", "level_b"], kind="stable")
    for side in ("a", "b"):
        first = both.groupby([*WHERE, "curve_a", "curve_b", f"level_{side}"], sort=False)["far"].transform("min")
        both = both.assign(**{side: both["far"] == first})
    both = both[both["a"] & both["b"]].drop_duplicates([*PAIR, "level_a"]).drop_duplicates([*PAIR, "level_b"])
    return both[[*WHERE, "curve_a", "level_a", "curve_b", "level_b"]]


def _levels(points: pd.DataFrame) -> pd.DataFrame:
    """Return each curve's pruned levels: their place on the axis of log density, and the bucket of it."""
    pruned = points[(points["level"] > 0) & (points["density"] > 0)]
    means = pruned.groupby([*WHERE, "curve", "level"], sort=True)["density"].mean().reset_index()
    place = np.log(means["density"])
    return means.assign(place=place, bucket=np.floor(place / np.log(NEAR)).astype("int64")).drop(columns="density")


def alone(points: pd.DataFrame, met: pd.DataFrame, references: pd.Series) -> list[str]:
    """Return a sentence for each task's pruned curves that meet its reference nowhere: they are compared with nothing.

    `met`: of `pairs`; `references`: the reference by task.
    """
    said = []
    pruned = points[points["level"] > 0]
    for task, its in pruned.groupby("task", sort=True):
        reference = references.get(task)
        there = met[(met["task"] == task) & (met["level_b"] > 0)]
        lost = sorted(set(its["curve"]) - set(there["curve_a"]) - {reference})
        for curve in lost if reference is not None else []:
            own, other = (set(its.loc[its["curve"] == name, "seed"]) for name in (curve, reference))
            why = f"no density within {NEAR - 1:.0%} of one of its" if own & other else "no seed in common"
            said.append(f"{task}: {curve} is not compared with {reference}, the reference: {why}")
    return said
