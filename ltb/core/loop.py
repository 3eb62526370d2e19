"""The loop: levels of a recipe, each computed from the stages that it grew from. Every method of the field is these lines.

source  = what is pruned          (the previous level | the dense network | the start)
scores  = criterion(source, evidence)
masks   = allocation(scores, masks, target sparsity, evidence)
origin  = rewind(start, source)
trained = fit(origin × masks)
numbers = measure(trained)

What stands between the equal signs is `ltb.core.stages`; here they are asked of a memory, or computed, one after another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from ltb.common.errors import NotKept
from ltb.core.cache import Cache
from ltb.core.chain import asked, stages, starts
from ltb.core.contracts import SILENT, Checkpoints, Listener, Memory, Training
from ltb.core.measure import Evaluate, Measure
from ltb.core.pruning import parts
from ltb.core.recipe import Recipe
from ltb.core.results import Number, Result, divergence
from ltb.core.stage import Stage, missing
from ltb.core.stages import Measured, Start


class Recent:
    """A memory for one run without a disk."""

    def __init__(self) -> None:
        self._cache: Cache[Stage] = Cache()

    def has(self, stage: Stage) -> bool:
        return self._cache.get(stage) is not None

    def get(self, stage: Stage, again: Callable[[], Any]) -> Any | None:
        return self._cache.get(stage)

    def claim(self, stage: Stage) -> AbstractContextManager[Checkpoints | None]:
        return nullcontext()

    def put(self, stage: Stage, result: Any) -> Any:
        self._cache.put(stage, stage, result)
        return result

    def nearest(self, stage: Stage, step: int) -> Any | None:
        alike = (result for other, result in self._cache.lasting.items() if _of_trajectory(other, stage))
        return max((one for one in alike if one.stop < step), key=lambda result: result.stop, default=None)


def _of_trajectory(other: Stage, stage: Stage) -> bool:
    """Return whether two stages are alike but for their step."""
    return type(other) is type(stage) and replace(other, step=stage.step) == stage  # type: ignore[call-arg,attr-defined]


@dataclass(frozen=True)
class Loop:
    """An executor: stages from memory, or computed by one training, their parents first.

    passing: the starts that a dense fit is to leave in the memory on its way.
    trains:  whether it trains what is not there; one that does not raises NotKept.
    """

    training: Training
    memory: Memory
    passing: tuple[Start, ...] = ()
    listener: Listener = field(default_factory=Listener)
    trains: bool = True

    def result(self, stage: Stage) -> Any:
        """Return the result of a stage."""
        if not stage.kept:
            return stage.compute(self, None)  # from nothing, in no time
        found = self.memory.get(stage, lambda: self._again(stage))
        if found is not None:
            return found
        if stage.trains and not self.trains:
            raise NotKept(f"{stage.label} is not in the store, and nothing is trained here")
        for parent in missing([stage], self.memory.has, walked=False)[:-1]:
            self.result(parent)
        with self.memory.claim(stage) as checkpoints:
            found = self.memory.get(stage, lambda: self._again(stage))  # another process may have finished it meanwhile
            if found is None:
                self.listener.on_stage(stage)
                found = self.memory.put(stage, stage.compute(self, checkpoints))
        return found

    def keep(self, stage: Stage, result: Any) -> None:
        """Put a result that came up on the way of another, unless it is known."""
        with self.memory.claim(stage):
            if not self.memory.has(stage):
                self.memory.put(stage, result)

    def _again(self, stage: Stage) -> Any:
        if stage.trains and not self.trains:
            raise NotKept("its weights were not kept, and nothing is trained here")
        # Silent: whoever listens was told of the stage that asked for it.
        with self.memory.claim(stage) as checkpoints:
            return stage.compute(replace(self, listener=SILENT), checkpoints)


@dataclass(frozen=True, eq=False)
class Level:
    """One turn of the loop: its index (0 is the dense network), the target sparsity, what its stage left, and its numbers.

    metrics:  what the module logged in an evaluation at the end and at the early-stop step, e.g. ``test/accuracy``, and what
              measures say whose numbers are the ledger's.
    measured: for each further measure by name its quantities.
    joint:    likewise of the measures that compare all levels; the last level has them.
    """

    index: int
    target: float
    stage: Stage
    trained: Result
    metrics: Mapping[str, Any] = field(default_factory=dict)
    measured: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    joint: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def remaining(self) -> int:
        """Return how many of the prunable weights are kept."""
        return sum(kept for kept, _ in self.trained.counts.values())

    @property
    def prunable(self) -> int:
        """Return how many weights are prunable."""
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
    def divergence(self) -> Mapping[str, Number]:
        """The numbers that say that the level diverged, by name: see `diverged`."""
        return divergence(self.trained.history, self.metrics)

    @property
    def diverged(self) -> bool:
        """Return whether the training diverged: NaN or infinite in the last row of its history (train/loss, val/…) or among the
        metrics at its end (val/…, test/…). No tensor is read for it.
        """
        return bool(self.divergence)


def levels(
    recipe: Recipe,
    training: Training,
    memory: Memory | None = None,
    *,
    measures: Sequence[Measure] = (),
    listener: Listener = SILENT,
) -> Iterator[Level]:
    """Run a recipe, level by level; each is evaluated, and asked the further `measures`, all together those that are joint.

    With a memory that outlives the process, finished levels are neither trained nor measured again. Before anything is trained
    one step of what the recipe asks is taken, and thrown away.
    """
    chain = stages(recipe, training.clock)
    recipe.check_allocation(parts(recipe.allocation, training), training.clock)
    memory = memory or Recent()
    if missing(chain, memory.has):
        training.check_one_step(recipe)
    evaluate = Evaluate(metric=training.judge[0], direction=training.judge[1])  # type: ignore[arg-type]
    wanted = [(measure, asked(measure, chain, training.clock)) for measure in measures]
    passing = starts([*chain, *(stage for _, of in wanted for stage in of.values())])
    loop = Loop(training, memory, passing, listener)
    for index, (target, stage) in enumerate(zip(recipe.schedule.targets, chain, strict=True)):
        trained, found = loop.result(stage), loop.result(Measured((stage,), evaluate)).values
        metrics = dict(evaluate.judged(found, trained.history))  # as stores from before `judged` did not
        measured = {measure.label: loop.result(of[index]).values for measure, of in wanted if index in of}
        for measure in measures:
            metrics |= measured.pop(measure.label, {}) if measure.ledger else {}
        last = index == len(chain) - 1
        joint = {measure.label: loop.result(of[None]).values for measure, of in wanted if last and None in of}
        yield Level(index, target, stage, trained, metrics, measured, joint)
