"""Contracts between the rooms: what the loop asks of whatever trains, remembers, measures and watches, and of the user's module.

The module's contract: a LightningModule with

- ``network``, an nn.Module that holds all of the module's state: masks and tickets name its parameters without a prefix. A module
  whose state is elsewhere too is itself the network (`network_of` is the one rule for which network is meant);
- ``loss(batch)``, a method that returns the scalar that training minimises, a mean over the examples of the batch, penalties
  apart: with it a network is scored by gradients and measured; without it it trains, and is pruned by what its weights tell;
- ``forward(x)``, which returns class scores, (batch, classes), for x of a batch (x, y): what the measures of classifiers call;
- ``clock``, set to the run's `Clock` where the module has an attribute of that name.

No other name means anything to ltb.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor, nn

from ltb.common.step import Clock
from ltb.core.points import Fit, Point
from ltb.core.tensors import Weights

if TYPE_CHECKING:
    from ltb.core.execution import Execution
    from ltb.core.masks import Masks
    from ltb.core.measure import Measure
    from ltb.core.recipe import Recipe
    from ltb.core.results import Measurement, Result, Trained
    from ltb.core.stage import Stage


def network_of(module: nn.Module) -> nn.Module:
    """Return what masks name the parameters of: the module's `network` where that holds all of its state, else the module."""
    network = getattr(module, "network", None)
    if isinstance(network, nn.Module) and len(network.state_dict()) == len(module.state_dict()):
        return network
    return module


def loss_of(module: Any, wanted_by: str) -> Callable[[Any], Tensor]:
    """Return the module's `loss`. Raises ValueError for one without it; `wanted_by` names the setting that needs it."""
    # A method of its class: `self.loss = nn.MSELoss()` is a habit, and takes no batch.
    if not callable(getattr(type(module), "loss", None)):
        raise ValueError(
            f"{wanted_by} needs the loss of a batch, and {type(module).__name__} has no method loss(batch) that returns it"
        )
    return module.loss  # type: ignore[no-any-return]


@dataclass(frozen=True, eq=False)
class Progress:
    """A fit under way: enough to go on from there to the same bytes.

    `best` is the point of the history's row that is best so far, or, without a history, `point`; `snapshots` are the points that
    were asked for and passed. `masks` and `sums` are those of a fit whose masks change, `state` is what its body goes on from.
    """

    point: Point
    history: Sequence[Mapping[str, float]]
    best: Point
    snapshots: Mapping[int, Point] = field(default_factory=dict)
    seconds: float = 0.0
    masks: Masks = field(default_factory=dict)
    sums: Weights = field(default_factory=dict)
    state: Weights = field(default_factory=dict)


class Checkpoints(Protocol):
    """A place for the progress of one fit until it is finished."""

    def load(self) -> Progress | None:
        """Return the progress that was kept last, if any."""

    def offer(self, progress: Callable[[], Progress]) -> None:
        """Keep the progress if it is time to: it is made only then."""


class Listener:
    """An observer of a computation; it may be left out without changing a number. Every method does nothing by default."""

    def on_stage(self, stage: Stage) -> None:
        """`stage` was not known, and its computation begins."""

    def on_fit(self, start: int, stop: int) -> None:
        """A fit from iteration `start` to `stop` begins."""

    def on_step(self, count: int) -> None:
        """So many iterations more are done."""

    def on_row(self, row: Mapping[str, float]) -> None:
        """The fit that goes on was evaluated."""


SILENT = Listener()


class Bench(Protocol):
    """The bench that a measure finds beside finished stages: one task and one seed, at which nothing is trained.

    A finished stage's point says itself what its network computes, also where an execution had something else than 0 stand at
    pruned places: it is measured under no masks, ``{}``.
    """

    seed: int
    clock: Clock
    prunable: tuple[str, ...]

    def initial(self, purpose: str = "init") -> Weights:
        """Return the network's initialisation, a function of (seed, purpose)."""

    def module(self, point: Point, masks: Masks, execution: Execution | None = None) -> Any:
        """Return the module with a point's masked weights, in evaluation mode, on the device that its batches come on."""

    def batches(self, split: str) -> Iterable[Any]:
        """Return the minibatches of ``train``, ``val`` or ``test``: each example once, in a fixed order, not augmented."""

    def evaluate(
        self, point: Point, masks: Masks, splits: Sequence[str], execution: Execution | None = None
    ) -> dict[str, float]:
        """Return what the module logs in an evaluation on each split, by names such as ``test/accuracy``."""

    def step_flops(self) -> int:
        """Return the FLOPs of one training step of the dense network, forward and backward; a multiply-add counts as two."""

    def probe(self, probe: Any, weights: Weights, masks: Masks) -> Mapping[str, Weights]:
        """Return what a probe gathers from the network with these weights under these masks."""


class Training(Bench, Protocol):
    """The one place where anything is trained, as the loop sees it: one task and one seed."""

    judge: tuple[str, str]

    def check_one_step(self, recipe: Recipe) -> None:
        """Take one step of what the recipe asks, thrown away, so that what cannot work fails before it costs."""

    def fit(
        self,
        fit: Fit,
        *,
        snapshots: Sequence[int] = (),
        evaluate: bool = True,
        checkpoints: Checkpoints | None = None,
        listener: Listener = SILENT,
    ) -> Trained:
        """Train `fit.origin` under `fit.masks` to `fit.stop`; keep the points passed at `snapshots`; `evaluate` on the way.

        With `checkpoints` it goes on from the progress that was kept.
        """

    def measure(self, measure: Measure, of: Sequence[Result]) -> Measurement:
        """Return what `measure` says of finished stages. Trains nothing."""


class Memory(Protocol):
    """A place for finished stages, by what they are."""

    def has(self, stage: Stage) -> bool:
        """Return whether the stage is finished."""

    def get(self, stage: Stage, again: Callable[[], Any]) -> Any | None:
        """Return a finished stage's result, None for one that is not; `again` computes it once more where tensors were not kept."""

    def claim(self, stage: Stage) -> AbstractContextManager[Checkpoints | None]:
        """Return a lock on the computation of a stage, held by one process at a time; it gives the place for its progress."""

    def put(self, stage: Stage, result: Any) -> Any:
        """Keep a result; return it as `get` would."""

    def nearest(self, stage: Stage, step: int) -> Any | None:
        """Return the result of the finished stage of `stage`'s kind that stopped last before `step`, on the same trajectory."""
