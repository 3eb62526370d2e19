"""What a resolved configuration comes to: the recipe, the Trainer's arguments, and the settings that stage keys are made of."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ltb.core.recipe import Recipe
from ltb.run.build import Config, build

# What does not change a number, and so stays out of keys: where files are, and how many hands carry them.
NUISANCES = {"data": ("root", "workers")}


def check_kinds(config: Config) -> None:
    """Raise ValueError for a text or a section that is something else."""
    for key in ("runs", "method"):
        if not isinstance(config[key], str) or not config[key]:
            raise ValueError(f"{key}={config[key]!r}: a text")
    for key in ("store", "metric", "prunable", "training", "trainer", "data", "module"):
        if not isinstance(config[key], Mapping):
            raise ValueError(f"{key}={config[key]!r}: a section of settings")
    for key in ("dir", "keep"):
        if not isinstance(config["store"][key], str):
            raise ValueError(f"store.{key}={config['store'][key]!r}: a text")
    if config["logger"] and not isinstance(config["logger"]["tags"], list):
        raise ValueError(f"logger.tags={config['logger']['tags']!r}: a list of texts")


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
        method=config["method"],
    )


def trainer(config: Config) -> tuple[dict[str, Any], torch.device]:
    """Arguments of the Trainer, and the device that data and weights will be on."""
    kinds, accelerator = ("cpu", "gpu", "auto"), config["accelerator"]
    if accelerator not in kinds:
        raise ValueError(f"trainer.accelerator={accelerator!r}: one of {', '.join(kinds)}")
    if accelerator == "gpu" and not torch.cuda.is_available():
        raise ValueError("trainer=gpu: torch sees no GPU here; use trainer=cpu or trainer=auto")
    on_gpu = accelerator != "cpu" and torch.cuda.is_available()
    return {**config, "accelerator": "gpu" if on_gpu else "cpu", "devices": 1}, torch.device(
        "cuda:0" if on_gpu else "cpu"
    )


def settings(config: Config, device: torch.device, fingerprint: str) -> dict[str, Any]:
    """What decides the numbers of a training, without the recipe: the settings that stage keys are made of."""
    # Where the files are is no matter once the contents are known by their fingerprint; else it is all that is known.
    nuisances = NUISANCES["data"] if fingerprint else ("workers",)
    data = {key: value for key, value in config["data"].items() if key not in nuisances}
    return {
        "data": data,
        "fingerprint": fingerprint,
        "module": config["module"],
        "training": config["training"],
        "prunable": config["prunable"],
        "metric": {key: config["metric"][key] for key in ("name", "direction")},
        "trainer": {key: value for key, value in config["trainer"].items() if key not in ("accelerator", "devices")},
        "device": device.type,
        # On a CPU the number of threads decides the order of sums.
        "threads": config["threads"] if device.type == "cpu" else None,
        "seed": config["seed"],
    }


def check_writable(folder: Path, key: str) -> None:
    """Raise ValueError unless the folder, or the nearest one above it that exists, can be written."""
    nearest = folder.absolute()
    while not nearest.exists():
        nearest = nearest.parent
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise ValueError(f"{key}={folder}: {nearest} is not a folder that can be written")
