"""The contents of a report, computed once from the ledgers, to be printed, written as CSV, drawn and put on a page."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from ltb.analysis import (
    choice,
    cost,
    densities,
    examples,
    grouping,
    matching,
    measures,
    meeting,
    paired,
    points,
    provenance,
    statistics,
    tolerances,
)
from ltb.analysis.inference import PAIRED
from ltb.analysis.sparsest import no_better_than_untrained
from ltb.analysis.tolerances import Tolerance
from ltb.records import ledger

LISTED = 20  # runs in a sentence


@dataclass(frozen=True)
class Contents:
    """The runs that were found, their rows, how many levels these are, and the tables of statistics made from them.

    points: of `points.table`; diverged: a row a level that diverged, its run and seed; tolerances: by task; test: which of the t
    tests counts; notes: what a reader must know of the data, a sentence each.
    """

    runs: Sequence[ledger.Run]
    rows: pd.DataFrame
    levels: int
    points: pd.DataFrame
    summary: pd.DataFrame
    dense: pd.DataFrame
    matching: pd.DataFrame
    differences: pd.DataFrame
    headline: pd.DataFrame
    groups: pd.DataFrame
    examples: pd.DataFrame
    cost: pd.DataFrame
    densities: pd.DataFrame
    measures: pd.DataFrame
    diverged: pd.DataFrame
    tolerances: Mapping[str, Tolerance]
    test: str
    curves: Mapping[str, str]
    left_out: Mapping[str, Sequence[str]]
    notes: Sequence[str]

    @property
    def tasks(self) -> list[str]:
        """The tasks that have something to draw, in alphabetical order."""
        return sorted(self.points["task"].unique())

    @property
    def unfinished(self) -> list[ledger.Run]:
        """Runs that are going on or ended early; of a ledger without a status file nothing is known."""
        return [run for run in self.runs if run.state not in ("complete", "unknown")]

    def csv(self) -> dict[str, pd.DataFrame]:
        """The tables by file name; a table without a row has no file."""
        found = {
            "summary.csv": self.summary,
            "matching.csv": self.matching,
            "headline.csv": self.headline,
            "groups.csv": self.groups,
            "differences.csv": self.differences,
            "examples.csv": self.examples,
            "cost.csv": self.cost,
            "densities.csv": self.densities,
            # Not measures.csv: the folder may be a run's own, which has a file of that name.
            "measure_means.csv": self.measures,
            "diverged.csv": self.diverged,
        }
        return {name: table for name, table in found.items() if len(table)}


def read(
    paths: Iterable[Path],
    *,
    tolerance: float | str | None = None,
    reference: str | None = None,
    test: str = PAIRED,
    curves: Sequence[str] = (),
) -> Contents:
    """Return the contents of a report on all runs at or below `paths`.

    `tolerance`: how much worse than dense still matches, in the units of the metric and for every task, or "std"; by default
    what the runs of each task were configured with. `reference`: the curve that the others are compared with. `test`:
    which of the t tests counts, "paired" or "welch". `curves`: the only ones to report on, in this order, each as CURVE or
    CURVE=NAME, see `choice.choose`.
    ValueError, one line, if nothing is finished yet or no curve has the reference's name, or that of one of the `curves`.
    """
    paths = list(paths)
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always", UserWarning)
        runs, rows = ledger.load(paths)
        chosen = choice.choose(rows, curves)
        rows = chosen.rows
        runs = _of(runs, rows) if curves else runs
        drawn = points.table(rows) if len(rows) else rows
        levels = statistics.distinct(rows)
        lost = _diverged(levels)
        if drawn.empty and len(lost):
            raise ValueError(f"there is nothing to draw: {next(iter(_named(levels, lost)))}")
        if drawn.empty:
            unfinished = [f"not complete: {run}" for run in runs if run.state not in ("complete", "unknown")]
            raise ValueError("; ".join(["no level is finished yet", *unfinished]))
        allowed = tolerances.of_tasks(rows, tolerance)
        matched = [
            matching.table(its, tolerance=allowed[str(task)].value, test=test)
            for task, its in rows.groupby("task", sort=True)
        ]
        order = points.curves(drawn, chosen.order)
        reference = _reference(reference, order)
        compared = meeting.points(rows, reference)
        headline, alone = paired.against(compared, reference=reference, test=test)
        found = partial(
            Contents,
            runs=runs,
            rows=rows,
            levels=len(levels),
            points=drawn,
            summary=statistics.summarise(rows),
            dense=statistics.dense(rows),
            matching=pd.concat(matched, ignore_index=True),
            differences=paired.differences(rows, reference=reference, test=test),
            headline=headline,
            groups=grouping.table(compared, headline, test=test),
            examples=examples.table(rows, headline),
            cost=cost.table(rows),
            densities=densities.read(rows),
            measures=measures.table(rows),
            diverged=lost,
            tolerances=allowed,
            test=test,
            curves=order,
            left_out={task: names for task, names in chosen.left_out.items() if names},
        )
        more = [
            *chosen.notes,
            *_named(levels, lost),
            *_untrained(levels),
            *_short(matched, allowed),
            *alone,
            *_early(levels),
            *_infinite(levels),
            *provenance.mixtures(rows),
        ]
    return found(notes=[*dict.fromkeys(str(one.message) for one in noted), *more])


def _of(runs: Sequence[ledger.Run], rows: pd.DataFrame) -> list[ledger.Run]:
    """Return the runs that have a row, and those of which no level is finished: whose curve they are is not known."""
    kept = set(rows["run_id"])
    return [run for run in runs if run.run_id in kept or run.levels_done == 0]


def _reference(asked: str | None, curves: Mapping[str, str]) -> str | None:
    """Return what the curve is called that was named as the reference, by that name or by its own."""
    own = {name: called for called, name in curves.items()}
    found = None if asked is None else choice.find(asked, [*curves, *own])
    return asked if found is None else found if found in curves else own[found]


def _diverged(levels: pd.DataFrame) -> pd.DataFrame:
    levels = statistics.named(levels)
    kept = ["task", "curve", "run_id", "seed", "level", "density"]
    return levels.loc[levels["diverged"], kept].reset_index(drop=True)


def _named(levels: pd.DataFrame, lost: pd.DataFrame) -> Iterable[str]:
    """Yield the sentence that names the runs and levels that diverged."""
    runs = [
        f"{run_id} (level{'s' * (len(its) > 1)} {', '.join(map(str, its['level']))})"
        for run_id, its in lost.groupby("run_id", sort=False)
    ]
    if runs:
        more = f", and {len(runs) - LISTED} more runs (diverged.csv has all)" if len(runs) > LISTED else ""
        yield f"{len(lost)} of {len(levels)} levels diverged (loss nan or inf): {', '.join(runs[:LISTED])}{more}"


def _untrained(levels: pd.DataFrame) -> Iterable[str]:
    """Yield a sentence on the dense networks that are no better than untrained ones: what matches them need not be good."""
    dense = levels[(levels["level"] == 0) & ~levels["diverged"]].drop_duplicates("run_id")
    found = {
        str(row["run_id"]): told
        for row in dense.to_dict("records")
        if (told := no_better_than_untrained(row, row["metric"], row["direction"]))  # type: ignore[arg-type]
    }
    if found:
        named = ", ".join(f"{run} ({told})" for run, told in list(found.items())[:LISTED])
        more = f", and {len(found) - LISTED} more" if len(found) > LISTED else ""
        yield f"in {len(found)} of {len(dense)} runs the dense network ends validation no better than untrained: {named}{more}"


def _short(matched: Sequence[pd.DataFrame], allowed: Mapping[str, Tolerance]) -> Iterable[str]:
    """Yield a sentence on dense networks that a pruned one is far above: they may not have been trained to their end.

    Far: the whole interval of the difference, at the sparsest level whose mean matches, is beyond the tolerance of what is worse.
    """
    rows = pd.concat(matched, ignore_index=True)
    far = rows[rows["gap_low"] > rows["task"].map({task: one.value for task, one in allowed.items()})]
    if len(far):
        named = [
            f"{one['curve']} at {100 * one['mean_density']:.3g} %, "
            f"by {one['gap']:.3g}, 95 % interval {one['gap_low']:.3g} to {one['gap_high']:.3g}"
            for one in far.sort_values("gap", ascending=False).to_dict("records")
        ]
        more = f", and {len(named) - 3} more" if len(named) > 3 else ""
        yield (
            f"in {len(far)} of {len(rows)} curves a pruned network is better than its dense one by more than the tolerance "
            f"({'; '.join(named[:3])}{more}): was the dense network trained to its end? If not, what matches it says little"
        )


def _infinite(levels: pd.DataFrame) -> Iterable[str]:
    values = levels.loc[~levels["diverged"], "value"]
    infinite = int(np.isinf(values).sum())
    if infinite:
        yield f"in {infinite} of {len(values)} levels the metric is infinite (did training diverge?): the figures leave them out"


def _early(levels: pd.DataFrame) -> Iterable[str]:
    ends = (
        ("early_stop_is_first", "first evaluation", "training.evaluate_every is too long to see when it was"),
        ("early_stop_is_last", "last evaluation", "longer training would stop later"),
    )
    for column, which, why in ends:
        count = int(levels[column].fillna(False).sum())
        if count:
            yield f"in {count} of {len(levels)} levels validation was best at the {which}: {why}"
