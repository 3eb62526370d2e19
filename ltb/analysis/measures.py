"""Measures of the levels beside the ledger: mean and spread over seeds of every quantity of every measure."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ltb.analysis import statistics
from ltb.common import files
from ltb.records import measured
from ltb.records.schema import MEASURES

POINT = [*statistics.CURVE, "curve", "level"]
COLUMNS = [*POINT, "density", "measure", "quantity", *statistics.STATISTICS, "diverged", "seeds"]


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row per curve, level, measure and quantity, for the runs of `rows` (from `ledger.read`) with measures.

    Columns: task, method, control, variant, curve, level and density (means over the seeds; both missing for a measure
    over several stages), measure, quantity, and n (seeds), mean, std, low, high (95 % t interval), min, max, and of
    how many seeds the level diverged (they are in n and the mean, unless their value is NaN). Several
    values that one run has of one quantity at one level, of several stages, count as their mean. A level that is not in
    the ledger is left out. `Damaged` names a file that is truncated or is no table of measures.
    """
    levels = statistics.named(statistics.distinct(rows))
    tell = [str(folder) for folder in levels["folder"].unique() if folder and files.there(Path(folder) / MEASURES)]
    parts = [_of_run(levels[levels["folder"] == folder], folder) for folder in tell]
    parts = [part for part in parts if len(part)]
    if not parts:
        return pd.DataFrame(columns=COLUMNS)
    found = pd.concat(parts, ignore_index=True)
    keys = [*POINT, "measure", "quantity"]
    of_seed = found.groupby([*keys, "seed"], sort=False, dropna=False)
    seeds = of_seed[["value", "density"]].mean().join(of_seed["diverged"].any())
    groups = seeds.groupby(level=keys, sort=False, dropna=False)
    means = groups["density"].mean().to_frame().join(statistics.lost(groups))
    table = statistics.spread(groups["value"]).join(means).reset_index()
    table = table.astype({"n": "int64", "level": "Int64"})
    return table.sort_values(["task", "curve", "measure", "level"], kind="stable", ignore_index=True)[COLUMNS]


def _of_run(levels: pd.DataFrame, folder: str) -> pd.DataFrame:
    """Return the measures of one run, each beside what is known of its level, or of the run where it has none."""
    found = measured.read(Path(folder))
    about = levels.iloc[:1][[*statistics.CURVE, "curve", "run_id", "seed"]]
    density = levels.drop_duplicates("level").set_index("level")["density"]
    there = found["level"].isna() | found["level"].isin(density.index)
    lost = found["level"].isin(levels.loc[levels["diverged"], "level"])
    found = found.assign(density=found["level"].map(density).astype("float64"), diverged=lost)
    return found[there].merge(about, on="run_id")
