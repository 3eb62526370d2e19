"""The parts that a resolved configuration comes to: the recipe, the measures, the data, the training, the Trainer's arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pytorch_lightning import Callback

from ltb.common.allowed import plain
from ltb.common.hints import hints_of
from ltb.core.measure import Measure
from ltb.core.recipe import Recipe
from ltb.data import NoisyLabels, Source
from ltb.measures import StepFlops, Untrained
from ltb.run import build as building
from ltb.run.build import Config, build
from ltb.run.settings import Checked
from ltb.run.students import Student
from ltb.training import Training
from ltb.training.callbacks import check as check_callback
from ltb.training.lightning import check_settings

RECIPE = hints_of(Recipe)
# Section -> what its _target_ makes; optimizer, learning rate and model are what the module takes them for.
CHOICES = (
    "schedule", "criterion", "allocation", "rewind", "control", "dynamics", "objective", "dense_objective", "execution",
    "rewind_rule",
)  # fmt: skip
# In this order: what is wrong is told by the key that was set, before those that take its value (model.shape is data.shape).
KINDS = {
    "data": Any, **{name: RECIPE[name] for name in CHOICES},
    "model": Any, "optimizer": Any, "lr": Any, "module": Any, "student": Student,
}  # fmt: skip


def check(config: Checked) -> Checked:
    """Return a configuration whose sections, too, have their values as the constructors that they name have them.

    Raises ValueError, for one line. Nothing is made.
    """
    found = {key: building.check(config[key], key, kind) for key, kind in KINDS.items() if key in config}
    measures = {name: building.check(node, f"measure.{name}", Measure) for name, node in config["measure"].items()}
    given = config.get("callbacks") or {}
    callbacks = {name: building.check(node, f"callbacks.{name}", Any) for name, node in given.items()}
    mirrors = {
        name: building.check(node, f"mirrors.{name}", Any) for name, node in (config.get("mirrors") or {}).items()
    }
    found |= {"callbacks": callbacks, "mirrors": mirrors}
    return Checked({**config, **found, "measure": measures, "trainer": plain(check_settings(config["trainer"]))})


def recipe(config: Config) -> Recipe:
    """The recipe of a configuration."""
    return Recipe(
        schedule=build(config, "schedule"),
        prune_from=config["prune_from"],
        criterion=build(config, "criterion"),
        allocation=build(config, "allocation"),
        rewind=build(config, "rewind"),
        rewind_step=config["rewind_step"],
        control=build(config, "control"),
        dynamics=build(config, "dynamics"),
        objective=build(config, "objective"),
        execution=build(config, "execution"),
        dense_objective=build(config, "dense_objective"),
        rewind_rule=build(config, "rewind_rule"),
        method=config["method"],
    )


def measures(config: Config) -> tuple[Measure, ...]:
    """The measures that each level is asked beside its evaluation, those first that are always asked."""
    asked = [build({f"measure.{name}": section}, f"measure.{name}") for name, section in config["measure"].items()]
    for name, measure in zip(config["measure"], asked, strict=True):
        if not isinstance(measure, Measure):
            raise ValueError(f"measure={name}: {type(measure).__name__} is not a Measure")
    return (StepFlops(), Untrained(config["metric"]["name"]), *asked)


def callbacks(config: Config) -> tuple[Callback, ...]:
    """The callbacks that look on at one fit, made anew. ValueError for one that does more."""
    sections = config.get("callbacks") or {}
    made = {name: build({f"callbacks.{name}": node}, f"callbacks.{name}") for name, node in sections.items()}
    return tuple(check_callback(name, callback) for name, callback in made.items())


def training(config: Config, data: Any, arguments: Mapping[str, Any], device: torch.device) -> Training:
    """The training of a configuration, on its `source`, with a Trainer of these arguments."""
    prunable = config["prunable"]
    return Training(
        lambda: build(config, "module"),
        data,
        config["training"]["length"],
        config["seed"],
        evaluate_every=config["training"]["evaluate_every"],
        include=prunable["include"],
        exclude=prunable["exclude"],
        embeddings=prunable["embeddings"],
        metric=config["metric"]["name"],
        direction=config["metric"]["direction"],
        trainer=arguments,
        device=device,
        observers=lambda: callbacks(config),
    )


def source(config: Config, device: torch.device) -> Any:
    """The data as training takes it, with wrong labels where the configuration asks for them."""
    dataset, noise = build(config, "data"), config.get("label_noise")
    found = dataset.source(device) if hasattr(dataset, "source") else dataset
    if not noise or not noise["rate"]:
        return found
    if not isinstance(found, Source):
        raise ValueError(
            f"label_noise.rate={noise['rate']}: 0 for data={type(dataset).__name__}, whose labels ltb does not know"
        )
    return NoisyLabels(found, **noise)


def trainer(config: Config) -> tuple[dict[str, Any], torch.device]:
    """Arguments of the Trainer as they are used here, and the device that data and weights will be on."""
    accelerator = config.get("accelerator", "cpu")
    if accelerator == "gpu" and not torch.cuda.is_available():
        raise ValueError("trainer.accelerator='gpu': torch sees no GPU here; use trainer=cpu or trainer=auto")
    on_gpu = accelerator != "cpu" and torch.cuda.is_available()
    # Kernels that differ from call to call are a GPU's: trainer=auto on a CPU is trainer=cpu.
    given = {key: value for key, value in config.items() if on_gpu or (key, value) != ("deterministic", "warn")}
    device = torch.device("cuda:0" if on_gpu else "cpu")
    return {**given, "accelerator": "gpu" if on_gpu else "cpu", "devices": 1}, device
