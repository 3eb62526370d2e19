"""Results: what finished stages leave. A `Trained` is the result of a fit, a `Measurement` that of a measure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from ltb.core.masks import Masks
from ltb.core.points import Point

Number = int | float | bool
AT_EARLY_STOP = "_at_early_stop"  # the end of the name of a metric at the early-stop step


class Result(Protocol):
    """A trained network as others read it: a `Trained`, or one that a memory reads from elsewhere when it is asked for."""

    @property
    def masks(self) -> Masks: ...
    @property
    def origin(self) -> Point:
        """The masked point that the fit began from."""

    @property
    def point(self) -> Point:
        """The point that it ended at; its optimizer state need not be there."""

    @property
    def resumable(self) -> Point:
        """The point that it ended at, with the optimizer's state."""

    @property
    def history(self) -> Sequence[Mapping[str, float]]:
        """A row an evaluation: step, epoch, ``train/loss``, what was logged under ``val/``, seconds."""

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

    def at(self, step: int) -> Point:
        """The point at the end or at the early-stop step. Raises ValueError for another."""


@dataclass(frozen=True, eq=False)
class Trained:
    """The result of a fit: the masks, where it began, the point it ended at, and what was seen on the way.

    `best` is the point at the early-stop step, None where nothing was evaluated or the end is it; `snapshots` are points that
    were asked for and passed.
    """

    masks: Masks
    origin: Point
    point: Point
    history: Sequence[Mapping[str, float]] = ()
    seconds: float = 0.0
    best: Point | None = None
    snapshots: Mapping[int, Point] = field(default_factory=dict)

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

    @property
    def resumable(self) -> Point:
        """The point that it ended at, with the optimizer's state."""
        return self.point

    def at(self, step: int) -> Point:
        """The point at the end or at the early-stop step."""
        for point in (self.point, self.best):
            if point is not None and point.step == step:
                return point
        raise ValueError(
            f"the weights at step {step} were not kept: those at the end and at the early-stop step, as the run judges it, are"
        )


@dataclass(frozen=True, eq=False)
class Measurement:
    """The result of a measure: a number for each quantity, and tensors where it has any.

    `values` maps names such as ``test/accuracy`` or ``iou/fc1.weight`` to numbers; None is a number that does not exist.
    """

    values: Mapping[str, Number | None]
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class Spent:
    """What a stage took: iterations of training to its `result`, and scoring, in such iterations.

    The result is None where all weights are computed with: of the dense network, or where what is pruned stands.
    """

    result: Result | None
    iterations: int
    scoring: int = 0


def early_stop_step(history: Sequence[Mapping[str, float]], judge: tuple[str, str]) -> int | None:
    """Return the step of the best row: the first minimum of ``val/loss``, else the first best of `judge` = (metric, direction).

    None for an empty history. It is read afterwards: training runs to its end regardless.

    >>> early_stop_step([{"step": 1, "val/loss": 0.5}, {"step": 2, "val/loss": 0.4}, {"step": 3, "val/loss": 0.4}], ("x", "max"))
    2
    """
    best: Mapping[str, Any] | None = None
    for row in history:
        if best is None or better(row, best, judge):
            best = row
    return None if best is None else int(best["step"])


def better(row: Mapping[str, float], best: Mapping[str, float], judge: tuple[str, str]) -> bool:
    """Return whether a row of a history is better than the best before it; NaN never is, and any number is better than NaN.

    Where the masks change during the fit, a row of lower density is: only networks as sparse as the last one stand for it.
    """
    density = row.get("density"), best.get("density")
    if density[0] is not None and density[1] is not None and density[0] != density[1]:
        return density[0] < density[1]
    name, direction = ("loss", "min") if "val/loss" in row else judge
    value, before = row.get(f"val/{name}"), best.get(f"val/{name}")
    if value is None or before is None or value != value:
        return False
    return before != before or (value < before if direction == "min" else value > before)


def divergence(history: Sequence[Mapping[str, float]], metrics: Mapping[str, Number | None]) -> dict[str, Number]:
    """Return the numbers that say that a training diverged, by name: those at its end that are NaN or infinite.

    At the end are the `metrics` (``val/…``, ``test/…``) and the last row of the history (``train/loss``, ``val/…``); metrics at the
    early-stop step are not. Empty where the training did not diverge. Nothing but numbers is looked at.

    >>> divergence([{"step": 8, "train/loss": 0.5}], {"val/loss": math.nan, "test/accuracy": 0.1})
    {'val/loss': nan}
    """
    last = {name: value for name, value in (history[-1] if history else {}).items() if not name.startswith("test/")}
    found: dict[str, Number] = {}
    for name, value in (*metrics.items(), *last.items()):
        counts = name == "train/loss" or name.startswith(("val/", "test/"))
        if counts and not name.endswith(AT_EARLY_STOP) and value is not None and not math.isfinite(value):
            found.setdefault(name, value)
    return found


def unjudged(history: Sequence[Mapping[str, float]], judge: tuple[str, str]) -> bool:
    """Return whether a history has rows, all judged (see `early_stop_step`) by a NaN or an infinity: then none is the best."""
    values = [row.get("val/loss", row.get(f"val/{judge[0]}")) for row in history]
    return bool(values) and all(value is not None and not math.isfinite(value) for value in values)
