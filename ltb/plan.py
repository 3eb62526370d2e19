"""``plan=true``: what a run or a sweep will train, what is there already, and what sharing saves; nothing is written."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ltb.core.errors import Damaged
from ltb.core.stages import Dense, Sparse, Stage, Start, iterations, missing
from ltb.core.step import Clock
from ltb.results import catalogue
from ltb.results.store import Store

# Over all runs that this process plans: the stages named, their iterations, and those that are to be trained.
_named: list[int] = []
_planned: dict[str, int] = {}


def show(run_id: str, wanted: Sequence[Stage], store: Store, clock: Clock) -> None:
    """Print the stages of one run, and the sum over the runs planned so far in this process."""
    console = Console(highlight=False, soft_wrap=True)
    every = missing(wanted, lambda stage: False)
    todo = {store.keys(stage) for stage in missing(wanted, store.has)}
    table = Table(
        "stage", "target sparsity", "key", "state", "iterations", title=run_id, title_justify="left", box=None
    )
    for stage in every:
        key, cost = store.keys(stage), iterations(stage, clock)
        state = "done" if key not in todo else "shared with a run before" if key in _planned else "to do"
        target = f"{stage.target:.4f}" if isinstance(stage, Sparse) else ""
        table.add_row(_name(stage), target, key[:8], state, f"{cost:,}")
        _named.append(cost)
        if state == "to do":
            _planned[key] = cost
    console.print(table)
    left = sum(_planned.values())
    speed = _seconds_per_iteration(store.folder)
    estimate = f", about {_duration(left * speed)} by what is in the store" if speed and left else ""
    console.print(
        f"so far: {len(_named)} stages named ({sum(_named):,} iterations), {len(_planned)} to do ({left:,} iterations{estimate})\n"
    )


def _name(stage: Stage) -> str:
    match stage:
        case Start():
            return f"dense to step {stage.step}"
        case Dense():
            return "dense"
        case Sparse():
            return stage.control.name if stage.control else "level"


def _seconds_per_iteration(store: Path) -> float | None:
    try:
        found = [entry.about for entry in catalogue.entries(store)]
    except (Damaged, ValueError):
        return None
    speeds = [about["seconds"] / (about["stop"] - about["start"]) for about in found if about["stop"] > about["start"]]
    speeds = [speed for speed in speeds if speed > 0]
    return statistics.median(speeds) if speeds else None


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
