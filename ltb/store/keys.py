"""Stage keys: the identity of a stage as a hash, known before any compute.

A key covers the kind of stage, its fields (stages replaced by their keys, None left out), and whatever else decides its
numbers: for a training all settings of the task, the seed, the data as served, the initialisation, the numerics; for a
time the machine. Choices are covered by their class and fields, a class of the user's own by its source as well.
Nuisances such as paths, loggers and progress never reach a key.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from ltb.common.step import Step
from ltb.core.stage import Stage
from ltb.store.source_code import identity
from ltb.store.stage_files import VERSION

LENGTH = 20  # hex digits of a key: 80 bits


def _no_stage(stage: Stage) -> str:
    raise ValueError(f"{stage.label} is a stage, and settings hold none")


def canonical(value: Any, key: Callable[[Stage], str] = _no_stage, *, seedless: bool = False) -> Any:
    """Return a choice as plain data for hashing: a dataclass becomes its class and those fields that are not None.

    A stage in it becomes its `key`. A field whose metadata has ``key="never"``, such as where a file is, decides nothing and is
    left out; one with ``key="one_seed"`` is left out of what is `seedless`, which all seeds of an experiment share, and one with
    ``key="all_seeds"`` is in that alone. Raises ValueError for a value without such a form, e.g. a criterion that is not a frozen
    dataclass.
    """
    if isinstance(value, Step):
        return str(value)
    if isinstance(value, Stage):
        return {"stage": key(value)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kept = ("always", "all_seeds" if seedless else "one_seed")
        of_all = [f for f in dataclasses.fields(value) if f.metadata.get("key", "always") in kept]
        fields = {f.name: canonical(getattr(value, f.name), key, seedless=seedless) for f in of_all}
        # A class of ltb's own whose numbers have changed has a version.
        version = {"version": found} if (found := getattr(value, "version", 1)) != 1 else {}
        given = {name: entry for name, entry in fields.items() if entry is not None}
        return {"class": identity(type(value)), **version, **given}
    if isinstance(value, Mapping):
        return {str(name): canonical(entry, key, seedless=seedless) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(entry, key, seedless=seedless) for entry in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(
        f"{type(value).__module__}.{type(value).__qualname__} must be a frozen dataclass: its fields say what it computes"
    )


def digest(value: Any) -> str:
    """Return the hash of plain data: equal data, equal hash, whatever the order of its keys."""
    text = json.dumps(canonical(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


class Keys:
    """The keys of one training's stages. `training` and `machine`, plain data, are what stages' `environment` names.

    `seedless` ones are those of all seeds of an experiment, see `canonical`.
    """

    def __init__(
        self, training: Mapping[str, Any], machine: Mapping[str, Any] | None = None, *, seedless: bool = False
    ) -> None:
        self._seedless = seedless
        self.training = digest({"version": VERSION, "settings": training})
        self._environment = {"training": self.training, "machine": digest(machine or {})}
        self._known: dict[int, tuple[Stage, str]] = {}

    def __call__(self, stage: Stage) -> str:
        """Return the key of a stage."""
        # By identity: a stage holds its parents, so comparing whole chains again and again would cost their square.
        if id(stage) not in self._known:
            self._known[id(stage)] = stage, stage.known_as or digest(self._content(stage))
        return self._known[id(stage)][1]

    def at_steps(self, stage: Stage) -> Callable[[int], str]:
        """Return the keys of a stage at other steps, all else equal: nothing of those is remembered, for they are many."""
        content = self._content(stage)
        return lambda step: digest(content | {"fields": content["fields"] | {"step": step}})

    def _content(self, stage: Stage) -> dict[str, Any]:
        fields = {
            field.name: canonical(getattr(stage, field.name), self, seedless=self._seedless)
            for field in dataclasses.fields(stage)
        }
        content: dict[str, Any] = {"kind": identity(type(stage))}
        content |= {name: self._environment[name] for name in stage.environment}
        return content | {"fields": {name: value for name, value in fields.items() if value is not None}}
