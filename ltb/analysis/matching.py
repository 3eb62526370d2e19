"""The sparsest matching ticket of each curve: down to which density it is shown to do as well as the dense network.

A level matches where its test value is no worse than that of its own run's dense network by more than a tolerance in
the units of the metric. What is *demonstrated* is the claim: worse than the tolerance is excluded at this level and at all denser
ones. What matches on average, or in single runs, is beside it: as in Frankle & Carbin (2019) the sparsest such level is
picked on the test split, and the sparsest of many noisy levels may match by chance.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from ltb.analysis import inference, statistics
from ltb.analysis.inference import PAIRED
from ltb.analysis.sparsest import LEAST, check, matches

KEYS = [*statistics.CURVE, "curve", "quantity", "direction"]
TYPES = {
    **dict.fromkeys(KEYS, "str"),
    "n": "int64",
    "demonstrated_level": "Int64",
    **dict.fromkeys(("demonstrated_density", "demonstrated_gap", "demonstrated_low"), "float64"),
    "demonstrated_edge": "bool",
    "stop_density": "float64",
    "stop_low": "float64",
    "stop": "str",
    "test": "str",
    **dict.fromkeys(("mean_level", "mean_n"), "Int64"),
    **dict.fromkeys(("mean_density", "mean_fails", "gap", "gap_low", "gap_high"), "float64"),
    "demonstrated": "bool",
    **dict.fromkeys(("matched", "at_edge"), "int64"),
    **dict.fromkeys(("density", "low", "high"), "float64"),
    "interval": "str",
    **dict.fromkeys(("value", "search_steps"), "float64"),
    "dense_diverged": "int64",
}
# Why the levels that are tested end: at the first that fails, which is not passed over for a sparser one.
WORSE, FEW, LOST, ABSENT = "not excluded", "few seeds", "diverged", "not all seeds"


def table(rows: pd.DataFrame, *, tolerance: float, test: str = PAIRED) -> pd.DataFrame:
    """Return the sparsest matching ticket of each curve: what is demonstrated, what matches on average, and in single runs.

    Runs with a dense level and at least one pruned level count; curves without any are left out. A level that diverged never
    matches, nor does a mean over seeds one of which did. A run whose dense network diverged has nothing to be compared with:
    it is not in n, but in `dense_diverged`; a curve all of whose runs are so has n = 0 and no numbers.
    Columns: task, method, control, variant, curve, quantity (test/<metric>), direction, n (seeds); then what is demonstrated

    - demonstrated_level, demonstrated_density: the sparsest level down to which every pruned level is not inferior to the dense
      network: of method − dense the one-sided 97.5 % bound is not below −tolerance (n ≥ 3; by the `test`, see `inference`). Levels
      are tested from the densest on, and the first that fails ends it: a fixed sequence needs no correction for their number,
      and claims too sparse a level in one study of forty at most. NaN where the first level fails
    - demonstrated_gap, demonstrated_low: there, how much better than dense the mean is (negative: worse), and its bound
    - demonstrated_edge: whether every level that was tried is demonstrated (read "≤ density")
    - stop_density, stop_low, stop: the level that ended it, its bound, and why: "not excluded" (worse than the tolerance), "few
      seeds" (n < 3), "diverged" (in some seed), "not all seeds" (that the densest pruned level has); "" where none did
    - test: by which test

    from the mean curve, over its levels that as many seeds have as any pruned level has

    - mean_level, mean_n, mean_density: the sparsest pruned level whose mean over seeds matches (NaN where none does): it may
      match by chance
    - mean_fails: the density of the sparsest denser level at which the mean does not match (NaN where it matches at all of them)
    - gap, gap_low, gap_high: at mean_level, how much better than its own dense network (negative: worse) the mean of a run is,
      and the 95 % interval of that difference (NaN for one seed)
    - demonstrated: whether it is no sparser than demonstrated_density

    and from single runs

    - matched: the seeds in which any pruned level matches; at_edge: those whose sparsest tried level matches
    - density: the geometric mean over seeds of each one's sparsest matching density, 1 for a seed without any
    - low, high, `interval`: "95% t" (Student's t on the log of the density, n ≥ 3), "min–max" (n = 2), "" (NaN, n = 1);
      within [0, 1]. With at_edge > 0 the true density may be lower (read "≤ density"), so that low is 0
    - value, search_steps: means over seeds at those levels, of the metric and of what it cost to find the ticket
    """
    check(tolerance)
    inference.check(test)
    levels = statistics.named(statistics.against_dense(rows))
    levels = levels[levels["gap"].notna() | (levels["diverged"] & levels["dense"].notna()) | levels["dense_diverged"]]
    tried = levels[levels["run_id"].isin(levels.loc[levels["level"] > 0, "run_id"])]
    lost = tried[tried["dense_diverged"]].groupby(KEYS)["run_id"].nunique().rename("dense_diverged")
    tried = tried[~tried["dense_diverged"]]
    runs = _per_run(tried, tolerance).groupby(KEYS, sort=True)
    found = pd.DataFrame(columns=KEYS)
    if len(tried):
        tested = _levels(tried, tolerance, test)
        found = runs.apply(_over_seeds).join(_sequence(tested)).join(_mean_curve(tested)).reset_index()
    found = found.merge(lost.reset_index(), on=KEYS, how="outer").reindex(columns=list(TYPES)).assign(test=test)
    # What is no sparser is within rounding of the same density, or denser.
    found["demonstrated"] = found["mean_density"] >= found["demonstrated_density"].astype("float64") * (1 - 1e-9)
    found["demonstrated_edge"] = found["demonstrated_edge"].eq(True)
    none = {"n": 0, "matched": 0, "at_edge": 0, "dense_diverged": 0}
    texts = {"interval": "", "stop": ""}
    return found.astype(dict.fromkeys(texts, "str")).fillna(none | texts).astype(TYPES)


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


def _levels(tried: pd.DataFrame, tolerance: float, test: str) -> pd.DataFrame:
    """Return each curve's pruned levels, from the densest on: the mean gap, its interval, whether and how surely it matches."""
    pruned = tried[tried["level"] > 0]
    sound = pruned.assign(**{name: pruned[name].mask(pruned["gap"].isna()) for name in ("value", "dense")})
    groups = sound.groupby([*KEYS, "level"], sort=True)
    found = groups.agg(
        sparsity=("sparsity", "mean"),
        density=("density", "mean"),
        diverged=("diverged", "sum"),
        n=("gap", "count"),
        mean=("gap", "mean"),
        std=("gap", "std"),
        std_a=("value", "std"),
        std_b=("dense", "std"),
    ).reset_index()
    found = inference.compared(found, test=test).sort_values("sparsity", kind="stable")
    there = (found["n"] + found["diverged"]).groupby([found[key] for key in KEYS])
    why = np.select(
        [
            found["diverged"] > 0,
            found["n"] < there.transform("max"),
            found["n"] < LEAST,
            found["low"] < -tolerance - 1e-9,
        ],
        [LOST, ABSENT, FEW, WORSE],
        "",
    )
    full = (found["n"] == found.groupby(KEYS)["n"].transform("max")) & (found["diverged"] == 0)
    average = full & np.array([matches(gap, tolerance) for gap in found["mean"]], dtype="bool")
    return found.assign(stop=why, full=full, average=average)


def _sequence(levels: pd.DataFrame) -> pd.DataFrame:
    """Return how far each curve is demonstrated, level by level, and what ended it."""
    failed = (levels["stop"] != "").astype("int64").groupby([levels[key] for key in KEYS]).cumsum()
    names = {"level": "demonstrated_level", "density": "demonstrated_density", "mean": "demonstrated_gap"}
    names |= {"low": "demonstrated_low"}
    passed = levels[failed == 0].drop_duplicates(KEYS, keep="last").set_index(KEYS)[list(names)].rename(columns=names)
    first = levels[(failed == 1) & (levels["stop"] != "")].set_index(KEYS)[["density", "low", "stop"]]
    first = first.rename(columns={"density": "stop_density", "low": "stop_low"})
    found = passed.join(first, how="outer")
    return found.assign(demonstrated_edge=found["demonstrated_level"].notna() & found["stop"].isna())


def _mean_curve(levels: pd.DataFrame) -> pd.DataFrame:
    """Return each curve's sparsest pruned level that matches in the mean over seeds, and the sparsest denser one that does not."""
    names = {"level": "mean_level", "density": "mean_density", "n": "mean_n", "mean": "gap", "low": "gap_low"}
    names |= {"high": "gap_high"}
    average = levels[levels["average"]].drop_duplicates(KEYS, keep="last").set_index(KEYS)
    found = average[list(names)].rename(columns=names)
    until = (
        levels[KEYS].merge(average["sparsity"].rename("until").reset_index(), on=KEYS, how="left")["until"].to_numpy()
    )
    passed_over = levels[(levels["sparsity"] < until) & ~levels["average"] & levels["full"]]
    fails = passed_over.drop_duplicates(KEYS, keep="last").set_index(KEYS)["density"].rename("mean_fails")
    return found.join(fails)
