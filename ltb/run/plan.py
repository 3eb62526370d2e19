"""``plan=true``: what a run or a sweep will train, what is there already, and what sharing saves; nothing is written."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ltb.common.errors import Damaged
from ltb.common.step import Clock
from ltb.common.text import printable
from ltb.core.chain import starts
from ltb.core.stage import Stage, costs, missing, settled
from ltb.run.display import duration
from ltb.store import catalogue
from ltb.store.store import Store

# Over all runs that this command plans: the stages named, their iterations, and those that are to be trained.
# Each with whether that is the most that they can be.
Cost = tuple[int, bool]
_named: list[Cost] = []
_planned: dict[tuple[Path, str], Cost] = {}  # by its store and key


def show(run_id: str, wanted: Sequence[Stage], store: Store, clock: Clock) -> None:
    """Print the stages of one run, and the sum over the runs that this command has planned so far."""
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
    there = [other for stage in every for other in stage.walks if known(other)]
    perhaps = {other for stage in todo for other in stage.walks}
    for stage, final, iterations in zip(every, grown, costs(grown, clock, there), strict=True):
        key, cost = store.keys(stage), (iterations, iterations > 0 and (final.open or stage in perhaps))
        state = "to do" if stage in todo else "done" if store.has(stage) else "shared with a run before"
        target = "" if stage.pruned_to is None else f"{stage.pruned_to:.4f}"
        table.add_row(Text(printable(stage.label)), target, key[:8], state, _told([cost]))
        _named.append(cost)
        if stage in todo:
            _planned[place(stage)] = cost
    passed = [start for start in starts(wanted) if any(stage.passes(start) for stage in todo)]
    _planned.update({place(start): (0, False) for start in passed})
    console.print(table)
    left = sum(n for n, _ in _planned.values())
    speed = _seconds_per_iteration(store.folder)
    estimate = f", about {duration(left * speed)} by what is in the store" if speed and left else ""
    todo_count = sum(n > 0 for n, _ in _planned.values())
    console.print(
        f"so far: {len(_named)} stages named ({_told(_named)} iterations), "
        f"{todo_count} to do ({_told(_planned.values())} iterations{estimate})\n"
    )


def forget() -> None:
    """Begin a new sum: a command has ended."""
    _named.clear()
    _planned.clear()


def _told(costs: Collection[Cost]) -> str:
    return f"{'at most ' * any(most for _, most in costs)}{sum(n for n, _ in costs):,}"


def _seconds_per_iteration(store: Path) -> float | None:
    try:
        # Those that were validated on their way: a start may have gone on from another one, whose seconds it does not have.
        networks = (entry.metadata for entry in catalogue.entries(store) if entry.values is None)
        found = [one for one in networks if one["result"]["history"]]
    except (Damaged, ValueError):
        return None
    lengths = [(one["seconds"], one["result"]["stop"] - one["result"]["start"]) for one in found]
    speeds = [seconds / length for seconds, length in lengths if length > 0]
    speeds = [speed for speed in speeds if speed > 0]
    return statistics.median(speeds) if speeds else None
