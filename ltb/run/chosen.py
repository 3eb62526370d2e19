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
NOTHING = "None"  # a group of which nothing is chosen: the settings have what its option would
DEFAULT = "mnist1d_mlp"  # the task of conf/train.yaml
JOINTS = "+@"  # in no option's name: they join the names of what was exchanged
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
        """The groups of which the task chooses another option; a model that nothing takes is none."""
        taken = [group for group in GROUPS[1:] if group != "model" or self.has_model]
        return tuple(group for group in taken if self.usual.get(group, getattr(self, group)) != getattr(self, group))

    @property
    def names(self) -> dict[str, str]:
        """What the ledger says: model, data, and as task what is learned in fact.

        It is TASK where that is as its file has it, else TASK@DATA+MODEL++MODULE: without the model if there is none, without a
        module that is the task's own. The task's name stands there because its protocol is followed; the default one's, which
        nobody chose, does not. No two choices have one name, for no option's holds `JOINTS`.

        >>> usual = {"data": "digits", "model": "lenet_300_100", "module": "classification"}
        >>> Chosen("digits_lenet", "digits", "tiny", "classification", usual).names["task"]
        'digits_lenet@digits+tiny'
        >>> Chosen(DEFAULT, "digits", "mlp", "classification", usual | {"data": "mnist1d", "model": "mlp"}).names["task"]
        'digits+mlp'
        """
        options = {"data": self.data, "model": self.model if self.has_model else self.module}
        if not self.exchanged and not self._unsaid:
            return {"task": self.task, **options}
        network = f"+{self.model}" if self.has_model else ""
        module = f"++{self.module}" if self.usual.get("module") != self.module else ""
        before = "" if self.task == DEFAULT else f"{self.task}@"
        return {"task": f"{before}{self.data}{network}{module}", **options}

    @property
    def _unsaid(self) -> bool:
        """Whether the command chose data or a model for a task that leaves them to it."""
        left = {"data"} | ({"model"} if self.has_model else set())
        return any(group not in self.usual and getattr(self, group) != NOTHING for group in left)


def chosen(hydra: Any, config: Mapping[str, Any]) -> Chosen:
    """Return what was chosen; `hydra` is Hydra's own configuration, `config` the resolved one.

    Raises ValueError for a name that holds `JOINTS`.
    """
    task, data, model, module = (str(hydra.runtime.choices.get(group)) for group in GROUPS)
    folders = [Path(source.path) for source in hydra.runtime.config_sources if source.schema == "file"]
    usual = {"module": "classification"} | of_task(task, folders)
    for group, option in zip(GROUPS, (task, data, model, module), strict=True):
        if {*option} & {*JOINTS}:
            raise ValueError(f"{group}={option}: a name without {' and '.join(JOINTS)}, which join what was exchanged")
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
