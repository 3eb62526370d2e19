"""The progress of a stage in training, in one file of the store that is replaced at times and removed at the end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from ltb.core.contracts import Progress
from ltb.core.errors import Damaged
from ltb.core.files import flush
from ltb.core.points import Point
from ltb.store.ticket import read_tensors, under, write_tensors

KIND = "ltb.progress"


class CheckpointFile:
    """A file at `path` for one fit's progress, written at most every `seconds`, by the holder of the stage's lock."""

    def __init__(self, path: Path, seconds: float) -> None:
        self._path, self._seconds, self._last = path, seconds, time.monotonic()

    def load(self) -> Progress | None:
        """Return the progress that was kept. Raises Damaged naming the file when it is not what was written."""
        if not self._path.exists():
            return None
        contents, about = read_tensors(self._path, KIND)
        try:
            snapshots = {step: _point(f"snapshot/{step}/", contents, step) for step in about["snapshots"]}
            point, best = _point("", contents, about["step"]), _point("best/", contents, about["best_step"])
            return Progress(point, about["history"], best, snapshots, about["seconds"])
        except KeyError as error:
            raise Damaged(f"{self._path} is damaged: {error} is missing") from None

    def offer(self, progress: Callable[[], Progress]) -> None:
        """Write the progress if the last write is long enough ago."""
        if time.monotonic() - self._last < self._seconds:
            return
        self._write(progress())
        self._last = time.monotonic()

    def _write(self, progress: Progress) -> None:
        contents = _contents("", progress.point) | _contents("best/", progress.best)
        for step, point in progress.snapshots.items():
            contents |= _contents(f"snapshot/{step}/", point)
        about = {
            "step": progress.point.step,
            "history": [dict(row) for row in progress.history],
            "best_step": progress.best.step,
            "snapshots": list(progress.snapshots),
            "seconds": progress.seconds,
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".writing")
        write_tensors(temporary, KIND, contents, about)
        flush(temporary)
        os.replace(temporary, self._path)

    def remove(self) -> None:
        """Remove the progress: the stage is finished."""
        for path in (self._path, self._path.with_suffix(".writing")):
            path.unlink(missing_ok=True)


def _contents(prefix: str, point: Point) -> dict[str, Tensor]:
    found = {f"{prefix}weight/{name}": tensor for name, tensor in point.weights.items()}
    return found | {f"{prefix}optimizer/{name}": tensor for name, tensor in (point.optimizer or {}).items()}


def _point(prefix: str, contents: Mapping[str, Tensor], step: int) -> Point:
    return Point(under(f"{prefix}weight/", contents), step, under(f"{prefix}optimizer/", contents))
