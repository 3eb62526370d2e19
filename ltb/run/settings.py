"""The plain settings of a run: their types and ranges in one place, checked before anything slow is imported.

What a ``_target_`` describes (`Choice`) is checked by `ltb.run.build`, by the same rules (`ltb.common.allowed`); that settings go
together is checked where they meet. Torch is not imported here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from ltb.common.allowed import (
    Count,
    CountFromZero,
    Fraction,
    Group,
    Later,
    Limits,
    NotNegative,
    Positive,
    Seed,
    Text,
    check_names,
    is_group,
    plain,
    read,
    read_group,
)
from ltb.common.hints import hints_of
from ltb.common.step import Step
from ltb.run.lines import elsewhere

if TYPE_CHECKING:
    from omegaconf import DictConfig

Choice = Annotated[Mapping[str, Any], Later()]
Patterns = Annotated[tuple[Text, ...], "a list of glob patterns of parameter names"]
Length = Annotated[Step, Limits("at least 1", least=1)]


@dataclass(frozen=True)
class Beside:
    """For Annotated: no part of what a run is. Runs that differ in it alone are one run, in one folder.

    together: whether its options can be chosen at once, ``measure=[a,b]``.
    """

    together: bool = False


BESIDE = Beside()
LAYER_RATES = "protocol.layer_rates"
Threads = Annotated[int, Limits("1 to 1024", least=1, below=1025)]


@dataclass(frozen=True)
class Protocol(Group):
    """The settings that a paper's protocol fixes for a task; optimizers, schedules and allocations read it."""

    batch_size: Count
    augment: bool
    learning_rate: Positive
    milestones: tuple[Step, ...]
    warmup: Step
    momentum: Annotated[float, Limits("0 or more and below 1", least=0, below=1)]
    weight_decay: NotNegative
    rate: Fraction
    layer_rates: Mapping[str, Any]
    rewind_step: Step
    levels: CountFromZero = 14  # configurations from before have none of these
    normalisation: Mapping[str, Any] | None = None
    dropout: Annotated[float, Limits("0 or more and below 1", least=0, below=1)] = 0.0


@dataclass(frozen=True)
class Training(Group):
    """The length of a training, how often it is validated, and whether a run goes on after a level that diverged."""

    length: Length
    evaluate_every: Length | None
    on_divergence: Annotated[Literal["mark", "stop"], BESIDE] = "mark"  # configurations from before have none


@dataclass(frozen=True)
class LabelNoise(Group):
    """The fraction of the training split's labels that is wrong, and the seed that decides which and how."""

    rate: Annotated[float, Limits("0 (no noise) or more, below 1", least=0, below=1)]
    seed: Seed

    def __post_init__(self) -> None:
        if self.seed and not self.rate:
            raise ValueError(f"seed={self.seed}: no effect with rate=0")


@dataclass(frozen=True)
class Prunable(Group):
    """Glob patterns of what may be pruned."""

    include: Patterns | None
    exclude: Patterns
    embeddings: bool


@dataclass(frozen=True)
class Metric(Group):
    """The logged metric that counts, by how much a matching level may be worse than the dense network, and why that.

    tolerance: in units of the metric, or std: one standard deviation of the dense networks of the runs that a report is on.
    """

    name: Text
    direction: Literal["max", "min"]
    tolerance: NotNegative | Literal["std"]
    tolerance_reason: Text | None = None  # configurations from before have none

    def __post_init__(self) -> None:
        if (self.name, self.direction) == ("loss", "max"):
            raise ValueError("direction='max': a loss is better where it is lower; min with name=loss")


@dataclass(frozen=True)
class Store(Group):
    """The place where trained networks are kept, which of their files, and how often their progress."""

    dir: Text
    keep: Literal["all", "tickets", "ledger"]
    checkpoint_every: Annotated[float, Limits("0 or more seconds", least=0)]


@dataclass(frozen=True)
class Logger(Group):
    """W&B."""

    mode: Literal["auto", "online", "offline"]
    project: Text
    entity: Text | None
    tags: tuple[Text, ...]
    notes: Text | None
    artifacts: bool


@dataclass(frozen=True)
class Settings(Group):
    """All keys of a composed configuration."""

    protocol: Protocol
    method: Text
    study: Annotated[Text | None, BESIDE]
    seed: Seed
    salt: Text | None
    rewind_step: Step
    prune_from: Literal["previous", "dense", "start"]
    training: Training
    prunable: Prunable
    metric: Annotated[Metric, BESIDE]
    measure: Annotated[Choice, Beside(together=True)]
    runs: Text
    store: Annotated[Store, BESIDE]
    fresh: Annotated[bool, BESIDE]
    threads: Threads
    progress: Annotated[bool, BESIDE]
    plan: Annotated[bool, BESIDE]
    trainer: Choice
    data: Choice
    module: Choice
    model: Choice | None = None
    student: Choice | None = None
    optimizer: Choice | None = None
    lr: Choice | None = None
    schedule: Choice | None = None
    criterion: Choice | None = None
    allocation: Choice | None = None
    rewind: Choice | None = None
    control: Choice | None = None
    dynamics: Choice | None = None
    objective: Choice | None = None
    dense_objective: Choice | None = None
    execution: Choice | None = None
    rewind_rule: Choice | None = None
    label_noise: LabelNoise | None = None  # configurations from before have none
    label: Annotated[Text | None, BESIDE] = None  # likewise
    logger: Annotated[Logger | None, Beside(together=True)] = None  # none with logger=csv alone
    mirrors: Annotated[Choice | None, BESIDE] = None  # what logger=csv and its like choose
    callbacks: Annotated[Choice | None, Beside(together=True)] = None


class Checked(dict[str, Any]):
    """A resolved configuration that `check` has found right: its values as their types have them, in plain data."""


def check(config: Mapping[str, Any]) -> Checked:
    """Return a resolved configuration with its plain settings as their types have them; what is `Checked`, as it is.

    Raises ValueError, in one line that names the key and what is allowed, for a key that is not known or not there, and for a
    value of another type or out of its range.
    """
    if isinstance(config, Checked):
        return config
    found = plain(read_group(Settings, config, ""))
    return Checked({name: found[name] for name in config})


def resolve(config: DictConfig) -> Checked:
    """Return a composed configuration, its interpolations resolved, as `check` does. Raises OmegaConf's errors too.

    A model that nothing takes, for the module makes its own network, is left out.
    """
    from omegaconf import OmegaConf

    given: Any = OmegaConf.to_container(config)
    check_names(Settings, given, "")  # before interpolations miss a key
    for name, hint in hints_of(Settings).items():
        group, *others = get_args(hint) or (hint,)
        if is_group(group) and type(None) not in others and isinstance(given.get(name), Mapping):
            check_names(group, given[name], name)
    if "model" in given and not _taken(given, "model"):
        config = OmegaConf.masked_copy(config, [key for key in given if key != "model"])
    return check(OmegaConf.to_container(config, resolve=True, throw_on_missing=True))  # type: ignore[arg-type]


def empty(config: DictConfig, hydra: Any) -> None:
    """Empty the mappings that the command line sets to ``{}``, which Hydra would merge with what is there, to no effect.

    The rates of layers are emptied by null and by ``~`` too. Raises ValueError where something is put into one of them before.
    """
    from omegaconf import DictConfig, OmegaConf, open_dict

    keys = [override.lstrip("+~").partition("=") for override in _overrides(hydra)]
    for place, (key, _, value) in enumerate(keys):
        rates = key == LAYER_RATES and value in ("", "null")
        if not rates and (value.replace(" ", "") != "{}" or not isinstance(OmegaConf.select(config, key), DictConfig)):
            continue
        if beside := [other for other, *_ in keys[place + 1 :] + keys[:place] if f"{other}.".startswith(f"{key}.")]:
            raise ValueError(f"{key}={{}}: it empties the mapping, and {beside[0]} is set as well")
        with open_dict(config):
            OmegaConf.update(config, key, {}, merge=False)


def _taken(config: Mapping[str, Any], group: str) -> bool:
    """Return whether another section than its own takes a group: names it in an interpolation."""
    others = json.dumps({**config, group: None}, default=str)
    return re.search(rf"\$\{{ *(?:[\w.]+:)? *\.*{group}\b", others) is not None


def check_taken(config: DictConfig, hydra: Any) -> None:
    """Raise ValueError for a model, optimizer or learning rate that the command line sets and nothing takes."""
    from omegaconf import OmegaConf

    given: Any = OmegaConf.to_container(config)
    for override in _overrides(hydra):
        group = re.split(r"[.=]", override.lstrip("+"))[0]
        if group in TAKEN and given.get(group) and not _taken(given, group):
            module = hydra.runtime.choices.get("module")
            raise ValueError(f"{override}: module={module} makes its own {TAKEN[group]} and takes no {group}")


def without_foreign_reason(config: Checked, hydra: Any, exchanged: Sequence[str] = ()) -> Checked:
    """Return the configuration without the reason for its tolerance where the command line gives another one, and no reason.

    Where data or model of the task were `exchanged`, the reason is that it is the task's.
    """
    keys = {override.lstrip("+").partition("=")[0] for override in _overrides(hydra)}
    if "metric.tolerance_reason" in keys or not ({"metric.tolerance"} & keys or exchanged):
        return config
    task = f"that of task={hydra.runtime.choices.get('task')}, whose {' and '.join(exchanged)} these are not"
    reason = None if "metric.tolerance" in keys else task
    return Checked({**config, "metric": {**config["metric"], "tolerance_reason": reason}})


def _overrides(hydra: Any) -> list[str]:
    from omegaconf import OmegaConf

    found: Any = OmegaConf.to_container(hydra.overrides)["task"]  # type: ignore[call-overload,index]
    return list(found)


def check_overrides(hydra: Any) -> None:
    """Raise ValueError for several options of a group of which a run has one: Hydra would mix them, or take the last.

    And for what is added inside a section that is taken from another: Hydra would put it in that section's place.
    """
    overrides = _overrides(hydra)
    for override in overrides:
        if there := elsewhere(override, str(hydra.runtime.choices.get(override.lstrip("+").partition(".")[0]))):
            raise ValueError(f"{override.lstrip('+')}: there is no such setting{there}")
    groups = {name for name, hint in hints_of(Settings).items() if hint in (Choice, Choice | None)}
    for key, _, value in (override.lstrip("+").partition("=") for override in overrides):
        if key in groups | {"task", "method"} and value.startswith("["):
            raise ValueError(
                f"{key}={value}: a run has one {key}; with -m, {key}={value.strip('[]')} is a run for each"
            )


# What a module takes if it is written so, and what it makes by itself otherwise.
TAKEN = {"model": "network", "optimizer": "optimizer", "lr": "learning rates"}

# What Hydra takes without a range, or writes beside the run: its key → what it may be.
OF_HYDRA: Mapping[str, Any] = {
    "output_subdir": type(None),
    "verbose": bool | tuple[Text, ...],
    "sweeper.max_batch_size": Count | None,
    "launcher.n_jobs": Count | Literal[-1],
}


def check_hydra(hydra: Mapping[str, Any]) -> None:
    """Raise ValueError for a setting of Hydra's own that would end a run in the middle, or leave settings in clear on the disk.

    The whole numbers of a launcher, its times and counts, are 0 or more.
    """
    launcher = {f"launcher.{name}": CountFromZero for name, value in hydra["launcher"].items() if type(value) is int}
    for key, hint in {**launcher, **OF_HYDRA}.items():
        section, _, name = key.rpartition(".")
        found = hydra[section] if section else hydra
        if name in found and not str(found[name]).startswith("${"):
            read(hint, found[name], f"hydra.{key}")


def beside(key: str) -> Beside | None:
    """Return what a key such as ``measure`` or ``store.keep`` is `Beside`, None for a part of what a run is."""
    group: Any = Settings
    for name in key.split("."):
        hint = hints_of(group).get(name) if is_dataclass(group) else None
        found = next((extra for extra in get_args(hint) if isinstance(extra, Beside)), None)
        if found:
            return found
        group = hint
    return None
