"""The progress of a stage in training, in one file of the store that is replaced at times and removed at the end.

It says which stage it is of, and has a digest over all that is in it: names, steps, history and the bytes of every tensor.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from torch import Tensor

from ltb.common import files
from ltb.common.errors import Damaged
from ltb.core import tensors
from ltb.core.contracts import Progress
from ltb.core.points import Point
from ltb.store.finite import as_numbers, as_texts
from ltb.store.ticket import read_tensors, under, write_tensors

KIND = "ltb.progress"
log = logging.getLogger(__name__)


class CheckpointFile:
    """A file at `path` for the progress of the stage of a key, written at most every `seconds` by the holder of its lock."""

    def __init__(self, path: Path, stage: str, seconds: float) -> None:
        self._path, self._stage, self._seconds, self._last = path, stage, seconds, time.monotonic()

    def load(self) -> Progress | None:
        """Return the progress that was kept. A file that is not what was written is named, renamed, and not used."""
        if not files.there(self._path):
            return None
        try:
            return self._read()
        except Damaged as error:
            log.warning(f"{error}; it is now {self._set_aside().name}, and the stage is trained from its beginning")
            return None

    def _read(self) -> Progress:
        if not self._path.is_file():
            raise Damaged(f"{self._path} is damaged: it is not a regular file")
        contents, metadata = read_tensors(self._path, KIND)
        written = metadata.pop("digest", None)
        if written != _digest(metadata, contents):
            raise Damaged(f"{self._path} is damaged: its digest is not the one that was recorded when it was written")
        if metadata["stage"] != self._stage:
            raise Damaged(
                f"{self._path} is damaged: it is of stage {metadata['stage']}, not of the one that it is named by"
            )
        snapshots = {step: _point(f"snapshot/{step}/", contents, step) for step in metadata["snapshots"]}
        point, best = _point("", contents, metadata["step"]), _point("best/", contents, metadata["best_step"])
        history = [as_numbers(row) for row in metadata["history"]]
        stands = (under(f"{kind}/", contents) for kind in ("mask", "sum", "state"))
        return Progress(point, history, best, snapshots, metadata["seconds"], *stands)

    def _set_aside(self) -> Path:
        names = (self._path.with_suffix(f".damaged-{number}") for number in count(1))
        name = next(name for name in names if not files.there(name))
        os.rename(self._path, name)
        return name

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
        for prefix, named in (("mask/", progress.masks), ("sum/", progress.sums), ("state/", progress.state)):
            contents |= {f"{prefix}{name}": tensor.cpu() for name, tensor in named.items()}
        metadata = {
            "stage": self._stage,
            "step": progress.point.step,
            "history": as_texts(progress.history),
            "best_step": progress.best.step,
            "snapshots": list(progress.snapshots),
            "seconds": progress.seconds,
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".writing")
        write_tensors(temporary, KIND, contents, {**metadata, "digest": _digest(metadata, contents)})
        files.share(temporary)
        files.flush(temporary)
        os.replace(temporary, self._path)

    def remove(self) -> None:
        """Remove the progress: the stage is finished."""
        for path in (self._path, self._path.with_suffix(".writing")):
            path.unlink(missing_ok=True)


def _digest(metadata: Mapping[str, Any], contents: Mapping[str, Tensor]) -> str:
    told = {name: value for name, value in metadata.items() if name not in ("format", "kind")}
    return hashlib.sha256(f"{json.dumps(told)}\n{tensors.digest(contents)}".encode()).hexdigest()


def _contents(prefix: str, point: Point) -> dict[str, Tensor]:
    found = {f"{prefix}weight/{name}": tensor for name, tensor in point.weights.items()}
    return found | {f"{prefix}optimizer/{name}": tensor for name, tensor in (point.optimizer or {}).items()}


def _point(prefix: str, contents: Mapping[str, Tensor], step: int) -> Point:
    return Point(under(f"{prefix}weight/", contents), step, under(f"{prefix}optimizer/", contents))
