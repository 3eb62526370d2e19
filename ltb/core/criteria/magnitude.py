"""Magnitude: what is large stays."""

from __future__ import annotations

from dataclasses import dataclass

from ltb.core.criteria.criterion import Criterion, Evidence, Scores
from ltb.core.tensors import Weights


@dataclass(frozen=True)
class Magnitude(Criterion):
    """|w|, raw: not divided by any layer's norm, so that under a global allocation layers compete as they are.

    Han et al. 2015; Frankle & Carbin 2019.
    """

    def __call__(self, weights: Weights, evidence: Evidence) -> Scores:
        return {name: weight.abs() for name, weight in weights.items()}
