"""Stage keys: what a trained network is, as a hash, derived from the configuration alone before any compute.

A key covers the kind of stage, its parents' keys, its own settings, and the settings of the training (task, seed, dataset
fingerprint, device type, precision). Nuisances such as paths, loggers and progress never reach it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ltb.core.stages import Dense, Sparse, Stage, Start
from ltb.core.step import Step
from ltb.store.stage_files import VERSION

LENGTH = 20  # hex digits of a key: 80 bits


def canonical(value: Any) -> Any:
    """A choice as plain data for hashing and for config files: a dataclass becomes its class name and fields.

    Raises ValueError for a value without such a form, e.g. a criterion that is not a frozen dataclass.
    """
    if isinstance(value, Step):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: canonical(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"class": f"{type(value).__module__}.{type(value).__qualname__}", **fields}
    if isinstance(value, Mapping):
        return {str(key): canonical(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(entry) for entry in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(
        f"{type(value).__module__}.{type(value).__qualname__} must be a frozen dataclass: its fields say what it computes"
    )


def digest(value: Any) -> str:
    """The hash of plain data: equal data, equal hash, whatever the order of its keys."""
    text = json.dumps(canonical(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


class Keys:
    """The keys of the stages of one training, whose `settings` are plain data."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._base = digest({"version": VERSION, "settings": settings})
        self._known: dict[int, tuple[Stage, str]] = {}

    def __call__(self, stage: Stage) -> str:
        """The key of a stage."""
        # By identity: a stage holds its parents, so comparing whole chains again and again would cost their square.
        if id(stage) not in self._known:
            self._known[id(stage)] = stage, digest(self._content(stage))
        return self._known[id(stage)][1]

    def _content(self, stage: Stage) -> dict[str, Any]:
        content: dict[str, Any] = {"training": self._base, "kind": type(stage).__name__.lower()}
        match stage:
            case Start():
                return content | {"step": stage.step, "optimizer": stage.optimizer}
            case Dense():
                return content | {"optimizer": stage.optimizer}
            case Sparse():
                choices = {
                    name: getattr(stage, name) for name in ("target", "criterion", "allocation", "rewind", "control")
                }
                return content | choices | {"source": self(stage.source), "start": self(stage.start)}
