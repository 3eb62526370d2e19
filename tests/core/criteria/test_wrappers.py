import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ltb.core.allocation import Global
from ltb.core.criteria import Evidence, Inverted, Magnitude, PerTensorNorm, Snip, Synflow, ZScore
from ltb.core.masks import ones
from ltb.core.rewind import Weights


@given(seed=st.integers(0, 1000), removed=st.integers(1, 59))
def test_the_inverted_ranking_keeps_what_the_other_prunes_of_the_other_number(seed, removed):
    generator = torch.Generator().manual_seed(seed)
    weights = {"a": torch.randn(5, 8, generator=generator), "b": torch.randn(20, generator=generator)}
    masks = ones(weights, weights)
    kept = Global()(Magnitude()(weights, Evidence()), masks, removed / 60)
    inverted = Global()(Inverted()(weights, Evidence()), masks, (60 - removed) / 60)
    assert all(torch.equal(inverted[name], ~kept[name]) for name in weights)


def test_a_wrapper_takes_over_probe_rounds_and_regrowth():
    for inner in (Snip(batches=3, rounds=7, regrows=True), Synflow(), Magnitude()):
        for wrapper in (Inverted(inner), ZScore(PerTensorNorm(inner))):
            assert (wrapper.probe, wrapper.rounds, wrapper.regrows) == (inner.probe, inner.rounds, inner.regrows)
    with pytest.raises(ValueError, match=r"criterion.criterion=Weights.*Criterion"):
        Inverted(Weights())


def test_literal_norms():
    weights = {"a": torch.tensor([3.0, -4.0]), "b": torch.zeros(2), "c": torch.tensor([0.0, 1.0, 2.0, 3.0])}
    norm, score = (w(weights, Evidence()) for w in (PerTensorNorm(), ZScore()))
    assert torch.allclose(norm["a"], torch.tensor([0.6, 0.8]))
    assert norm["b"].tolist() == score["b"].tolist() == [0.0, 0.0]
    assert torch.allclose(score["c"], torch.tensor([-1.5, -0.5, 0.5, 1.5]) / 1.25**0.5)
