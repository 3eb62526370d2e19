"""How much worse than dense still matches, in each task: what is asked for, else what its runs were configured with, and why."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ltb.analysis import statistics
from ltb.analysis.sparsest import LEAST, STD
from ltb.records import ledger

DEFAULT, REASON = 0.002, "0.2 points, as in Frankle et al. 2020, section 4.4"  # where no run's configuration says


@dataclass(frozen=True)
class Tolerance:
    """A tolerance in the units of the metric, and why it is that; a text for people."""

    value: float
    reason: str


def of_tasks(rows: pd.DataFrame, given: float | str | None = None) -> dict[str, Tolerance]:
    """Return the tolerance of each task: what is given, else the setting of its first run; `std` is one standard deviation.

    That is of the dense networks over seeds, of which there must be three; else it is the default, and the reason says so.
    """
    dense = {str(one["task"]): one for one in statistics.dense(rows).to_dict("records")}
    found = {}
    for task, folders in rows.groupby("task", sort=True)["folder"]:
        chosen, reason = (given, "as asked for") if given is not None else configured(Path(str(folders.iloc[0])))
        found[str(task)] = _of(chosen, reason, dense.get(str(task)))
    return found


def configured(folder: Path) -> tuple[float | str, str]:
    """Return the setting of the run in `folder`, a number or "std", and its reason; the default where it has none."""
    return of(ledger.settings(folder) or {})


def of(settings: Mapping[str, Any]) -> tuple[float | str, str]:
    """Return what a configuration has for the tolerance, and its reason."""
    metric = settings.get("metric")
    metric = metric if isinstance(metric, dict) else {}
    value, reason = metric.get("tolerance"), metric.get("tolerance_reason")
    told = str(reason or "as the runs were configured")
    if value == STD:
        return STD, told
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < np.inf:
        return float(value), told
    return DEFAULT, REASON


def _of(chosen: float | str, reason: str, dense: Mapping[Hashable, Any] | None) -> Tolerance:
    if chosen != STD:
        return Tolerance(float(chosen), reason)
    if dense is None or dense["n"] < LEAST:
        few = f"fewer than {LEAST} dense networks have no standard deviation to speak of"
        return Tolerance(DEFAULT, f"{few}: {REASON}")
    return Tolerance(float(dense["std"]), f"one standard deviation of the {dense['n']} dense networks")
