"""The provenance of a stage: commit, versions, machine. It is written when the stage is trained, and stays with its numbers."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from ltb.common.machine import processor

PACKAGES = ("ltb", "torch", "torchvision", "pytorch-lightning", "hydra-core", "numpy", "mnist1d", "scikit-learn")


OWN = Path(__file__).parents[1]  # the folder of the package


def made(device: torch.device, fingerprint: str, trainer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is written into each stage that this process computes; `trainer` are the Trainer's arguments as they are used."""
    return {
        "commit": commit(),
        "ltb_commit": own_commit(),
        "versions": _versions(),
        "machine": {**machine(device), **_numerics(device, trainer)},
        "data": fingerprint,
    }


@cache
def commit() -> str | None:
    """Return the commit of the working folder's repository, with a + where it has changes; None where there is none."""
    return _git(Path.cwd(), "describe", "--always", "--dirty=+", "--exclude=*")


@cache
def own_commit() -> str | None:
    """Return the same of ltb's own repository; None where ltb is an installed package."""
    if (
        _git(OWN, "ls-files", "--error-unmatch", "__init__.py") is None
    ):  # the folder of packages may be in some repository
        return None
    return _git(OWN, "describe", "--always", "--dirty=+", "--exclude=*")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        found = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None if found.returncode == 0 else None


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def machine(device: torch.device) -> dict[str, Any]:
    """Return what tells machines apart, whose times are then kept apart: it is in the keys of measures of times."""
    found: dict[str, Any] = {"device": device.type, "cpu": processor(), "threads": torch.get_num_threads()}
    if device.type == "cuda":
        found |= {
            "gpu": torch.cuda.get_device_name(device),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "tf32": torch.backends.cuda.matmul.allow_tf32,
            "deterministic": False,  # that of the process before any training, which keys have
        }
    return found


def _numerics(device: torch.device, trainer: Mapping[str, Any]) -> dict[str, Any]:
    """Return how this machine is told to compute."""
    found: dict[str, Any] = {
        "deterministic": trainer.get("deterministic") or False,
        "matmul_precision": torch.get_float32_matmul_precision(),
    }
    return found | ({"cudnn_tf32": torch.backends.cudnn.allow_tf32} if device.type == "cuda" else {})


def joined(each: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the provenance of a run's levels, those that are alike joined: as they are, with the ``levels`` that they are of."""
    found: list[dict[str, Any]] = []
    for level, one in enumerate(each):
        same = next((other for other in found if {**other, "levels": None} == {**one, "levels": None}), None)
        if same is None:
            found.append({**one, "levels": [level]})
        else:
            same["levels"].append(level)
    return found
