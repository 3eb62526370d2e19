"""Each criterion says whether its scores may be below 0."""

import inspect

import pytest
import torch

from ltb.core import criteria
from ltb.core.criteria import Criterion, Evidence

KINDS = [kind for kind in vars(criteria).values() if inspect.isclass(kind) and issubclass(kind, Criterion)]
KINDS = [kind for kind in KINDS if not inspect.isabstract(kind)]


def drawn(seed):
    return {"a": torch.randn(9, 9, generator=torch.Generator().manual_seed(seed))}


@pytest.mark.parametrize("kind", KINDS)
def test_a_criterion_has_scores_below_0_if_it_says_so_and_only_then(kind):
    moments = {name: {"a": drawn(3)["a"].abs()} for name in ("absolute", "square", "flow")}
    gradients = {name: drawn(2) for name in ("gradient", "hessian_gradient")}
    scores = kind()(drawn(0), Evidence(0, drawn(1), {**moments, **gradients}))
    assert bool((scores["a"] < 0).any()) == kind().signed
