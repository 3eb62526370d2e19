"""What was spent on a finished stage: each fit that it grew from, and its scoring, as results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ltb.core.results import Spent
from ltb.core.stage import Stage, costs, missing, settled

if TYPE_CHECKING:
    from ltb.core.loop import Loop


def spent(stage: Stage, loop: Loop) -> list[Spent]:
    """Return what was spent on a finished stage: on those that it grew from, each once, parents first, and on itself, the last.

    Raises ValueError where it is `open`: what a rule found on its way is gone.
    """
    training: Any = loop.training
    clock = training.clock
    grown = settled(stage, lambda one: loop.result(one).stop if loop.memory.has(one) else None)
    if grown.open:
        raise ValueError(
            f"{stage.label}: what it grew from is not in the store, so that what was spent on it is not known"
        )
    known = dict(_alike(grown, stage))
    every = missing([grown], lambda _: False)  # the stage itself is the last
    found = [loop.result(known[one]) if one in known and not one.stands else None for one in every]
    scoring = [one.scoring(clock, training.cost) for one in every]
    return [Spent(*one) for one in zip(found, costs(every, clock), scoring, strict=True)]


def _alike(grown: Stage, stage: Stage) -> Iterator[tuple[Stage, Stage]]:
    """Yield a settled stage and its parents, each with what its result is kept under."""
    yield grown, stage
    for one, other in zip(grown.parents, stage.parents, strict=False):
        yield from _alike(one, other)
