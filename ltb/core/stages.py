"""Stages: a recipe unrolled into the networks that must be trained, each named by what it grew from. Nothing is computed here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ltb.core.allocation import Allocation
from ltb.core.controls import Control
from ltb.core.criteria import Criterion
from ltb.core.recipe import Recipe
from ltb.core.rewind import Rewind
from ltb.core.step import Clock


@dataclass(frozen=True)
class Start:
    """The dense trajectory at iteration `step`; `optimizer`: with the optimizer's state, for a rewind that keeps it."""

    step: int
    optimizer: bool = False


@dataclass(frozen=True)
class Dense:
    """The dense network, trained from the initialisation to the end of the clock."""

    optimizer: bool = False


@dataclass(frozen=True)
class Sparse:
    """A pruned network, trained: what was scored, to which sparsity it was pruned, and from where it was trained again.

    Pruning goes on from the masks of `source`. Two recipes that contain an equal stage share it: the first level of IMP is
    the one-shot network of its sparsity.
    """

    source: Stage
    start: Start
    target: float
    criterion: Criterion
    allocation: Allocation
    rewind: Rewind
    control: Control | None = None

    @property
    def optimizer(self) -> bool:
        """Whether the next level's rewind will ask for the optimizer's state at the end of this one."""
        return self.rewind.optimizer_state == "kept" and self.rewind.trained_source


Stage = Start | Dense | Sparse


def stages(recipe: Recipe, clock: Clock) -> tuple[Stage, ...]:
    """The stage of each level of a recipe, level 0 (the dense network) first; a pure function of the configuration."""
    recipe.check(clock)
    kept = recipe.rewind.optimizer_state == "kept"
    dense = Dense(optimizer=kept and recipe.rewind.trained_source)
    start = Start(clock.at(recipe.rewind_step), optimizer=kept and not recipe.rewind.trained_source)
    chain: list[Stage] = [dense]
    shown: list[Stage] = [dense]
    for target in recipe.schedule.targets[1:]:
        source = {"previous": chain[-1], "dense": dense, "start": start}[recipe.prune_from]
        level = Sparse(source, start, target, recipe.criterion, recipe.allocation, recipe.rewind)
        chain.append(level)
        shown.append(replace(level, control=recipe.control))
    return tuple(shown)


def iterations(stage: Stage, clock: Clock) -> int:
    """How many iterations it takes to train a stage, its parents apart."""
    match stage:
        case Start():
            return stage.step
        case Dense():
            return clock.length
        case Sparse():
            from_scratch = stage.control is not None and stage.control.from_scratch
            return clock.length if from_scratch else stage.rewind.iterations(stage.start.step, clock)


def search_steps(stage: Stage, clock: Clock) -> int:
    """Iterations trained to obtain the ticket that `stage` trains: all that it grew from, each stage once, its own fit apart."""
    return sum(iterations(other, clock) for other in missing([stage], lambda _: False) if other != stage)


def missing(wanted: Iterable[Stage], known: Callable[[Stage], bool]) -> list[Stage]:
    """The stages that must be trained to have all of `wanted`, parents first: what a run will cost, before it costs it.

    A start that a dense network to be trained will pass on its way costs nothing and is left out, as is the initialisation.
    """
    found: dict[Stage, None] = {}

    def visit(stage: Stage) -> None:
        if stage in found or known(stage):
            return
        if isinstance(stage, Sparse):
            visit(stage.source)
            if stage.start.step > 0 and not any(isinstance(other, Dense) for other in found):
                visit(stage.start)
        found[stage] = None

    for stage in wanted:
        visit(stage)
    return list(found)
