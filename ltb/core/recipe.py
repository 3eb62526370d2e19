"""The recipe: every choice of a pruning method as one frozen value that prints, compares and refuses nonsense."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from ltb.common.allowed import Rounds, read
from ltb.common.step import Clock, Step
from ltb.core.allocation import Allocation, Global, Shapes
from ltb.core.controls import Control
from ltb.core.criteria import Criterion, Magnitude
from ltb.core.dynamics import Dynamics
from ltb.core.execution import Execution
from ltb.core.objectives import Objective
from ltb.core.rewind import Rewind, Weights
from ltb.core.rewind_rules import RewindRule
from ltb.core.schedules import Geometric, Schedule

SOURCES = ("previous", "dense", "start")
START = Step(0)
OF_PRUNED = ("control", "dynamics", "objective", "execution", "rewind_rule")
OPTIONAL = (*OF_PRUNED, "dense_objective")
KINDS: Mapping[str, type] = {
    "schedule": Schedule,
    "criterion": Criterion,
    "allocation": Allocation,
    "rewind": Rewind,
    "control": Control,
    "dynamics": Dynamics,
    "objective": Objective,
    "execution": Execution,
    "dense_objective": Objective,
    "rewind_rule": RewindRule,
}


@dataclass(frozen=True)
class Recipe:
    """A pruning method, by default IMP (Frankle & Carbin 2019).

    prune_from:  the network whose weights are scored: the ``previous`` level, the ``dense`` network, or the ``start``.
    rewind_step: k, the step of the dense run that `start` is; 0it is the initialisation.
    rewind_rule: what finds k for each level by the tickets that it would draw on the dense run's way; None for `rewind_step`.
    control:     what is broken on purpose at every level after the dense one; None for the tickets themselves.
    dynamics, objective: how the masks change during a fit, and what is minimised beside the module's loss; None for neither.
    execution:   how masked networks are trained; None holds masks on the dense one. One that is for trained networks leaves the
                 chain as it is, and is what each level, the dense one too, comes to: `during` and `after` are the two.
    dense_objective: what is minimised beside the module's loss when the dense network is trained; None for nothing.
    method:      the name in ledgers and figures; it decides nothing.
    """

    schedule: Schedule = field(default_factory=Geometric)
    prune_from: str = "previous"
    criterion: Criterion = field(default_factory=Magnitude)
    allocation: Allocation = field(default_factory=Global)
    rewind: Rewind = field(default_factory=Weights)
    rewind_step: Step = START
    control: Control | None = None
    dynamics: Dynamics | None = None
    objective: Objective | None = None
    execution: Execution | None = None
    dense_objective: Objective | None = None
    rewind_rule: RewindRule | None = None
    method: str = "imp"

    def __post_init__(self) -> None:
        self._check_kinds()
        self.schedule.check()
        read(Rounds, self.criterion.rounds, "criterion.rounds")
        self._check_start()
        self._check_control()
        self._check_dynamics()
        self._check_execution()
        self._check_signs()
        for key in OF_PRUNED:
            value = self.during if key == "execution" else getattr(self, key)
            if value is not None and len(self.schedule.targets) < 2:
                name = getattr(value, "name", type(value).__name__)
                raise ValueError(f"{key}={name}: the schedule has the dense level alone, and it is for pruned ones")

    def _check_kinds(self) -> None:
        """Refuse values that are not of the kind that their key wants; the rewind step may be given as text."""
        if self.prune_from not in SOURCES:
            raise ValueError(f"prune_from={self.prune_from!r}: one of {', '.join(SOURCES)}")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", self.method):
            raise ValueError(f"method={self.method!r}: letters, digits, '_', '-' and '.', for it names folders")
        try:
            object.__setattr__(self, "rewind_step", Step.parse(self.rewind_step))
        except ValueError as error:
            raise ValueError(f"rewind_step: {error}") from None
        for key, kind in KINDS.items():
            value = getattr(self, key)
            if not (key in OPTIONAL and value is None) and not isinstance(value, kind):
                raise ValueError(f"{key} is a {type(value).__name__}; it must be a {kind.__name__}")
            _check_frozen(key, value)

    def _check_start(self) -> None:
        """Refuse a source that is scored before it is what its rewind keeps, and a step that a rule finds."""
        if self.rewind_rule is not None and self.rewind_step != START:
            raise ValueError(
                f"rewind_step={self.rewind_step}: no effect with rewind_rule={type(self.rewind_rule).__name__}, "
                "which finds the step; 0it is allowed"
            )
        if self.prune_from == "start" and self.rewind.trained_source and self.rewind_rule is None:
            raise ValueError(
                f"rewind={type(self.rewind).__name__} keeps trained weights, and prune_from=start scores a network that was not "
                "trained to its end; use rewind=weights, or prune_from=previous or dense"
            )

    def _check_control(self) -> None:
        """Refuse a control that moves masks onto weights that are gone."""
        if (
            self.control is not None
            and self.control.moves_masks
            and self.rewind.trained_source
            and self.prune_from == "previous"
        ):
            raise ValueError(
                f"control={self.control.name} trains weights that the ticket lacks, and with rewind={type(self.rewind).__name__} "
                "and prune_from=previous those are 0 already; use rewind=weights, or prune_from=dense"
            )

    def _check_dynamics(self) -> None:
        """Refuse dynamics that something else in the recipe takes the effect of, or that break what it keeps."""
        if self.dynamics is None:
            return
        name = f"dynamics={type(self.dynamics).__name__}"
        self._check_made_in_fit(name, self.dynamics.prunes, self.dynamics.ranks)
        if self.dynamics.regrows and self.allocation.patterned:
            raise ValueError(
                f"{name} grows weights one by one, and allocation={type(self.allocation).__name__} keeps a pattern of several, "
                "which that would break; an allocation of single weights is allowed"
            )
        if self.during is not None and not self.during.changes:
            raise ValueError(
                f"execution={type(self.execution).__name__} keeps its masks through a fit, and with {name} they change; "
                "leave it at execution=masked"
            )

    def _check_execution(self) -> None:
        """Refuse an execution that something else in the recipe takes the ground of."""
        if self.execution is None:
            return
        name = f"execution={type(self.execution).__name__}"
        if self.execution.compares and self.prune_from == "start":
            raise ValueError(
                f"prune_from='start': {self.execution!r} compares the weights that are scored with those at the start, and these "
                "are the same; previous or dense is allowed"
            )
        if self.during is not None and self.during.removes and self.objective is not None and self.objective.by_unit:
            raise ValueError(
                f"{name} removes units that objective={type(self.objective).__name__} compares one by one; leave it at "
                "execution=masked, or take hints@objective.hints=attention"
            )
        if self.execution.prunes:
            self._check_made_by_execution(name)

    @property
    def during(self) -> Execution | None:
        """Return how masked networks are trained."""
        return None if self.after else self.execution

    @property
    def after(self) -> Execution | None:
        """Return what each trained network is brought to."""
        return self.execution if self.execution is not None and self.execution.afterwards else None

    def _check_signs(self) -> None:
        """Refuse scores that may be below 0 where the allocation ranks none."""
        key, scores = (
            ("dynamics", self.dynamics) if self.dynamics and self.dynamics.ranks else ("criterion", self.criterion)
        )
        if self.allocation.unsigned and scores.signed:
            raise ValueError(
                f"{key}={type(scores).__name__}: its scores may be below 0, and allocation={type(self.allocation).__name__} "
                "ranks scores of 0 or more, such as criterion=magnitude"
            )

    def _check_made_by_execution(self, name: str) -> None:
        """Refuse what an execution that makes its own masks leaves without effect."""
        self._check_made_in_fit(name, prunes=True, ranks=True)
        if self.dynamics is not None:
            raise ValueError(
                f"dynamics={type(self.dynamics).__name__} would change masks that {name} makes; leave it at dynamics=none"
            )
        if self.rewind.optimizer_state == "kept":
            raise ValueError(
                f"rewind.optimizer_state='kept': with {name} the weights are not trained, and no state is theirs; fresh is allowed"
            )
        if self.allocation.probe is not None:
            raise ValueError(
                f"allocation={type(self.allocation).__name__} gathers evidence, and {name} allocates after each step, without any"
            )

    def _check_made_in_fit(self, name: str, prunes: bool, ranks: bool) -> None:
        """Refuse what does not go with a choice, shown by `name`, that brings masks to the target in a fit, or ranks by itself."""
        if prunes and self.control is not None and self.control.moves_masks:
            raise ValueError(
                f"control={self.control.name} moves the masks that a fit begins with, and with {name} it has none yet"
            )
        if prunes and self.criterion.rounds > 1:
            raise ValueError(
                f"criterion.rounds={self.criterion.rounds}: with {name} masks are made during the fit; 1 is allowed"
            )
        if ranks and self.criterion != Magnitude():
            raise ValueError(
                f"criterion={type(self.criterion).__name__} would have no effect, for {name} ranks weights by itself; "
                "leave it at criterion=magnitude"
            )

    def check(self, clock: Clock) -> None:
        """Raise ValueError when the recipe does not fit a run of this length."""
        latest = self._latest(clock)
        if latest >= clock.length:
            raise ValueError(
                f"rewind_step={self.rewind_step} is iteration {clock.at(self.rewind_step)}, and the run is {clock.length} "
                "iterations long; the rewind step must lie before its end"
            )
        try:
            length = self.rewind.iterations(latest, clock)  # the least that a level is trained for
        except ValueError as error:
            raise ValueError(f"rewind.length: {error}") from None
        if not length:
            self._check_without_steps()
        if self.after is not None:
            try:
                clock.at(self.after.length)
            except ValueError as error:
                raise ValueError(f"execution.length: {error}") from None
        if self.dynamics is not None:
            self.dynamics.check(length, self.rewind.clock(clock))

    def _latest(self, clock: Clock) -> int:
        """The rewind step, or the last that a rule may find."""
        return clock.at(self.rewind_step) if self.rewind_rule is None else self.rewind_rule.steps(clock)[-1]

    def _check_without_steps(self) -> None:
        """Raise ValueError for what acts on the training of pruned networks, where that takes no step."""
        for key in ("objective", "dynamics"):
            if (value := getattr(self, key)) is not None:
                raise ValueError(
                    f"{key}={type(value).__name__}: no effect with rewind.length=0it, which retrains nothing"
                )
        if self.during is not None and self.during.prunes:
            raise ValueError(
                f"execution={type(self.during).__name__} prunes in training, and with rewind.length=0it nothing is trained"
            )

    def check_allocation(self, shapes: Shapes, clock: Clock) -> None:
        """Raise ValueError when prunable parameters of these shapes cannot have a sparsity of the schedule, or one on the way.

        Of each way the first is asked for and the last: an allocation can have what lies between two sparsities that it can have.
        """
        targets = self.schedule.targets
        self.allocation.check(shapes, targets)
        starts = targets[:-1] if self.prune_from == "previous" else [0.0] * (len(targets) - 1)
        for first, last in zip(starts, targets[1:], strict=True):
            self._check_way(shapes, first, last, clock)

    def _check_way(self, shapes: Shapes, first: float, last: float, clock: Clock) -> None:
        name, way = f"criterion.rounds={self.criterion.rounds}", in_rounds(first, last, self.criterion.rounds)
        if self.dynamics is not None and self.dynamics.prunes:
            length = self.rewind.iterations(self._latest(clock), clock)
            name = f"dynamics={type(self.dynamics).__name__}"
            way = self.dynamics.targets(first, last, length, self.rewind.clock(clock))
        if len(way) > 1:
            try:
                self.allocation.check(shapes, (0.0, way[0], last))
            except ValueError as error:
                raise ValueError(f"{name}: on the way to a sparsity of {last:.6g}, {error}") from None

    def check_network(self, shapes: Shapes, clock: Clock) -> None:
        """Raise ValueError when the recipe does not fit a network with prunable parameters, or what its allocation makes of them,
        of these shapes."""
        targets, counted = self.schedule.targets, self.allocation.counted
        self.check_allocation(shapes, clock)
        kept = [self.allocation.kept(shapes, target) for target in targets]
        for level, (before, after) in enumerate(pairwise(kept)):
            if after == before:
                raise ValueError(
                    f"schedule={self.schedule!r}: of {kept[0]} {counted} levels {level} and {level + 1} both keep {after}"
                )


def in_rounds(first: float, target: float, rounds: int) -> tuple[float, ...]:
    """Return the sparsities of scoring in rounds, from above `first` to `target`: densities in equal ratios (Tanaka et al. 2020).

    >>> [round(sparsity, 3) for sparsity in in_rounds(0.0, 0.99, 2)]
    [0.9, 0.99]
    """
    ratios = [index / rounds for index in range(1, rounds)]
    return (*(1 - (1 - first) ** (1 - ratio) * (1 - target) ** ratio for ratio in ratios), target)


def _check_frozen(key: str, value: object) -> None:
    """Raise ValueError for a choice whose fields cannot say what it computes: it could be taken for another, or change."""
    if value is None:
        return
    if not getattr(getattr(value, "__dataclass_params__", None), "frozen", False):
        name = f"{type(value).__module__}.{type(value).__qualname__}"
        raise ValueError(f"{key}: {name} must be a frozen dataclass: its fields say what it computes")
    try:
        hash(value)
    except TypeError as error:
        raise ValueError(f"{key}={value!r}: fields of numbers, texts, and tuples of these ({error})") from None
