"""What a resolved configuration comes to: the recipe, the measures, the Trainer's arguments."""

from __future__ import annotations

from typing import Any

import torch

from ltb.core.measure import Measure
from ltb.core.recipe import Recipe
from ltb.measures import StepFlops
from ltb.run.build import Config, build


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
        execution=build(config, "execution"),
        method=config["method"],
    )


def measures(config: Config) -> tuple[Measure, ...]:
    """The measures that each level is asked beside its evaluation, the FLOPs of a step first."""
    asked = [build({f"measure.{name}": section}, f"measure.{name}") for name, section in config["measure"].items()]
    for name, measure in zip(config["measure"], asked, strict=True):
        if not isinstance(measure, Measure):
            raise ValueError(f"measure={name}: {type(measure).__name__} is not a Measure")
    return (StepFlops(), *asked)


def trainer(config: Config) -> tuple[dict[str, Any], torch.device]:
    """Arguments of the Trainer as they are used here, and the device that data and weights will be on."""
    kinds, accelerator = ("cpu", "gpu", "auto"), config["accelerator"]
    if accelerator not in kinds:
        raise ValueError(f"trainer.accelerator={accelerator!r}: one of {', '.join(kinds)}")
    if accelerator == "gpu" and not torch.cuda.is_available():
        raise ValueError("trainer=gpu: torch sees no GPU here; use trainer=cpu or trainer=auto")
    on_gpu = accelerator != "cpu" and torch.cuda.is_available()
    # Kernels that differ from call to call are a GPU's: trainer=auto on a CPU is trainer=cpu.
    given = {key: value for key, value in config.items() if on_gpu or (key, value) != ("deterministic", "warn")}
    device = torch.device("cuda:0" if on_gpu else "cpu")
    return {**given, "accelerator": "gpu" if on_gpu else "cpu", "devices": 1}, device
