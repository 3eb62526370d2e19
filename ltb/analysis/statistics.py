"""Ledger rows → mean and spread over seeds: pure functions from one table to another.

A *curve* is all runs of one (task, method, control, variant): what is averaged over is the seed and nothing else.
The level 0 of a control's run (the dense network) belongs to the curve of that control, and is its start.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.typing import DataFrameGroupBy, SeriesGroupBy
from scipy.special import stdtrit

CURVE = ["task", "method", "control", "variant"]
POINT = [*CURVE, "level", "target_sparsity"]
CONFIDENCE = 0.95
# The quantities to summarise: column of `distinct` → name of the quantity, which depends on the metric that counts.
KINDS = {
    "value": "test/{}",
    "value_at_early_stop": "test/{}_at_early_stop",
    "early_stop_step": "early_stop_step",
}
DRAWN = ["value", "value_at_early_stop", "early_stop_step"]  # means over the draws of a control
STATISTICS = ["n", "mean", "std", "low", "high", "min", "max"]


def spread(groups: SeriesGroupBy[Any, Any]) -> pd.DataFrame:
    """Return n, mean, std, low, high, min, max of each group; std is the sample's (n − 1), NaN for one value.

    low and high are the 95 % interval of the mean by Student's t, mean ± t(0.975, n − 1) · std / √n; NaN for one value.
    """
    table = pd.DataFrame(groups.agg(n="count", mean="mean", std="std", min="min", max="max"))
    half = stdtrit(table["n"] - 1, 0.5 + CONFIDENCE / 2) * table["std"] / np.sqrt(table["n"])
    table = table.assign(low=table["mean"] - half, high=table["mean"] + half)
    return table.loc[:, STATISTICS]


def lost(groups: DataFrameGroupBy[Any, Any]) -> pd.DataFrame:
    """Return for each group of rows, a row a seed, how many diverged, of how many seeds, those without a value included."""
    return pd.DataFrame(groups["diverged"].agg(diverged="sum", seeds="size"))


def distinct(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with each run once, control and variant filled in, and in `value` the `quantity` that counts.

    - A run found in several folders is taken from the one with the most levels.
    - Runs of one curve and seed that differ in the draw of their control are one: `value`, `value_at_early_stop` and
      `early_stop_step` of a level are means over its draws, it diverged where one did, all else is of the first. n counts seeds.
    - Runs of the same curve and seed with other results have other settings: they are kept apart by a short label
      in `variant` and one warning says so. A run whose levels all equal another's is the same computation.
    - `diverged` is a truth value; a level of which the ledger does not say did not.
    - `early_stop_step` of a fit that began where the dense one ended, or later, as fine-tuning does, counts from its own start.
    - `quantity` is the name test/<metric>, `value` what the ledger has there, `value_at_early_stop` what it has at
      test/<metric>_at_early_stop (NaN where it has none).
    """
    rows = _once(_defaults(rows)).sort_values(["run_id", "level"], kind="stable", ignore_index=True)
    rows = rows.assign(
        control=rows.groupby("run_id")["control"].transform("last"),
        diverged=rows["diverged"].eq(True).fillna(False).astype("bool"),
        quantity=("test/" + rows["metric"]).astype("str"),
        value=_pick(rows, "test/{}"),
        value_at_early_stop=_pick(rows, "test/{}_at_early_stop"),
    )
    return _apart(_over_draws(_own_steps(rows))).reset_index(drop=True)


def _own_steps(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the early-stop steps of fine-tuning from its own start: on the dense run's clock none is before T.

    A network that was not trained, as one that was only quantised, has none.
    """
    if not {"start_step", "end_step", "early_stop_step"} <= set(rows.columns):
        return rows
    ends = rows[rows["level"] == 0].drop_duplicates("run_id").set_index("run_id")["end_step"]
    start = rows["start_step"].astype("float64")
    behind = (start >= rows["run_id"].map(ends).astype("float64")) & (start > 0)
    own = rows["early_stop_step"] - rows["start_step"].where(behind, 0)
    return rows.assign(early_stop_step=own.mask((rows["end_step"] <= rows["start_step"]).fillna(False)))


def tidy(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a `value` per run, level and quantity: test/<metric>, test/<metric>_at_early_stop, early_stop_step."""
    return _long(rows).dropna(subset="value").reset_index(drop=True)


def _long(rows: pd.DataFrame) -> pd.DataFrame:
    rows = distinct(rows)
    parts = []
    for column, template in KINDS.items():
        quantity = [template.format(metric) for metric in rows["metric"]]
        keep = rows[[*POINT, "called", "run_id", "seed", "sparsity", "density", "metric", "direction", "diverged"]]
        value = rows[column].astype("float64")
        parts.append(keep.assign(kind=column, quantity=pd.Series(quantity, index=rows.index, dtype="str"), value=value))
    return pd.concat(parts, ignore_index=True)


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Return mean and spread over seeds of every point of every curve, one row per point and quantity.

    Columns: task, curve (`named`), method, control, variant, level, target_sparsity, sparsity, density, quantity, n (seeds), mean,
    std (sample, n − 1; NaN for one seed), low and high (95 % t interval of the mean; NaN for one seed), min, max,
    diverged and seeds: how many seeds diverged there, of how many. They are in n and the mean, unless their value is NaN.
    Accuracies are fractions in [0, 1], early_stop_step a step of the training clock.
    """
    long = named(_long(rows))
    keys = [*POINT, "curve", "kind", "quantity"]
    groups = long[long["value"].notna() | (long["diverged"] & (long["kind"] == "value"))].groupby(keys, sort=False)
    means = groups[["sparsity", "density"]].mean().join(lost(groups))
    table = spread(groups["value"]).join(means).reset_index()
    table["order"] = table["kind"].map(list(KINDS).index)
    table = table.sort_values([*CURVE, "order", "level"], kind="stable", ignore_index=True)
    return table.loc[
        :, ["task", "curve", *POINT[1:], "sparsity", "density", "quantity", *STATISTICS, "diverged", "seeds"]
    ]


def dense(rows: pd.DataFrame) -> pd.DataFrame:
    """Return mean and spread over seeds of each task's dense networks (level 0): task, quantity, direction, n, mean …, diverged.

    What diverged is in neither n nor the mean: `diverged` counts those seeds, and where all did n is 0 and the mean NaN.
    All methods of a task grow from one dense network per seed, which counts once. Where one seed has several that
    differ (settings differ between runs), their mean stands for the seed and a warning says so. Of networks of several sizes, as
    where students are beside tickets, it is the one that most runs are pruned from, the largest of those, and a warning says so.
    """
    keys = ["task", "quantity", "direction"]
    every = distinct(rows)
    size = _network(every)
    others = every["parameters"] != every["task"].map(size) if len(size) else pd.Series(False, index=every.index)
    if others.any():
        sizes = every.assign(most=every["task"].map(size))[others].drop_duplicates("task")
        told = [
            f"{task}: networks of several sizes; the dense network is that of {int(of):,} parameters"
            for task, of in zip(sizes["task"], sizes["most"], strict=True)
        ]
        warnings.warn("; ".join(told), stacklevel=2)
    level0 = every[~others].query("level == 0")
    without = level0[level0["diverged"]].groupby(keys, sort=False)["seed"].nunique().rename("diverged")
    sound = level0[~level0["diverged"]].dropna(subset="value")
    which = ["stage"] if "stage" in sound else []  # two networks may be equally good
    networks = sound.drop_duplicates([*keys, "seed", "value", *which])
    seeds = networks.groupby(["task", "quantity", "direction", "seed"], sort=False)["value"]
    differing = sorted({str(key[0]) for key, n in seeds.size().items() if n > 1 and isinstance(key, tuple)})
    if differing:
        warnings.warn(
            f"{', '.join(differing)}: the dense networks of one seed differ between runs; the dense band is over "
            "their mean for each seed",
            stacklevel=2,
        )
    table = spread(seeds.mean().groupby(level=keys, sort=False)).join(without, how="outer").reset_index()
    table = table.fillna({"n": 0, "diverged": 0}).astype({"n": "int64", "diverged": "int64"})
    return table[[*keys, *STATISTICS, "diverged"]]


def shares(rows: pd.DataFrame) -> pd.Series:
    """Return by run which share of the task's dense network a smaller one has that was never pruned, in parameters; no others."""
    if "parameters" not in rows:
        return pd.Series(dtype="float64")
    level0 = rows[~rows["level"].gt(0).groupby(rows["run_id"]).transform("any")].drop_duplicates("run_id")
    share = level0["parameters"] / level0["task"].map(_network(rows))
    return share.set_axis(level0["run_id"])[lambda one: one < 1]


def _network(rows: pd.DataFrame) -> pd.Series:
    """Return for each task how many parameters its dense network has: that of most runs with pruned levels, where there are any."""
    if "parameters" not in rows:
        return pd.Series(dtype="float64")
    pruned = rows["level"].gt(0).groupby(rows["run_id"]).transform("any")
    level0 = rows.assign(pruned=pruned)[rows["level"] == 0]
    sizes = (
        level0.groupby(["task", "parameters"]).agg(pruned=("pruned", "sum"), runs=("run_id", "nunique")).reset_index()
    )
    return (
        sizes.sort_values(["pruned", "runs", "parameters"])
        .drop_duplicates("task", keep="last")
        .set_index("task")["parameters"]
    )


def against_dense(rows: pd.DataFrame) -> pd.DataFrame:
    """Return `distinct` rows with `dense`, the value of the run's level 0, and `gap`, how much better a level is.

    The gap is in the units of the metric, negative where the level is worse, whichever direction is better; NaN where
    the run has no level 0, and where that or the level itself diverged. `dense_diverged`: whether the run's level 0 did.
    """
    levels = distinct(rows)
    start = levels[levels["level"] == 0].drop_duplicates("run_id").set_index("run_id")
    without = levels["run_id"].isin(start.index[start["diverged"]])
    base = levels["run_id"].map(start["value"]).astype("float64").mask(without)
    gap = sign(levels) * (levels["value"] - base).mask(levels["diverged"])
    return levels.assign(dense=base, dense_diverged=without, gap=gap)


def sign(rows: pd.DataFrame) -> pd.Series:
    """Return 1.0 where more is better and −1.0 where less is, by each row's `direction`."""
    return rows["direction"].map({"max": 1.0, "min": -1.0})


def name(method: str, control: str, variant: str) -> str:
    """Return the name of a curve in a legend: `imp`, `imp · reinit`, `imp (rate=0.5)`.

    >>> name("imp", "reinit", "rate=0.5")
    'imp · reinit (rate=0.5)'
    """
    return method + (f" · {control}" if control != "none" else "") + (f" ({variant})" if variant else "")


def named(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with `curve`, what each one's curve is `called` where that was chosen, else its name."""
    keys = [key for key in (*CURVE[1:], "called") if key in rows.columns]
    curves = rows[keys].drop_duplicates()
    names = ["".join(key[3:]) or name(*key[:3]) for key in _texts(curves)]
    return rows.merge(curves.assign(curve=names).astype({"curve": "str"}), on=keys, how="left")


def _texts(table: pd.DataFrame) -> list[tuple[str, ...]]:
    return [tuple(map(str, row)) for row in table.itertuples(index=False)]


def _defaults(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with the defaults of columns that `ledger.read` adds, for rows from elsewhere: accuracy counts."""
    defaults: dict[str, str | bool] = {
        "metric": "accuracy",
        "direction": "max",
        "variant": "",
        "called": "",
        "folder": "",
        "diverged": False,
    }
    return rows.assign(**{key: value for key, value in defaults.items() if key not in rows.columns})


def _pick(rows: pd.DataFrame, template: str) -> pd.Series:
    """Return the values in the column that each row's own metric names."""
    value = pd.Series(np.nan, index=rows.index, dtype="float64")
    for metric in rows["metric"].unique():
        column = template.format(metric)
        if column in rows.columns:
            value = value.where(rows["metric"] != metric, rows[column].astype("float64"))
    return value


def _once(rows: pd.DataFrame) -> pd.DataFrame:
    """Return each run from one folder only: the one with the most levels, the first of equals."""
    sizes = rows.groupby(["run_id", "folder"], sort=False).size().reset_index(name="levels")
    best = sizes.sort_values("levels", ascending=False, kind="stable").drop_duplicates("run_id")
    kept = rows[rows["folder"] == rows["run_id"].map(best.set_index("run_id")["folder"])]
    # The same folder's rows given twice (two overlapping reads, concatenated).
    return kept.drop_duplicates(["run_id", "control", "level"])


def _over_draws(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one run for each curve and seed whose runs differ in the draw of their control; the others as they are."""
    if "draw" not in rows or rows["draw"].nunique() < 2:
        return rows
    draw = rows.groupby("run_id")["draw"].transform("max")
    place = [*CURVE, "seed", "level"]
    several = draw.groupby([rows[key] for key in [*CURVE, "seed"]]).transform("nunique") > 1
    groups = rows[several].groupby(place, sort=False)
    means = groups[DRAWN].mean().astype("float64").join(groups["diverged"].any())
    first = rows[several].assign(draw=draw).sort_values([*place, "draw"], kind="stable").drop_duplicates(place)
    first = first.drop(columns=[*DRAWN, "diverged"]).merge(means.reset_index(), on=place)
    # A level that the first draw lacks is a later one's: a seed's run is one all the same.
    name = first.groupby([*CURVE, "seed"])["run_id"].transform("first")
    others = rows[~several].astype({"early_stop_step": "float64"})
    joined = pd.concat([others, first.assign(run_id=name)[list(rows.columns)]], ignore_index=True)
    return joined.sort_values(["run_id", "level"], kind="stable", ignore_index=True)


def _apart(rows: pd.DataFrame) -> pd.DataFrame:
    """Return runs that share a curve and seed: equal ones dropped, different ones labelled by their run_id's hash."""
    rows = rows.copy()
    crowded = rows.groupby([*CURVE, "seed"])["run_id"].transform("nunique") > 1
    crowded = crowded.groupby([rows[key] for key in CURVE]).transform("any")
    for key, curve in rows[crowded].groupby(CURVE, sort=False):
        copies = {run_id for _, runs in curve.groupby("seed") for run_id in _copies(runs)}
        rows = rows[~rows["run_id"].isin(copies)]
        left = curve[~curve["run_id"].isin(copies)]
        meeting = left[left.groupby("seed")["run_id"].transform("nunique") > 1]
        if len(meeting):
            label = "run " + meeting["run_id"].map(_hash)
            task, method, control, variant = map(str, key)
            rows.loc[meeting.index, "variant"] = (f"{variant}, " if variant else "") + label
            warnings.warn(
                f"{task}: several runs of {name(method, control, variant)} have the same seed but not the same "
                f"results; they are not averaged but kept apart as {', '.join(sorted(label.unique()))}",
                stacklevel=2,
            )
    return rows


def _copies(runs: pd.DataFrame) -> set[Hashable]:
    """Return those runs of one curve and seed whose every level has the same value in a longer (or earlier) one."""
    values: dict[Hashable, dict[int, float | None]] = {run_id: {} for run_id in runs["run_id"]}
    for run_id, level, value in zip(runs["run_id"], runs["level"], runs["value"], strict=True):
        values[run_id][level] = None if math.isnan(value) else value
    longest = sorted(values, key=lambda run_id: -len(values[run_id]))
    copies: set[Hashable] = set()
    for i, run_id in enumerate(longest):
        for other in (o for o in longest[:i] if o not in copies):
            if values[run_id].items() <= values[other].items():
                copies.add(run_id)
    return copies


def _hash(run_id: str) -> str:
    """Return the last part of a run's id, which is a hash of its settings: imp-mnist1d_mlp-s0-a1b2c3 → a1b2c3."""
    return run_id.rpartition("-")[2]
