"""A mirror of a run: what is logged of it, under the same names everywhere, whoever keeps it.

Training curves are train/… and val/… against train/step, which counts the steps trained in all and never goes back; each finished
level is level/… against level/sparsity, of which only curves are logged: what a level has beside them is in the ledger, and in the
summary as the last level has it. Nothing depends on a mirror: a run that is continued replays its finished levels.
"""

from __future__ import annotations

import logging
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ltb.records.schema import is_curve

log = logging.getLogger(__name__)


class Mirror(ABC):
    """One place where one run is logged. Every method but `log` may do nothing."""

    _base = 0  # train/step where the clock of the present level has its zero
    _step = 0  # the last train/step
    _level = 0

    @abstractmethod
    def log(self, values: Mapping[str, int | float], step: int) -> None:
        """Log numbers by name; `step` is train/step for an evaluation, and for a level its index."""

    def begin_level(self, level: int, start_step: int = 0) -> None:
        """Begin `level`, of which `history` is from here on; its fit begins at `start_step` of the training clock.

        train/step goes on from where it was: it counts the steps trained in all, while the clock rewinds.
        """
        self._level, self._base = level, self._step - start_step

    def history(self, row: Mapping[str, Any]) -> None:
        """Log one evaluation: `step` on the training clock, and names such as train/loss or val/accuracy."""
        self._step = max(self._step, self._base + int(row["step"]))
        values = {_slashed(key): value for key, value in row.items() if key not in ("step", "level")}
        self.log({**numbers(values), "train/step": self._step, "train/level": self._level}, self._step)

    def level(self, row: Mapping[str, Any]) -> None:
        """Log one finished level: the curves of its row of the ledger and of its measures, as level/<column>."""
        curves = {f"level/{key}": value for key, value in numbers(row).items() if is_curve(key)}
        self.log(curves, int(row.get("level", self._level)))

    def figure(self, path: str | Path) -> None:  # noqa: B027 (not every place takes images)
        """Log the curve so far as an image."""

    def artifact(self, paths: Sequence[str | Path]) -> None:  # noqa: B027
        """Log files and folders (tickets, the ledger)."""

    def finish(self, state: str, summary: Mapping[str, Any], error: str | None = None) -> None:  # noqa: B027
        """End the log with the run's summary. Call it in a `finally`."""

    @abstractmethod
    def hint(self) -> str:
        """Return one line: how to see this run."""


class Mirrors(Mirror):
    """Several mirrors as one. What fails in one of them is warned about once, and the run goes on: its ledger is complete."""

    def __init__(self, *each: Mirror) -> None:
        self._each = each
        self._failed: set[Mirror] = set()

    def _tell(self, do: Callable[[Mirror], object]) -> None:
        for one in self._each:
            try:
                do(one)
            except Exception as error:  # noqa: BLE001 (whatever it raises, the run is worth more)
                if one not in self._failed:
                    log.warning("%s failed (%s); the run goes on, its ledger is complete", type(one).__name__, error)
                self._failed.add(one)

    def begin_level(self, level: int, start_step: int = 0) -> None:
        self._tell(lambda one: one.begin_level(level, start_step))

    def history(self, row: Mapping[str, Any]) -> None:
        self._tell(lambda one: one.history(row))

    def level(self, row: Mapping[str, Any]) -> None:
        self._tell(lambda one: one.level(row))

    def log(self, values: Mapping[str, int | float], step: int) -> None:
        self._tell(lambda one: one.log(values, step))

    def figure(self, path: str | Path) -> None:
        self._tell(lambda one: one.figure(path))

    def artifact(self, paths: Sequence[str | Path]) -> None:
        self._tell(lambda one: one.artifact(paths))

    def finish(self, state: str, summary: Mapping[str, Any], error: str | None = None) -> None:
        self._tell(lambda one: one.finish(state, summary, error))

    def hint(self) -> str:
        return "\n".join(one.hint() for one in self._each)


def numbers(row: Mapping[str, Any]) -> dict[str, int | float]:
    """Return the numeric entries: truth values as 0 and 1; text, None and NaN left out."""
    return {
        key: int(value) if isinstance(value, bool) else value
        for key, value in row.items()
        if isinstance(value, int | float) and not math.isnan(value)
    }


def _slashed(key: str) -> str:
    """Return a column of history.csv as a name, which needs a prefix to have its axis: epoch → train/epoch."""
    return key if "/" in key else f"train/{key}"


def short(path: Path) -> str:
    """Return a path as the user would type it from here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
