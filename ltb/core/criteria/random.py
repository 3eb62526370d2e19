"""Random scores: the baseline of every criterion."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ltb.core.criteria.criterion import Criterion, Evidence, Scores
from ltb.core.seeds import derive
from ltb.core.tensors import Weights


@dataclass(frozen=True)
class Random(Criterion):
    """Uniform scores in [0, 1), a function of (seed, layer) alone: masks of rising sparsity are nested, as pruning's are."""

    def __call__(self, weights: Weights, evidence: Evidence) -> Scores:
        scores = {}
        for name, weight in weights.items():
            generator = torch.Generator().manual_seed(derive(evidence.seed, "random scores", name))
            # Double: among 2**24 float values a large layer would draw many ties, which fall to the tie rule.
            scores[name] = torch.rand(weight.shape, generator=generator, dtype=torch.float64)
        return scores
