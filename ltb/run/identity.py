"""The identity of a training: what decides its numbers, as plain data. Stage keys are made of it, and runs write it down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ltb.run.build import Config
from ltb.store.source_code import identities
from ltb.training import Training

# What does not change a number: where files are, and how many hands carry them. The data as served has a fingerprint.
NUISANCES = ("root", "workers", "num_workers")
# Settings of ltb's own classes that came later, with what they were before: as such they are in no key, so that older keys stay.
LATER: Mapping[str, Mapping[str, Any]] = {
    "Classification": {"label_smoothing": 0.0, "metrics": {}},
    "ConvN": {"width": 64},
    "VGG": {"width": 64},
}
LENGTH = ("length", "evaluate_every")  # what of the training decides; when a run ends because of its results does not


def settings(config: Config, training: Training, trainer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides the numbers of a training, without the recipe; `trainer` are the Trainer's arguments as they are used.

    Classes are named as `ltb.store.source_code.identity` does: by their public name, the user's own with its source.
    """
    data = {key: value for key, value in config["data"].items() if key not in NUISANCES}
    prunable = {key: value for key, value in config["prunable"].items() if value}
    device = training.device
    numerics = {key: value for key, value in trainer.items() if key not in ("accelerator", "devices", "plugins")}
    noise = config.get("label_noise")
    return {
        "data": _identified(data),
        **({"label_noise": noise} if noise and noise["rate"] else {}),  # what has no effect is in no key
        "fingerprint": training.source.fingerprint,
        "module": _identified(config["module"]),
        "initialisation": training.initialisation,
        "training": {key: value for key, value in config["training"].items() if key in LENGTH},
        "prunable": prunable,
        "numerics": {
            **numerics,
            "device": device.type,
            "devices": trainer["devices"],
            # On a CPU the number of threads decides the order of sums.
            "threads": torch.get_num_threads() if device.type == "cpu" else None,
        },
        "seed": config["seed"],
        "salt": config["salt"],
    }


def _identified(node: Any) -> Any:
    """The node with what each ``_target_`` is in place of where it is."""
    if isinstance(node, Mapping):
        whose = identities([node["_target_"]])[node["_target_"]] if "_target_" in node else {}
        later = LATER.get(whose["name"], {}) if whose.keys() == {"name"} else {}  # ltb's own
        told = {key: value for key, value in node.items() if key not in later or value not in (None, later[key])}
        found = {key: _identified(value) for key, value in told.items()}
        if "_target_" in node:
            found["_target_"] = whose
            if str(node["_target_"]).startswith("hydra.utils.get_") and "path" in node:
                found["path"] = identities([node["path"]])[node["path"]]  # names code as a _target_ does
        return found
    return [_identified(entry) for entry in node] if isinstance(node, list) else node


def readable(node: Any) -> Any:
    """Return what decides a run's numbers as people read it: classes by a text."""
    if isinstance(node, Mapping):
        named = {("_target_" if key == "class" else key): value for key, value in node.items()}
        return {key: _of_class(key, value) for key, value in named.items() if value is not None}
    return [readable(entry) for entry in node] if isinstance(node, list) else node


def _of_class(key: str, value: Any) -> Any:
    if key == "_target_" and isinstance(value, Mapping):  # what source_code.identity says of it
        return " ".join(str(part)[:40] for part in value.values())
    return readable(value)
