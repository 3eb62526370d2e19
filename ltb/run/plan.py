"""``plan=true``: what a run or a sweep will train, what is there already, and what sharing saves; nothing is written."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ltb.core.errors import Damaged
from ltb.core.stage import Stage, costs, missing, settled
from ltb.core.stages import starts
from ltb.core.step import Clock
from ltb.core.text import printable
from ltb.run.display import duration
from ltb.store import catalogue
from ltb.store.store import Store

# Over all runs that this process plans: the stages named, their iterations, and those that are to be trained.
_named: list[int] = []
_planned: dict[tuple[Path, str], int] = {}  # by its store and key
_most: set[bool] = set()  # whether iterations are the most that they can be


def show(run_id: str, wanted: Sequence[Stage], store: Store, clock: Clock) -> None:
    """Print the stages of one run, and the sum over the runs planned so far in this process."""
    console = Console(highlight=False, soft_wrap=True)

    def place(stage: Stage) -> tuple[Path, str]:
        return store.folder, store.keys(stage)

    def known(stage: Stage) -> bool:
        return store.has(stage) or place(stage) in _planned

    todo = missing(wanted, known)
    every = missing(wanted, lambda stage: False)
    # A start is replayed where another run of this plan, which does not pass it, trains the dense network.
    every += [stage for stage in todo if stage not in every]
    table = Table(
        "stage",
        "target sparsity",
        "key",
        "state",
        "iterations",
        title=Text(printable(run_id)),
        title_justify="left",
        box=None,
    )
    grown = [settled(stage, store.stop) for stage in every]
    walked = {other: stage in todo for stage in every for other in stage.walks}
    iterations = dict(zip(every, costs(grown, clock, [other for other in walked if known(other)]), strict=True))
    for stage, final in zip(every, grown, strict=True):
        key, cost = store.keys(stage), iterations[stage]
        most = cost > 0 and (final.open or walked.get(stage, False))
        state = "to do" if stage in todo else "done" if store.has(stage) else "shared with a run before"
        target = "" if stage.pruned_to is None else f"{stage.pruned_to:.4f}"
        table.add_row(Text(printable(stage.label)), target, key[:8], state, _told(cost, most))
        _named.append(cost)
        _most.add(most)
    _planned.update({place(stage): iterations[stage] for stage in todo})
    passed = [start for start in starts(wanted) if any(stage.passes(start) for stage in todo)]
    _planned.update({place(start): 0 for start in passed})
    console.print(table)
    left = sum(_planned.values())
    speed = _seconds_per_iteration(store.folder)
    estimate = f", about {duration(left * speed)} by what is in the store" if speed and left else ""
    todo_count = sum(cost > 0 for cost in _planned.values())
    console.print(
        f"so far: {len(_named)} stages named ({_told(sum(_named), True in _most)} iterations), "
        f"{todo_count} to do ({_told(left, True in _most and left > 0)} iterations{estimate})\n"
    )


def _told(iterations: int, most: bool) -> str:
    return f"{'at most ' * most}{iterations:,}"


def _seconds_per_iteration(store: Path) -> float | None:
    try:
        found = [entry.metadata for entry in catalogue.entries(store) if entry.values is None]
    except (Damaged, ValueError):
        return None
    lengths = [(one["seconds"], one["result"]["stop"] - one["result"]["start"]) for one in found]
    speeds = [seconds / length for seconds, length in lengths if length > 0]
    speeds = [speed for speed in speeds if speed > 0]
    return statistics.median(speeds) if speeds else None
