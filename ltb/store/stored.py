"""Results on disk: written as the files of a stage, and read when they are asked for.

A ledger is assembled from metadata alone, without a tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from ltb.core.masks import Masks
from ltb.core.points import Point
from ltb.core.results import Measurement, Result, Trained
from ltb.store.stage_files import EARLY_STOP, MEASURED, OPTIMIZER, TICKET, TRAINED, check
from ltb.store.ticket import Ticket, load_point, read_tensors, save_point, write_tensors

STATE = "ltb.optimizer"  # the kinds of two files
TENSORS = "ltb.measured"


def write(result: Trained | Measurement, key: str, folder: Path, *, optimizer: bool) -> None:
    """Write a result's tensors into the folder of stage `key`; the optimizer's state only where asked."""
    if isinstance(result, Measurement):
        if result.tensors:
            write_tensors(folder / MEASURED, TENSORS, result.tensors, {})
        return
    # No names in them: which of two runs is first, and how it names its settings, must not show in the bytes.
    Ticket(result.masks, result.origin, {"stage": key}).save(folder / TICKET)
    save_point(result.point, folder / TRAINED)
    if result.best is not None:
        save_point(result.best, folder / EARLY_STOP)
    if optimizer and result.point.optimizer is not None:
        write_tensors(folder / OPTIMIZER, STATE, result.point.optimizer, {"step": result.point.step})


def described(result: Trained | Measurement) -> dict[str, Any]:
    """Return the metadata of a result."""
    if isinstance(result, Measurement):
        return {"values": dict(result.values)}
    return {
        "start": result.start,
        "stop": result.stop,
        "counts": result.counts,
        "early_stop_step": result.stop if result.best is None else result.best.step,
        "history": [dict(row) for row in result.history],
    }


def read(folder: Path, metadata: Mapping[str, Any], again: Callable[[], Any]) -> Any:
    """Return the result of a finished stage; `again` computes the stage once more, for tensors that were not kept."""
    if "values" not in metadata["result"]:
        return Stored(folder, metadata, again)
    return StoredMeasurement(folder, metadata, again)


class StoredMeasurement:
    """A `Measurement` whose tensors are read, or computed again where they were not kept, at first use."""

    def __init__(self, folder: Path, metadata: Mapping[str, Any], again: Callable[[], Measurement]) -> None:
        self._folder, self._metadata, self._compute = folder, metadata, again
        self.values: Mapping[str, Any] = metadata["result"]["values"]
        self.seconds: float = metadata["seconds"]

    @cached_property
    def tensors(self) -> Mapping[str, Tensor]:
        """The measure's tensors by name."""
        hashes = self._metadata["sha256"]
        if MEASURED not in hashes:
            return {}
        if MEASURED not in self._metadata["kept"]:
            return self._compute().tensors
        return read_tensors(check(self._folder, MEASURED, hashes[MEASURED]), TENSORS)[0]


class Stored:
    """A `Result` whose tensors are read, and checked against their hashes, at first use."""

    def __init__(self, folder: Path, metadata: Mapping[str, Any], again: Callable[[], Result]) -> None:
        self._folder, self._metadata, self._compute = folder, metadata, again
        self._result: Mapping[str, Any] = metadata["result"]

    def _file(self, name: str) -> Path | None:
        kept = name in self._metadata["kept"]
        return check(self._folder, name, self._metadata["sha256"][name]) if kept else None

    @cached_property
    def _again(self) -> Result:
        return self._compute()

    @cached_property
    def _ticket(self) -> Ticket | None:
        path = self._file(TICKET)
        return Ticket.load(path) if path else None

    @cached_property
    def masks(self) -> Masks:
        return self._ticket.masks if self._ticket else self._again.masks

    @cached_property
    def origin(self) -> Point:
        return self._ticket.origin if self._ticket else self._again.origin

    @cached_property
    def point(self) -> Point:
        path = self._file(TRAINED)
        return load_point(path) if path else self._again.point

    @cached_property
    def resumable(self) -> Point:
        """The point that it ended at, with the optimizer's state."""
        path = self._file(OPTIMIZER)
        if path is None:
            return self._again.resumable
        return Point(self.point.weights, self.stop, read_tensors(path, STATE)[0])

    def at(self, step: int) -> Point:
        """Return the point at the end or at the early-stop step."""
        if step == self.stop:
            return self.point
        path = self._file(EARLY_STOP) if step == self._result["early_stop_step"] else None
        return load_point(path) if path else self._again.at(step)

    @property
    def history(self) -> Sequence[Mapping[str, float]]:
        return self._result["history"]

    @property
    def seconds(self) -> float:
        return self._metadata["seconds"]

    @property
    def counts(self) -> Mapping[str, tuple[int, int]]:
        """For each prunable parameter how many weights are kept, and how many there are."""
        return {name: (kept, total) for name, (kept, total) in self._result["counts"].items()}

    @property
    def start(self) -> int:
        """The iteration that the fit began at."""
        return self._result["start"]

    @property
    def stop(self) -> int:
        """The iteration that it ended at."""
        return self._result["stop"]
