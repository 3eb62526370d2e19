"""Telling apart runs that share a method's name but not its settings, by the names and values of what differs.

Averaging over them would be silently wrong, so every curve carries a variant: "" where all runs of a method have
the same settings, else such as "lr.value=0.1" or, if that grows too long, a short hash of the settings.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

# What may differ between two runs of one experiment without changing what is measured. The seed is what we
# average over. Of the trainer only the precision changes numbers beyond rounding.
NUISANCE_GROUPS = (
    "seed",
    "study",
    "fresh",
    "logger",
    "trainer",
    "hydra",
    "run_id",
    "tags",
    "notes",
    "progress",
)
NUISANCE_LEAVES = ("root", "folder", "dir", "path", "workers", "num_workers")
KEPT = ("trainer.precision",)
LONGEST = 40  # characters of a label that still reads well in a legend


def flatten(settings: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Nested settings as dotted keys, e.g. {"lr": {"value": 0.1}} -> {"lr.value": 0.1}; lists stay values."""
    flat: dict[str, object] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat


def matters(key: str) -> bool:
    """Whether a dotted setting can change what a run measures."""
    parts = key.split(".")
    return key in KEPT or (parts[0] not in NUISANCE_GROUPS and parts[-1] not in NUISANCE_LEAVES)


def label(settings: Sequence[Mapping[str, object]]) -> list[str]:
    """One label for each run of a method: equal where the settings that matter are equal, "" if they all are.

    >>> label([{"seed": 0, "rate": 0.2}, {"seed": 1, "rate": 0.2}, {"seed": 0, "rate": 0.5}])
    ['rate=0.2', 'rate=0.2', 'rate=0.5']
    """
    kept = [{k: v for k, v in flatten(s).items() if matters(k)} for s in settings]
    texts = [json.dumps(k, sort_keys=True, default=str) for k in kept]
    if len(set(texts)) <= 1:
        return [""] * len(texts)
    missing = object()  # unlike any value, so that an absent key differs from None
    keys = sorted({k for one in kept for k in one})
    differing = [k for k in keys if any(one.get(k, missing) != kept[0].get(k, missing) for one in kept)]
    named = [", ".join(f"{k}={one[k]}" if k in one else f"no {k}" for k in differing) for one in kept]
    if max(map(len, named)) > LONGEST or len(set(named)) < len(set(texts)):
        return [hashlib.sha256(text.encode()).hexdigest()[:6] for text in texts]
    return named
