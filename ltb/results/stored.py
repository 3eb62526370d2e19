"""A finished stage on disk, read when it is asked for: a ledger is assembled from metadata alone, without a tensor."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ltb.core.errors import Damaged
from ltb.core.levels import Result
from ltb.core.masks import Masks
from ltb.core.rewind import Point
from ltb.results.keys import VERSION
from ltb.results.ticket import Ticket, load_point

TICKET, TRAINED, STAGE = "ticket.safetensors", "trained.safetensors", "stage.json"
FIELDS = ("key", "kind", "parents", "sha256", "kept", "metrics", "history", "seconds", "counts", "start", "stop")


def read_about(folder: Path) -> dict[str, Any]:
    """The metadata of a stage. Raises Damaged naming the file when it is not what this version of ltb writes."""
    path = folder / STAGE
    try:
        about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = about["version"]
        missing = [name for name in FIELDS if name not in about] if version == VERSION else []
    except (OSError, ValueError, KeyError, TypeError):
        raise Damaged(f"{path} is damaged") from None
    if version != VERSION:
        raise Damaged(f"{path} has version {version}; this version of ltb reads version {VERSION}")
    if missing:
        raise Damaged(f"{path} is damaged: it lacks {', '.join(missing)}")
    return about


def check(folder: Path, name: str, expected: str) -> Path:
    """The file `name` of a stage, once its SHA-256 is found to be the expected one. Raises Damaged naming it."""
    path = folder / name
    if not path.exists():
        raise Damaged(f"{path} is missing")
    if sha256(path) != expected:
        raise Damaged(f"{path} is damaged: its SHA-256 is not the one that was recorded when it was written")
    return path


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
