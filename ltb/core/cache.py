"""Results held in memory, so that a level's source and start are not read, or made, again and again."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Generic, TypeVar

from ltb.core.stage import Stage

Key = TypeVar("Key", bound=Hashable)


class Cache(Generic[Key]):
    """Results by key: lasting those of stages that others grow from again and again and those of measures, else the latest few."""

    LATEST = 3  # a level, its source, and one to spare

    def __init__(self) -> None:
        self.lasting: dict[Key, Any] = {}
        self._latest: dict[Key, Any] = {}

    def get(self, key: Key) -> Any | None:
        """Return the result, None where it is not held."""
        return self.lasting.get(key, self._latest.get(key))

    def put(self, key: Key, stage: Stage, result: Any) -> None:
        """Hold the result of `stage` under `key`."""
        if stage.lasting:
            self.lasting[key] = result
            return
        self._latest[key] = result
        for old in list(self._latest)[: -self.LATEST]:
            del self._latest[old]
