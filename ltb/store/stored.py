"""A finished stage on disk, read when it is asked for: a ledger is assembled from metadata alone, without a tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ltb.core.levels import Result
from ltb.core.masks import Masks
from ltb.core.rewind import Point
from ltb.store.stage_files import TICKET, TRAINED, check, read_about
from ltb.store.ticket import Ticket, load_point


class Stored:
    """A `Result` whose tensors are read, and checked against their hashes, at first use.

    `again` computes the stage once more, for tensors that were not kept.
    """

    def __init__(self, folder: Path, again: Callable[[], Result]) -> None:
        self._folder, self._about, self._compute = folder, read_about(folder), again

    def _file(self, name: str) -> Path | None:
        return check(self._folder, name, self._about["sha256"][name]) if name in self._about["kept"] else None

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

    @property
    def metrics(self) -> Mapping[str, Any]:
        return self._about["metrics"]

    @property
    def history(self) -> Sequence[Mapping[str, float]]:
        return self._about["history"]

    @property
    def seconds(self) -> float:
        return self._about["seconds"]

    @property
    def counts(self) -> Mapping[str, tuple[int, int]]:
        return {name: (kept, total) for name, (kept, total) in self._about["counts"].items()}

    @property
    def start(self) -> int:
        return self._about["start"]

    @property
    def stop(self) -> int:
        return self._about["stop"]
