"""What a command chose for task, data, model and module, and what its run is called where that is not what the task chooses."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from ltb.run.settings import LAYER_RATES

GROUPS = ("task", "data", "model", "module")
DEFAULT = "mnist1d_mlp"  # the task of conf/train.yaml
OVERRIDE = re.compile(r"override\s+/?(\w+)")


@dataclass(frozen=True)
class Chosen:
    """The options chosen for task, data, model and module, and `usual`, those of the last three that the task itself chooses.

    has_model:     whether anything takes the model; else the network is the module's own, and is called by its name.
    foreign_rates: patterns of layer rates that are those of the task's own network, which was exchanged.
    """

    task: str
    data: str
    model: str
    module: str
    usual: Mapping[str, str] = field(default_factory=dict)
    has_model: bool = True
    foreign_rates: tuple[str, ...] = ()

    @property
    def exchanged(self) -> tuple[str, ...]:
        """The groups of which the task chooses another option."""
        return tuple(
            group for group in GROUPS[1:] if self.usual.get(group, getattr(self, group)) != getattr(self, group)
        )

    @property
    def names(self) -> dict[str, str]:
        """What the ledger says: model, data, and as task what is learned in fact.

        The task's name stands before what was exchanged in it, for its protocol is followed; the default one's, which nobody
        chose, does not.

        >>> usual = {"data": "digits", "model": "lenet_300_100"}
        >>> Chosen("digits_lenet", "digits", "tiny", "classification", usual).names["task"]
        'digits_lenet_tiny'
        >>> Chosen("mnist1d_mlp", "digits", "mlp", "classification", {"data": "mnist1d", "model": "mlp"}).names["task"]
        'digits_mlp'
        """
        options = {"data": self.data, "model": self.model if self.has_model else self.module}
        named = {"data", "model"} if self.task == DEFAULT else {*self.exchanged}
        parts = [options[group] for group in ("data", "model") if group in named]
        parts += [self.module] if "module" in self.exchanged and self.module not in parts else []
        task = "_".join(parts if self.task == DEFAULT else [self.task, *parts])
        return {"task": task if self.exchanged else self.task, **options}


def chosen(hydra: Any, config: Mapping[str, Any]) -> Chosen:
    """Return what was chosen; `hydra` is Hydra's own configuration, `config` the resolved one.

    Raises ValueError for a model that is asked for where the module takes none.
    """
    task, data, model, module = (str(hydra.runtime.choices.get(group)) for group in GROUPS)
    asked = next((one for one in hydra.overrides.task if re.match(r"\+*model[=.]", one)), None)
    if asked and "model" not in config:
        raise ValueError(f"{asked}: module={module} makes its own network and takes no model")
    folders = [Path(source.path) for source in hydra.runtime.config_sources if source.schema == "file"]
    usual = {"module": "classification"} | of_task(task, folders)
    made = Chosen(task, data, model, module, usual, has_model="model" in config)
    if not {"model", "module"} & {*made.exchanged}:
        return made
    typed = " ".join(one for one in hydra.overrides.task if LAYER_RATES in one)
    return replace(made, foreign_rates=tuple(one for one in config["protocol"]["layer_rates"] if one not in typed))


def of_task(task: str, folders: Iterable[Path]) -> dict[str, str]:
    """Return what a task's file, in the first of the `folders` that has it, chooses for each group, with the tasks it builds on."""
    folders = list(folders)
    path = next(
        (folder / "task" / f"{task}.yaml" for folder in folders if (folder / "task" / f"{task}.yaml").is_file()), None
    )
    if path is None:
        return {}
    found: dict[str, str] = {}
    for entry in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("defaults", []):
        if isinstance(entry, str):
            found |= of_task(entry, folders) if entry != "_self_" else {}
            continue
        for name, option in entry.items():
            override = OVERRIDE.fullmatch(name)
            found[override[1] if override else name.lstrip("/")] = str(option)
    return found


def without_rates(node: Any, patterns: Collection[str]) -> Any:
    """Return a configuration whose rates of layers lack some patterns."""
    if not isinstance(node, Mapping):
        return node
    rates = [key for key in ("rates", "layer_rates") if isinstance(node.get(key), Mapping)]
    left = {key: {p: rate for p, rate in node[key].items() if p not in patterns} for key in rates}
    return {**{key: without_rates(value, patterns) for key, value in node.items()}, **left}
