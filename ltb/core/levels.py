"""The loop: what one stage computes from the stages that it grew from. Every method of the field is this file.

source = what is pruned          (the previous level | the dense network | the start)
scores = criterion(source, evidence)
masks  = allocation(scores, masks, target sparsity)
origin = rewind(start, source)
result = fit(origin × masks)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ltb.core import masks as m
from ltb.core.criteria import Evidence
from ltb.core.masks import Masks
from ltb.core.recipe import Recipe
from ltb.core.rewind import Fit, Point
from ltb.core.stages import Sparse, Stage, Start, stages
from ltb.core.step import Clock
from ltb.core.tensors import Weights


@dataclass(frozen=True, eq=False)
class Trained:
    """What a stage leaves: the masks, where the fit began, the point it ended at, and what was measured on the way.

    `metrics` maps names such as ``test/accuracy`` to numbers; `history` has a row an evaluation.
    `passed` holds the points that a dense fit passed through on request.
    """

    masks: Masks
    origin: Point
    point: Point
    metrics: Mapping[str, Any] = field(default_factory=dict)
    history: Sequence[Mapping[str, float]] = ()
    seconds: float = 0.0
    passed: Mapping[int, Point] = field(default_factory=dict)

    @property
    def counts(self) -> Mapping[str, tuple[int, int]]:
        """For each prunable parameter how many weights are kept, and how many there are."""
        return {name: (int(mask.sum()), mask.numel()) for name, mask in self.masks.items()}

    @property
    def start(self) -> int:
        """The iteration that the fit began at."""
        return self.origin.step

    @property
    def stop(self) -> int:
        """The iteration that it ended at."""
        return self.point.step


class Result(Protocol):
    """A trained stage as the loop reads it: a `Trained`, or one that a memory reads from elsewhere when it is asked for."""

    @property
    def masks(self) -> Masks: ...
    @property
    def origin(self) -> Point: ...
    @property
    def point(self) -> Point: ...
    @property
    def metrics(self) -> Mapping[str, Any]: ...
    @property
    def history(self) -> Sequence[Mapping[str, float]]: ...
    @property
    def seconds(self) -> float: ...
    @property
    def counts(self) -> Mapping[str, tuple[int, int]]:
        """For each prunable parameter how many weights are kept, and how many there are."""

    @property
    def start(self) -> int:
        """The iteration that the fit began at."""

    @property
    def stop(self) -> int:
        """The iteration that it ended at."""


@dataclass(frozen=True, eq=False)
class Progress:
    """A fit under way, at one of its evaluations: enough to go on from there to the same bytes.

    `best_step` is the step of the history's row that is best so far, and `best_weights` are those of that step.
    """

    point: Point
    history: Sequence[Mapping[str, float]]
    best_step: int
    best_weights: Weights
    passed: Mapping[int, Point] = field(default_factory=dict)
    seconds: float = 0.0


class Checkpoints(Protocol):
    """Where the progress of one fit is kept until it is finished."""

    def load(self) -> Progress | None:
        """The progress that was kept last, if any."""
        ...

    def offer(self, progress: Callable[[], Progress]) -> None:
        """Keep the progress if it is time to: it is made only then."""
        ...


class Training(Protocol):
    """The one place where anything is trained, as the loop sees it: one task and one seed."""

    seed: int
    clock: Clock
    prunable: tuple[str, ...]

    def initial(self, purpose: str = "init") -> Weights:
        """The network's initialisation, a function of (seed, purpose)."""
        ...

    def fit(
        self, fit: Fit, *, passing: Sequence[int] = (), evaluate: bool = True, checkpoints: Checkpoints | None = None
    ) -> Trained:
        """Train `fit.origin` under `fit.masks` to `fit.stop`; keep the points passed at `passing`; `evaluate` at the end.

        With `checkpoints` it goes on from the progress that was kept.
        """
        ...

    def probe(self, probe: Any, weights: Weights, masks: Masks) -> Mapping[str, Weights]:
        """What a criterion's probe gathers from the network with these weights under these masks."""
        ...


Compute = Callable[[Checkpoints | None], Trained]


class Memory(Protocol):
    """Where finished stages are kept: `once` gives back a stage that is known, and computes and keeps one that is not.

    The initialisation (``Start(0)``) is not asked for: it is as quick to make as to read.
    """

    def once(self, stage: Stage, compute: Compute) -> Result: ...


class Recent:
    """A memory for one run without a disk: it keeps the dense stages, the latest sparse one and that one's source."""

    def __init__(self) -> None:
        self._kept: dict[Stage, Trained] = {}

    def once(self, stage: Stage, compute: Compute) -> Result:
        if stage not in self._kept:
            trained = compute(None)
            if isinstance(stage, Sparse):
                self._kept = {k: v for k, v in self._kept.items() if not isinstance(k, Sparse) or k == stage.source}
            self._kept[stage] = trained
        return self._kept[stage]


@dataclass(frozen=True)
class Loop:
    """Computes stages with one training and one memory; a dense fit takes the snapshots `passing` on its way."""

    training: Training
    memory: Memory
    passing: tuple[Start, ...] = ()

    def result(self, stage: Stage) -> Result:
        """The stage, from memory or computed, its parents first."""
        if isinstance(stage, Start) and stage.step == 0:
            return self._compute(stage, None)
        return self.memory.once(stage, lambda checkpoints: self._compute(stage, checkpoints))

    def _compute(self, stage: Stage, checkpoints: Checkpoints | None) -> Trained:
        if isinstance(stage, Sparse):
            return self.training.fit(self.ticket(stage), checkpoints=checkpoints)
        weights = self.training.initial()
        dense = Fit.of(m.ones(weights, self.training.prunable), Point(weights, 0), self.training.clock.length)
        if isinstance(stage, Start):
            return self.training.fit(replace(dense, stop=stage.step), evaluate=False)
        passing = [start.step for start in self.passing]
        trained = self.training.fit(dense, passing=passing, checkpoints=checkpoints)
        for start in self.passing:
            if start.step not in trained.passed:
                continue  # the fit went on behind it, from where another run was cut off: it is replayed when it is asked for
            passed = Trained(dense.masks, dense.origin, trained.passed[start.step])
            self.memory.once(start, lambda _, passed=passed: passed)  # type: ignore[misc]
        return trained

    def ticket(self, stage: Sparse) -> Fit:
        """What the fit of a sparse stage begins from: prune the source, rewind, and break what the control breaks."""
        training, seed, clock = self.training, self.training.seed, self.training.clock
        start, source = self.result(stage.start).point, self.result(stage.source)
        probe, weights = stage.criterion.probe, source.point.weights
        gathered = training.probe(probe, weights, source.masks) if probe is not None else {}
        scored = {name: weights[name] for name in training.prunable}
        scores = stage.criterion(scored, Evidence(seed, start.weights, gathered))
        masks = stage.allocation(scores, source.masks, stage.target)
        origin, stop = stage.rewind(start, source.point, clock)
        fit = Fit.of(masks, origin, stop)
        if stage.control is None:
            return fit
        return stage.control(fit, origin, training.initial, clock, seed)


@dataclass(frozen=True, eq=False)
class Level:
    """One turn of the loop: its index (0 is the dense network), the target sparsity, and what its stage left."""

    index: int
    target: float
    stage: Stage
    trained: Result

    @property
    def remaining(self) -> int:
        """How many of the prunable weights are kept."""
        return sum(kept for kept, _ in self.trained.counts.values())

    @property
    def prunable(self) -> int:
        """How many weights are prunable."""
        return sum(total for _, total in self.trained.counts.values())

    @property
    def sparsity(self) -> float:
        """Fraction of the prunable weights removed."""
        return (self.prunable - self.remaining) / self.prunable

    @property
    def density(self) -> float:
        """Fraction of the prunable weights kept."""
        return self.remaining / self.prunable

    @property
    def collapsed(self) -> tuple[str, ...]:
        """Layers in which nothing is left: no signal passes them."""
        return tuple(name for name, (kept, _) in self.trained.counts.items() if not kept)

    @property
    def metrics(self) -> Mapping[str, Any]:
        """What was measured at the end of the fit, e.g. ``test/accuracy``."""
        return self.trained.metrics


def levels(recipe: Recipe, training: Training, memory: Memory | None = None) -> Iterator[Level]:
    """Run a recipe, level by level. With a memory that outlives the process, finished levels are not trained again."""
    chain = stages(recipe, training.clock)
    recipe.allocation.check(training.prunable)
    starts = {stage.start for stage in chain if isinstance(stage, Sparse) and stage.start.step > 0}
    loop = Loop(training, memory or Recent(), tuple(starts))
    for index, (target, stage) in enumerate(zip(recipe.schedule.targets, chain, strict=True)):
        yield Level(index, target, stage, loop.result(stage))
