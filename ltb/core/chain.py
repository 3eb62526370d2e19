"""The stages that a recipe comes to, and those that are asked of them: pure functions of the configuration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ltb.common.step import Clock
from ltb.core.measure import Measure
from ltb.core.objectives import Objective
from ltb.core.recipe import Recipe
from ltb.core.stage import Stage, missing
from ltb.core.stages import Converted, Dense, FoundStart, Measured, Sparse, Start


def asked(measure: Measure, chain: Sequence[Stage], clock: Clock) -> dict[int | None, Measured]:
    """Return what `measure` is asked of a run's levels: of each, by its index, or, where it compares them, of all, under None.

    One that looks at tickets drawn on the way is asked of a pruned level and of those that it would draw.
    """
    if steps := measure.drawn_at(clock):
        objective = next((stage.objective for stage in chain if isinstance(stage, Dense)), None)
        starts = [Start(step, objective if step else None) for step in steps]
        return {
            i: Measured((level, *(level.drawn(start) for start in starts)), measure)
            for i, level in enumerate(stage.ticketed for stage in chain)
            if isinstance(level, Sparse)
        }
    if measure.joint:
        return {None: Measured(tuple(chain), measure)} if len(chain) > 1 else {}
    return {i: Measured((Start(0) if measure.initial else stage,), measure) for i, stage in enumerate(chain)}


def stages(recipe: Recipe, clock: Clock) -> tuple[Stage, ...]:
    """Return the stage of each level of a recipe, level 0 (the dense network) first; a pure function of the configuration."""
    recipe.check(clock)
    dense = Dense(objective=recipe.dense_objective)
    chain: list[Stage] = [dense]
    shown: list[Stage] = [dense]
    for target in recipe.schedule.targets[1:]:
        start = _start(recipe, target, clock)
        source = {"previous": chain[-1], "dense": dense, "start": start}[recipe.prune_from]
        how = {"dynamics": recipe.dynamics, "objective": recipe.objective, "execution": recipe.during}
        level = Sparse(source, start, target, recipe.criterion, recipe.allocation, recipe.rewind, **how)  # type: ignore[arg-type]
        chain.append(level)
        shown.append(replace(level, control=recipe.control))
    objectives = [recipe.dense_objective, *[recipe.objective] * len(shown[1:])]
    return tuple(_converted(recipe, *each) for each in zip(shown, objectives, strict=True))


def _converted(recipe: Recipe, stage: Stage, objective: Objective | None) -> Stage:
    """The stage, or what the recipe's execution for trained networks makes of it."""
    after = recipe.after
    if after is None:
        return stage
    return Converted(stage, after, objective if after.length.count else None)


def _start(recipe: Recipe, target: float, clock: Clock) -> Stage:
    """The stage that a level of a target sparsity is rewound to."""
    step, objective = clock.at(recipe.rewind_step), recipe.dense_objective
    if recipe.rewind_rule is None:
        return Start(step, objective if step else None)  # nothing has been minimised at the initialisation
    rule, steps = recipe.rewind_rule, tuple(recipe.rewind_rule.steps(clock))
    return FoundStart(rule, steps, target, recipe.criterion, recipe.allocation, objective)


def starts(wanted: Iterable[Stage]) -> tuple[Start, ...]:
    """Return the starts that stages grow from or walk, as the dense network passes them on its way."""
    every = missing(wanted, lambda _: False, passed=True)
    return tuple(stage for stage in every if isinstance(stage, Start))
