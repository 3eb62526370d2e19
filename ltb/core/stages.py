"""Stages: the computations that a recipe comes to, each named by what it grew from. This file alone knows their kinds.

A stage is a frozen dataclass. The stages in its fields are its parents, its key follows from its kind and its fields, and
`compute` says what it is. A new kind is one class: loop, store, plan and ledger ask it through the methods of `Stage`.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from ltb.core import masks as m
from ltb.core.allocation import Allocation
from ltb.core.contracts import Checkpoints
from ltb.core.controls import Control
from ltb.core.criteria import Criterion, Evidence
from ltb.core.dynamics import Dynamics
from ltb.core.execution import Execution
from ltb.core.measure import Measure
from ltb.core.objectives import Objective
from ltb.core.points import Fit, Point
from ltb.core.recipe import Recipe
from ltb.core.results import Measurement, Trained
from ltb.core.rewind import Rewind
from ltb.core.step import Clock

if TYPE_CHECKING:
    from ltb.core.loop import Loop


@dataclass(frozen=True)
class Stage(ABC):
    """One computation that is finished once and kept.

    environment: what beside the fields decides its numbers, by the names that a store's keys know: ``training`` (task, seed,
                 numerics), ``machine``. A stage whose parents cover it names nothing.
    keeps:       files that are kept whatever a store keeps of others.
    """

    environment: ClassVar[tuple[str, ...]] = ("training",)
    keeps: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def compute(self, loop: Loop, checkpoints: Checkpoints | None) -> Trained | Measurement:
        """Return the stage's result, made from those of its parents (``loop.result``)."""

    @cached_property
    def parents(self) -> tuple[Stage, ...]:
        """The stages that it grew from, in the order of its fields."""
        return tuple(_stages(getattr(self, field.name) for field in dataclasses.fields(self)))

    @property
    def known_as(self) -> str | None:
        """The key, for a stage that is known by nothing else."""
        return None

    @property
    def kept(self) -> bool:
        """Whether it is worth keeping: the initialisation is as quick to make as to read."""
        return True

    @property
    def label(self) -> str:
        """A word for tables: what the stage is."""
        return type(self).__name__.lower()

    @property
    def pruned_to(self) -> float | None:
        """The target sparsity that it was pruned to; None where nothing was."""
        return None

    @property
    def broken_by(self) -> str:
        """The name of the control that broke it on purpose, or ``none``."""
        return "none"

    def iterations(self, clock: Clock) -> int:
        """How many iterations of training it takes, its parents apart."""
        return 0

    def passes(self, other: Stage) -> bool:
        """Whether computing it gives `other` on the way."""
        return False


def _stages(values: Iterable[Any]) -> Iterator[Stage]:
    for value in values:
        if isinstance(value, Stage):
            yield value
        elif isinstance(value, list | tuple):
            yield from _stages(value)
        elif isinstance(value, Mapping):
            yield from _stages(value.values())


@dataclass(frozen=True)
class Start(Stage):
    """The dense trajectory at iteration `step`, with the optimizer's state there: what a rewind goes back to."""

    step: int
    keeps: ClassVar[tuple[str, ...]] = ("optimizer",)  # with it the trajectory goes on from here to a later start

    @property
    def kept(self) -> bool:
        return self.step > 0

    @property
    def label(self) -> str:
        return f"dense to step {self.step}"

    def iterations(self, clock: Clock) -> int:
        return self.step

    def compute(self, loop: Loop, checkpoints: Checkpoints | None) -> Trained:
        fit = _dense(loop, self.step)
        nearest = loop.memory.nearest(self, self.step) if self.step else None
        begun = fit if nearest is None else replace(fit, origin=nearest.resumable)
        loop.listener.on_step(begun.origin.step)
        trained = loop.training.fit(begun, evaluate=False, checkpoints=checkpoints, listener=loop.listener)
        return replace(trained, origin=fit.origin)


@dataclass(frozen=True)
class Dense(Stage):
    """The dense network, trained to the end of the clock: from the initialisation, or, with `noise`, from `start`.

    Two of one start with other noise are the children of an instability analysis (Frankle et al. 2020, section 3); they go on
    with the optimizer's state of the start.
    """

    start: Start | None = None
    noise: int | None = None
    keeps: ClassVar[tuple[str, ...]] = ("optimizer",)

    def iterations(self, clock: Clock) -> int:
        return clock.length - (self.start.step if self.start else 0)

    def passes(self, other: Stage) -> bool:
        return self == Dense() and isinstance(other, Start)

    def compute(self, loop: Loop, checkpoints: Checkpoints | None) -> Trained:
        fit = replace(_dense(loop, loop.training.clock.length), noise=self.noise)
        if self.start:
            fit = replace(fit, origin=loop.result(self.start).resumable)
        steps = [start.step for start in loop.passing if self.passes(start)]
        given: dict[str, Any] = {"snapshots": steps, "checkpoints": checkpoints, "listener": loop.listener}
        trained: Trained = loop.training.fit(fit, **given)
        for step in steps:
            if (
                step in trained.snapshots
            ):  # else it went on behind it, from another run's progress: it is replayed when asked for
                loop.keep(Start(step), Trained(fit.masks, fit.origin, trained.snapshots[step]))
        return replace(trained, snapshots={})


def _dense(loop: Loop, stop: int) -> Fit:
    weights = loop.training.initial()
    return Fit.of(m.ones(weights, loop.training.prunable), Point(weights, 0), stop)


@dataclass(frozen=True)
class Sparse(Stage):
    """A pruned network, trained: what was scored, to which sparsity it was pruned, and from where it was trained again.

    Pruning goes on from the masks of `source`. Two recipes that contain an equal stage share it: the first level of IMP is
    the one-shot network of its sparsity.
    """

    source: Stage
    start: Stage
    target: float
    criterion: Criterion
    allocation: Allocation
    rewind: Rewind
    control: Control | None = None
    dynamics: Dynamics | None = None
    objective: Objective | None = None
    execution: Execution | None = None

    @property
    def label(self) -> str:
        return self.control.name if self.control else "level"

    @property
    def pruned_to(self) -> float | None:
        return self.target

    @property
    def broken_by(self) -> str:
        return self.control.name if self.control else "none"

    def iterations(self, clock: Clock) -> int:
        from_scratch = self.control is not None and self.control.from_scratch
        start = self.start.step if isinstance(self.start, Start) else 0
        return clock.length if from_scratch else self.rewind.iterations(start, clock)

    def compute(self, loop: Loop, checkpoints: Checkpoints | None) -> Trained:
        training: Any = loop.training
        return training.fit(self.ticket(loop), checkpoints=checkpoints, listener=loop.listener)

    def ticket(self, loop: Loop) -> Fit:
        """What the fit begins from: prune the source, rewind, and break what the control breaks."""
        training = loop.training
        started, source = loop.result(self.start), loop.result(self.source)
        masks = self.prune(loop, started.point, source.point, source.masks)
        start = started.resumable if self.rewind.start_state else started.point
        end = source.resumable if self.rewind.source_state else source.point
        origin, stop = self.rewind(start, end, training.clock)
        how = {"dynamics": self.dynamics, "objective": self.objective, "execution": self.execution}
        fit = Fit.of(masks, origin, stop, **how)
        if self.control is None:
            return fit
        return self.control(fit, origin, training.initial, training.clock, training.seed)

    def prune(self, loop: Loop, start: Point, source: Point, masks: m.Masks) -> m.Masks:
        """The masks at the target sparsity: scored and allocated in `criterion.rounds` rounds of equal ratios of density."""
        training, rounds = loop.training, self.criterion.rounds
        # The source's target, not its density: under per-layer rates a target is the sparsity of the layers of rate 1 alone.
        first = 1 - (self.source.pruned_to or 0.0)
        for index in range(1, rounds + 1):
            target = self.target
            if index < rounds:
                target = 1 - first ** (1 - index / rounds) * (1 - self.target) ** (index / rounds)
            gathered: dict[str, Any] = {}
            for probe in (self.criterion.probe, self.allocation.probe):
                if probe is not None:
                    gathered |= training.probe(probe, source.weights, masks)
            evidence = Evidence(training.seed, start.weights, gathered)
            scores = self.criterion({name: source.weights[name] for name in training.prunable}, evidence)
            masks = self.allocation(scores, masks, target, evidence)
        return masks


@dataclass(frozen=True)
class Measured(Stage):
    """What `measure` says of finished stages."""

    of: tuple[Stage, ...]
    measure: Measure

    @property
    def environment(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("machine",) if self.measure.machine else ()

    @property
    def label(self) -> str:
        return self.measure.name

    def compute(self, loop: Loop, checkpoints: Checkpoints | None) -> Measurement:
        return loop.training.measure(self.measure, [loop.result(stage) for stage in self.of])


@dataclass(frozen=True)
class Known(Stage):
    """A stage of which only the key is known: one that another training finished, found again by a run's ledger."""

    key: str

    @property
    def known_as(self) -> str:
        return self.key

    def compute(self, loop: Loop, checkpoints: Checkpoints | None) -> Trained:
        raise ValueError(f"stage {self.key} is not in the store, and a key alone does not say how it is made")


def stages(recipe: Recipe, clock: Clock) -> tuple[Stage, ...]:
    """Return the stage of each level of a recipe, level 0 (the dense network) first; a pure function of the configuration."""
    recipe.check(clock)
    dense, start = Dense(), Start(clock.at(recipe.rewind_step))
    chain: list[Stage] = [dense]
    shown: list[Stage] = [dense]
    for target in recipe.schedule.targets[1:]:
        source = {"previous": chain[-1], "dense": dense, "start": start}[recipe.prune_from]
        how = {"dynamics": recipe.dynamics, "objective": recipe.objective, "execution": recipe.execution}
        level = Sparse(source, start, target, recipe.criterion, recipe.allocation, recipe.rewind, **how)  # type: ignore[arg-type]
        chain.append(level)
        shown.append(replace(level, control=recipe.control))
    return tuple(shown)


def starts(wanted: Iterable[Stage]) -> tuple[Start, ...]:
    """Return the starts that stages grow from, as the dense network passes them on its way."""
    found = (stage.start for stage in wanted if isinstance(stage, Sparse))
    return tuple(dict.fromkeys(start for start in found if isinstance(start, Start) and start.kept))


def search_steps(stage: Stage, clock: Clock) -> int:
    """Return the iterations trained to obtain the ticket that `stage` trains: all that it grew from, its own fit apart."""
    return sum(other.iterations(clock) for other in missing([stage], lambda _: False) if other != stage)


def missing(wanted: Iterable[Stage], known: Callable[[Stage], bool]) -> list[Stage]:
    """Return the stages that must be computed to have all of `wanted`, parents first: what a run will cost, before it costs it.

    What another stage of the list gives on its way costs nothing and is left out, as is the initialisation.
    """
    found: dict[Stage, None] = {}

    def visit(stage: Stage) -> None:
        if stage in found or known(stage):
            return
        for parent in stage.parents:
            if parent.kept and not any(other.passes(parent) for other in found):
                visit(parent)
        found[stage] = None

    for stage in wanted:
        visit(stage)
    return list(found)
