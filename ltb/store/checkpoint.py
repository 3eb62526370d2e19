"""The progress of a stage that is being trained, in one file of the store that is replaced now and then and removed at the end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from ltb.core.errors import Damaged
from ltb.core.files import flush
from ltb.core.levels import Progress
from ltb.core.rewind import Point
from ltb.store.ticket import read_tensors, under, write_tensors

KIND = "ltb.progress"


class CheckpointFile:
    """Keeps the progress of one fit at `path`, at most once every `seconds`. Its user holds the stage's lock."""

    def __init__(self, path: Path, seconds: float) -> None:
        self._path, self._seconds, self._last = path, seconds, time.monotonic()

    def load(self) -> Progress | None:
        """The progress that was kept. Raises Damaged naming the file when it is not what was written."""
        if not self._path.exists():
            return None
        contents, about = read_tensors(self._path, KIND)
        try:
            passed = {
                step: Point(
                    under(f"passed/{step}/weight/", contents), step, under(f"passed/{step}/optimizer/", contents)
                )
                for step in about["passed"]
            }
            point = Point(under("weight/", contents), about["step"], under("optimizer/", contents))
            best = under("best/", contents)
            return Progress(point, about["history"], about["best_step"], best, passed, about["seconds"])
        except KeyError as error:
            raise Damaged(f"{self._path} is damaged: {error} is missing") from None

    def offer(self, progress: Callable[[], Progress]) -> None:
        """Write the progress if the last time is long enough ago."""
        if time.monotonic() - self._last < self._seconds:
            return
        self._write(progress())
        self._last = time.monotonic()

    def _write(self, progress: Progress) -> None:
        contents = {f"weight/{name}": tensor for name, tensor in progress.point.weights.items()}
        contents |= {f"optimizer/{name}": tensor for name, tensor in (progress.point.optimizer or {}).items()}
        contents |= {f"best/{name}": tensor for name, tensor in progress.best_weights.items()}
        for step, point in progress.passed.items():
            contents |= {f"passed/{step}/weight/{name}": tensor for name, tensor in point.weights.items()}
            contents |= {f"passed/{step}/optimizer/{name}": tensor for name, tensor in (point.optimizer or {}).items()}
        about = {
            "step": progress.point.step,
            "history": [dict(row) for row in progress.history],
            "best_step": progress.best_step,
            "passed": list(progress.passed),
            "seconds": progress.seconds,
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".writing")
        write_tensors(temporary, KIND, contents, about)
        flush(temporary)
        os.replace(temporary, self._path)

    def remove(self) -> None:
        """Forget the progress: the stage is finished."""
        for path in (self._path, self._path.with_suffix(".writing")):
            path.unlink(missing_ok=True)
