"""Stages: each is a computation that is finished once and kept, named by what it grew from; and what a set of them comes to."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from ltb.common.step import Clock
from ltb.core.contracts import Checkpoints
from ltb.core.results import Measurement, Trained

if TYPE_CHECKING:
    from ltb.core.loop import Loop

Cost = Callable[[Any], float]  # of a probe, in steps of training


def probe_steps(probe: Any) -> float:
    """Return what a call of a probe costs, in steps of training, as it says itself; 0 for None, and for one that does not say."""
    return getattr(probe, "steps", 0)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Stage(ABC):
    """One computation that is finished once and kept.

    environment: what beside the fields decides its numbers, by the names that a store's keys know: ``training`` (task, seed,
                 numerics), ``machine``. A stage whose parents cover it names nothing.
    keeps:       further files that are kept where a store keeps all: ``optimizer``, for stages that go on from this one.
    trains:      whether computing it trains a network.
    lasting:     whether a run asks for it again and again, so that it is worth its memory.
    """

    environment: ClassVar[tuple[str, ...]] = ("training",)
    keeps: ClassVar[tuple[str, ...]] = ()
    trains: ClassVar[bool] = True

    @abstractmethod
    def compute(self, loop: Loop, checkpoints: Checkpoints | None) -> Trained | Measurement:
        """Return the stage's result, made from those of its parents (``loop.result``)."""

    @cached_property
    def parents(self) -> tuple[Stage, ...]:
        """The stages in its fields, which it grew from, in the order of the fields: those in tuples and in choices included."""
        return tuple(within(self))

    @property
    def walks(self) -> tuple[Stage, ...]:
        """The stages that it asks for in turn while it is computed, as far as it needs: how far is its result."""
        return ()

    @cached_property
    def open(self) -> bool:
        """Return whether what it costs, or where it ends, is the result of a stage that it grew from, or its own."""
        return any(parent.open for parent in self.parents)

    def ended(self, stop: int) -> Stage:
        """The stage with what follows from the iteration that its network ended at, which its key does not know."""
        return self

    @property
    def known_as(self) -> str | None:
        """The key, for a stage that is known by nothing else."""
        return None

    @property
    def kept(self) -> bool:
        """Return whether it is worth keeping: the initialisation is as quick to make as to read."""
        return True

    @property
    def lasting(self) -> bool:
        return not self.parents

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

    @property
    def stands(self) -> bool:
        """Whether what is pruned stands at other values than 0, so that its network computes as the dense one does."""
        return False

    @property
    def ticketed(self) -> Stage:
        """The stage whose ticket it is: itself, unless it goes on from a network that was trained from one."""
        return self

    @property
    def draw(self) -> int | None:
        """The number of the draw of that control, from 0; None where nothing is drawn."""
        return None

    def ends(self, clock: Clock) -> int:
        """The iteration of the clock that its network ends at; the first that it can be while that is `open`."""
        return clock.length

    def iterations(self, clock: Clock) -> int:
        """Return how many iterations of training it takes, its parents and what it `walks` apart; the most while it is `open`."""
        return 0

    def spares(self, other: Stage) -> int:
        """Return how many iterations of `other` are not trained where this stage is known."""
        return 0

    def scoring(self, clock: Clock, cost: Cost = probe_steps) -> int:
        """Return what choosing its masks costs, before and within its fit, in iterations of training, rounded up.

        `cost` is a probe's.
        """
        return 0

    def passes(self, other: Stage) -> bool:
        """Return whether computing it gives `other` on the way."""
        return False


def within(value: Any) -> Iterator[Stage]:
    """Yield the stages in a choice or a tuple, the outermost: what they grew from is theirs."""
    if isinstance(value, list | tuple):
        parts: Iterable[Any] = value
    elif dataclasses.is_dataclass(value):
        parts = [getattr(value, field.name) for field in dataclasses.fields(value)]
    else:
        return
    for part in parts:
        if isinstance(part, Stage):
            yield part
        else:
            yield from within(part)


def settled(stage: Stage, stop: Callable[[Stage], int | None]) -> Stage:
    """Return a stage with what it walks and its parents as their results have them, so that its costs are those that it has.

    `stop` gives the iteration that a finished stage ended at, None for one that is not; then it stays `open`. Costs are asked of
    what is returned; its key is that of `stage`.
    """
    if not stage.open:
        return stage
    grown: Stage = _settled_fields(stage, stop)
    if any(parent.open for parent in grown.parents) or (found := stop(stage)) is None:
        return grown
    return grown.ended(found)


def _settled_fields(value: Any, stop: Callable[[Stage], int | None]) -> Any:
    """A choice, a tuple or a stage with the stages in it settled."""

    def settle(part: Any) -> Any:
        return settled(part, stop) if isinstance(part, Stage) else _settled_fields(part, stop)

    if isinstance(value, list | tuple):
        settled_parts = [settle(part) for part in value]
        changed = any(new is not old for new, old in zip(settled_parts, value, strict=True))
        return type(value)(settled_parts) if changed else value
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    made = {name: new for name, part in fields.items() if (new := settle(part)) is not part}
    return dataclasses.replace(value, **made) if made else value


def costs(every: Iterable[Stage], clock: Clock, there: Iterable[Stage] = ()) -> list[int]:
    """Return how many iterations each stage trains where those before it, and those that are `there`, are known."""
    known, found = list(there), []
    for stage in every:
        found.append(stage.iterations(clock) - max((one.spares(stage) for one in known), default=0))
        known.append(stage)
    return found


def search_steps(stage: Stage, clock: Clock, cost: Cost = probe_steps) -> int:
    """Return the iterations spent to obtain the ticket that `stage` trains: all that it grew from, its own fit apart, and what
    scoring costs, its own included: `cost` is a probe's, `Training.cost` where that depends on the data. The most that it can be
    while the stage is `open`."""
    every = missing([stage], lambda _: False)
    return sum(other.scoring(clock, cost) for other in every) + sum(
        own for other, own in zip(every, costs(every, clock), strict=True) if other != stage
    )


def missing(
    wanted: Iterable[Stage], known: Callable[[Stage], bool], *, passed: bool = False, walked: bool = True
) -> list[Stage]:
    """Return the stages that must be computed to have all of `wanted`, parents first: what a run will cost, before it costs it.

    With those that stages walk, the most that they can come to, unless not `walked`.

    What another stage of the list gives on its way costs nothing and is left out, unless `passed`, as is what is not kept: the
    initialisation, and tickets that are drawn from others, for which those others are asked.
    """
    found: dict[Stage, None] = {}

    def visit(stage: Stage) -> None:
        if stage in found or (stage.kept and known(stage)):
            return
        for parent in (*(stage.walks if walked else ()), *stage.parents):
            if passed or not any(other.passes(parent) for other in found):
                visit(parent)
        if stage.kept:
            found[stage] = None

    for stage in wanted:
        visit(stage)
        if not stage.kept and not known(stage):
            found[stage] = None
    return list(found)
