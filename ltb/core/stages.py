"""The kinds of stages. This file and `ltb.core.chain`, which makes a recipe's, alone know them.

A new kind is one class: loop, store, plan and ledger ask it through the methods of `Stage`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil
from typing import TYPE_CHECKING, Any, ClassVar

from ltb.common.step import Clock
from ltb.core import masks as m
from ltb.core.allocation import Allocation
from ltb.core.contracts import Checkpoints
from ltb.core.controls import Control
from ltb.core.criteria import Criterion, Evidence
from ltb.core.dynamics import Aim, Dynamics
from ltb.core.execution import Execution
from ltb.core.measure import Measure
from ltb.core.objectives import Objective
from ltb.core.points import Fit, Point
from ltb.core.pruning import gather, scored
from ltb.core.recipe import in_rounds
from ltb.core.results import Measurement, Result, Trained
from ltb.core.rewind import Rewind
from ltb.core.rewind import Weights as WeightRewinding
from ltb.core.rewind_rules import RewindRule
from ltb.core.spent import spent
from ltb.core.stage import Cost, Stage, probe_steps

if TYPE_CHECKING:
    from ltb.core.loop import Loop

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start(Stage):
    """The dense trajectory at iteration `step`, with the optimizer's state there: what a rewind goes back to.

    With an `objective` it is that of the dense network that minimises it beside the module's loss; as in `Dense`.
    """

    step: int
    objective: Objective | None = None
    keeps: ClassVar[tuple[str, ...]] = ("optimizer",)  # with it the trajectory goes on from here to a later start

    @property
    def kept(self) -> bool:
        return self.step > 0

    @property
    def label(self) -> str:
        return f"dense to step {self.step}"

    def ends(self, clock: Clock) -> int:
        return self.step

    def iterations(self, clock: Clock) -> int:
        return self.step

    def spares(self, other: Stage) -> int:
        later = isinstance(other, Start) and other.objective == self.objective and other.step > self.step
        return self.step if later else 0

    def compute(self, loop: Loop, checkpoints: Checkpoints | None) -> Trained:
        fit = _dense(loop, self.step, self.objective)
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
    objective: Objective | None = None
    keeps: ClassVar[tuple[str, ...]] = ("optimizer",)

    def iterations(self, clock: Clock) -> int:
        return clock.length - (self.start.step if self.start else 0)

    def passes(self, other: Stage) -> bool:
        own = self == Dense(objective=self.objective)
        return own and isinstance(other, Start) and other.objective == self.objective

    def compute(self, loop: Loop, checkpoints: Checkpoints | None) -> Trained:
        fit = replace(_dense(loop, loop.training.clock.length, self.objective), noise=self.noise)
        if self.start:
            fit = replace(fit, origin=loop.result(self.start).resumable)
        steps = [start.step for start in loop.passing if self.passes(start)]
        given: dict[str, Any] = {"snapshots": steps, "checkpoints": checkpoints, "listener": loop.listener}
        trained: Trained = loop.training.fit(fit, **given)
        for step in steps:
            if (
                step in trained.snapshots
            ):  # else it went on behind it, from another run's progress: it is replayed when asked for
                loop.keep(Start(step, self.objective), Trained(fit.masks, fit.origin, trained.snapshots[step]))
        return replace(trained, snapshots={})


def _dense(loop: Loop, stop: int, objective: Objective | None) -> Fit:
    training: Any = loop.training
    weights = training.initial()
    prepared = objective and objective.prepared(training, loop.result)
    return Fit.of(m.ones(weights, training.prunable), Point(weights, 0), stop, objective=prepared)


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

    @property
    def draw(self) -> int | None:
        return self.control.drawn if self.control else None

    @property
    def stands(self) -> bool:
        return self.execution is not None and self.execution.stands

    def iterations(self, clock: Clock) -> int:
        from_scratch = self.control is not None and self.control.from_scratch
        return (
            self.rewind.clock(clock).length if from_scratch else self.rewind.iterations(self.start.ends(clock), clock)
        )

    def scoring(self, clock: Clock, cost: Cost = probe_steps) -> int:
        asked = {self.criterion.probe, self.allocation.probe}
        once = self.criterion.rounds * sum(map(cost, asked))
        if self.dynamics is None:
            return ceil(once)
        length, fits = self.iterations(clock), self.rewind.clock(clock)
        changes = len(self.dynamics.steps(length, fits)) * cost(self.dynamics.probe)
        if not self.dynamics.prunes:
            return ceil(once + changes)
        prunings = self.dynamics.targets(self.source.pruned_to or 0.0, self.target, length, fits)
        return ceil(len(prunings) * sum(map(cost, asked - {self.dynamics.probe})) + changes)

    def compute(self, loop: Loop, checkpoints: Checkpoints | None) -> Trained:
        training: Any = loop.training
        return training.fit(self.ticket(loop), checkpoints=checkpoints, listener=loop.listener)

    def ticket(self, loop: Loop) -> Fit:
        """What the fit begins from: prune the source, rewind, and break what the control breaks."""
        training = loop.training
        started, source = loop.result(self.start), loop.result(self.source)
        how = self.how(loop, started.point, source)
        if any(choice is not None and choice.prunes for choice in (self.dynamics, self.execution)):
            masks = source.masks
        else:
            masks = self.prune(loop, started.point, source.point, source.masks)
        start = started.resumable if self.rewind.start_state else started.point
        end = source.resumable if self.rewind.source_state else source.point
        origin, stop = self.rewind(start, end, training.clock)
        clock = self.rewind.clock(training.clock)
        fit = Fit.of(masks, origin, stop, clock=clock, **how)
        if self.control is None:
            return fit
        return self.control(fit, origin, training.initial, clock, training.seed)

    def how(self, loop: Loop, start: Point, source: Result) -> dict[str, Any]:
        """The fields of a fit that say how it runs."""
        objective = self.objective and self.objective.prepared(loop.training, loop.result)
        # Under dynamics a unit may return: what lived with it would have to begin at 0, and no gradient would reach it.
        execution = self.execution or (None if self.dynamics else self.allocation.execution)
        prepared = execution and execution.prepared(loop.training)
        how: dict[str, Any] = {"dynamics": self.dynamics, "objective": objective, "execution": prepared}
        if self.dynamics is not None or self.execution is not None:
            first, masks, seed = self.source.pruned_to or 0.0, source.masks, loop.training.seed
            chosen = self.criterion, self.allocation, first, self.target, masks
            how["aim"] = Aim(*chosen, start.weights, seed, source.point.weights)
        return how

    def drawn(self, source: Stage) -> Drawn:
        """The ticket that would be drawn at the same sparsity from `source`."""
        return Drawn(source, self.start, self.target, self.criterion, self.allocation)

    def prune(self, loop: Loop, start: Point, source: Point, masks: m.Masks) -> m.Masks:
        """The masks at the target sparsity: scored and allocated in `criterion.rounds` rounds of equal ratios of density."""
        training, kept = loop.training, masks
        # What the source had pruned stands in its point as the network computes with it: 0, or what an execution left there.
        outside = {name: ~mask for name, mask in masks.items()}
        # The source's target, not its density: under per-layer rates a target is the sparsity of the layers of rate 1 alone.
        for target in in_rounds(self.source.pruned_to or 0.0, self.target, self.criterion.rounds):
            held = {name: mask | outside[name] for name, mask in masks.items()}
            gathered = gather(self.criterion, self.allocation, training, source.weights, held)
            evidence = {probe: Evidence(training.seed, start.weights, found) for probe, found in gathered.items()}
            weights = {name: source.weights[name] for name in training.prunable}
            scores = scored(self.criterion, weights, evidence[self.criterion.probe])
            candidates = kept if self.criterion.regrows else masks
            masks = self.allocation(scores, candidates, target, evidence[self.allocation.probe])
        return masks


@dataclass(frozen=True)
class Converted(Stage):
    """A trained network under an execution that is for those: brought to it at its end, and trained on there for its length.

    What was done to the network before is its `source`'s: target sparsity, control, masks. `objective` is minimised beside the
    module's loss while it is trained on.
    """

    source: Stage
    execution: Execution
    objective: Objective | None = None

    @property
    def label(self) -> str:
        return f"{self.source.label}, {type(self.execution).__name__.lower()}"

    @property
    def pruned_to(self) -> float | None:
        return self.source.pruned_to

    @property
    def broken_by(self) -> str:
        return self.source.broken_by

    @property
    def draw(self) -> int | None:
        return self.source.draw

    @property
    def ticketed(self) -> Stage:
        return self.source.ticketed

    def ends(self, clock: Clock) -> int:
        return self.source.ends(clock) + self.iterations(clock)

    def iterations(self, clock: Clock) -> int:
        return clock.at(self.execution.length)

    def compute(self, loop: Loop, checkpoints: Checkpoints | None) -> Trained:
        training, source = loop.training, loop.result(self.source)
        execution = self.execution.prepared(training)
        origin, stop = Point(source.point.weights, source.stop), source.stop + self.iterations(training.clock)
        objective = self.objective and self.objective.prepared(training, loop.result)
        fit = Fit.of(source.masks, origin, stop, execution=execution, objective=objective)
        return training.fit(fit, checkpoints=checkpoints, listener=loop.listener)


@dataclass(frozen=True)
class Drawn(Stage):
    """The ticket that a level's criterion and allocation would draw from `source`, at once; it is not trained, and not kept."""

    source: Stage
    start: Stage
    target: float
    criterion: Criterion
    allocation: Allocation
    trains: ClassVar[bool] = False

    @property
    def kept(self) -> bool:
        return False

    @property
    def label(self) -> str:
        return f"drawn from {self.source.label}"

    @property
    def pruned_to(self) -> float | None:
        return self.target

    def compute(self, loop: Loop, checkpoints: Checkpoints | None) -> Trained:
        level = Sparse(self.source, self.start, self.target, self.criterion, self.allocation, WeightRewinding())
        start, source = loop.result(self.start), loop.result(self.source)
        masks = level.prune(loop, start.point, source.point, source.masks)
        origin = Fit.of(masks, source.point, source.stop).origin
        return Trained(masks, origin, origin)


@dataclass(frozen=True)
class FoundStart(Stage):
    """The dense trajectory at the first of `steps` at which `rule` holds of the tickets drawn there; at the last if at none.

    Each is drawn, at the level's `target`, as a level that prunes the start draws it. Which step it is is a result: its key is
    known before, and `found` is None in it. Its history has a row a step: step, and what the rule saw.
    """

    rule: RewindRule
    steps: tuple[int, ...]
    target: float
    criterion: Criterion
    allocation: Allocation
    objective: Objective | None = None
    found: Start | None = None
    keeps: ClassVar[tuple[str, ...]] = ("optimizer",)

    @property
    def label(self) -> str:
        return f"{self.rule.label} at sparsity {self.target:.4g}"

    @property
    def walks(self) -> tuple[Start, ...]:
        last = self.found.step if self.found else self.steps[-1]
        return tuple(Start(step, self.objective) for step in self.steps if step <= last)

    @cached_property
    def open(self) -> bool:
        return self.found is None

    def ended(self, stop: int) -> FoundStart:
        return replace(self, found=Start(stop, self.objective))

    def ends(self, clock: Clock) -> int:
        return self.found.step if self.found else self.steps[self.rule.window - 1]

    def scoring(self, clock: Clock, cost: Cost = probe_steps) -> int:
        once = sum(map(cost, {self.criterion.probe, self.allocation.probe}))
        return ceil(len(self.walks) * self.criterion.rounds * once)

    def compute(self, loop: Loop, checkpoints: Checkpoints | None) -> Trained:
        drawn: list[m.Masks] = []
        rows: list[Mapping[str, float]] = []
        for start in self.walks:
            ticket = loop.result(Drawn(start, start, self.target, self.criterion, self.allocation))
            drawn = [*drawn, ticket.masks][-self.rule.window :]
            seen = self.rule.look(drawn)
            rows.append({"step": start.step, **seen})
            if self.rule.holds(seen):
                break
        else:
            log.warning(
                f"{self.label}: it never held up to step {start.step}, the last that it may take; k is that step"
            )
        dense = loop.result(start)
        return Trained(dense.masks, dense.origin, dense.resumable, rows)


@dataclass(frozen=True)
class Measured(Stage):
    """What `measure` says of finished stages."""

    of: tuple[Stage, ...]
    measure: Measure
    trains: ClassVar[bool] = False

    @property
    def environment(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("machine",) if self.measure.machine else ()

    @property
    def lasting(self) -> bool:
        return True

    @property
    def label(self) -> str:
        return self.measure.name

    def compute(self, loop: Loop, checkpoints: Checkpoints | None) -> Measurement:
        measure = self.measure.prepared(lambda: spent(self.of[0], loop))
        return loop.training.measure(measure, [loop.result(stage) for stage in self.of])


@dataclass(frozen=True)
class Known(Stage):
    """A stage of which only the key is known: one that another training finished, found again by a run's ledger."""

    key: str

    @property
    def known_as(self) -> str:
        return self.key

    @property
    def lasting(self) -> bool:
        return False

    def compute(self, loop: Loop, checkpoints: Checkpoints | None) -> Trained:
        raise ValueError(f"stage {self.key} is not in the store, and a key alone does not say how it is made")
