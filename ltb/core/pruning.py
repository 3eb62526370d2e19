"""What masks are drawn from: the evidence that probes gather, and the scores of a criterion, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ltb.core import masks as m
from ltb.core.allocation import Allocation, Shapes
from ltb.core.contracts import Training
from ltb.core.criteria import Criterion, Evidence, Magnitude, Scores
from ltb.core.tensors import Weights


def parts(allocation: Allocation, training: Training) -> Shapes:
    """Return what an allocation shares its targets out among, of the network that is trained.

    Raises ValueError that names it where its probe cannot, or where there is nothing.
    """
    weights = training.initial()

    def evidence() -> Evidence:
        gathered = gather(Magnitude(), allocation, training, weights, m.ones(weights, training.prunable))
        return Evidence(training.seed, weights, gathered[allocation.probe])

    return allocation.parts({name: tuple(weights[name].shape) for name in training.prunable}, evidence)


def scored(criterion: Criterion, weights: Weights, evidence: Evidence) -> Scores:
    """Return the scores of a criterion. Raises ValueError that names it unless each weight has one."""
    scores = criterion(weights, evidence)
    for name, weight in weights.items():
        found = scores.get(name)
        if found is None or found.shape != weight.shape:
            given = "none" if found is None else f"scores of shape {tuple(found.shape)}"
            raise ValueError(
                f"criterion={type(criterion).__name__}: it gave {given} for {name}, which has shape {tuple(weight.shape)}"
            )
    return scores


def gather(
    criterion: Criterion, allocation: Allocation, training: Training, weights: Weights, masks: m.Masks
) -> dict[Any, Mapping[str, Weights]]:
    """Return what the probes of a criterion and an allocation gather, by probe; one probe of both gathers once.

    Raises ValueError that names the criterion or the allocation whose probe cannot.
    """
    found: dict[Any, Mapping[str, Weights]] = {}
    for key, choice in (("criterion", criterion), ("allocation", allocation)):
        if choice.probe not in found:
            try:
                found[choice.probe] = {} if choice.probe is None else training.probe(choice.probe, weights, masks)
            except ValueError as error:
                raise ValueError(f"{key}={type(choice).__name__}: {error}") from error
    return found
