"""How a stage is made: commit, versions, machine. It is written into the stage when it is trained, and stays with its numbers."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("ltb", "torch", "torchvision", "pytorch-lightning", "hydra-core", "numpy", "mnist1d", "scikit-learn")


def made(device: torch.device, fingerprint: str) -> dict[str, Any]:
    """Return what is written into each stage that this process computes."""
    return {"commit": commit(), "versions": _versions(), "machine": _machine(device), "data": fingerprint}


@cache
def commit() -> str | None:
    """Return the commit of the working folder's repository, with a + where it has changes; None where there is none."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
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


def _machine(device: torch.device) -> dict[str, Any]:
    found: dict[str, Any] = {"device": device.type, "cpu": _cpu(), "threads": torch.get_num_threads()}
    if device.type == "cuda":
        found |= {
            "gpu": torch.cuda.get_device_name(device),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "tf32": torch.backends.cuda.matmul.allow_tf32,
            "deterministic": torch.are_deterministic_algorithms_enabled(),
        }
    return found


@cache
def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


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
