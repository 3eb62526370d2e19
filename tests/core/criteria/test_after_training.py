"""Taylor, Fisher and optimal brain damage against loops over examples; Zhou et al.'s scores by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from ltb.core import criteria
from ltb.core.criteria import Evidence, Fisher, GradientMoments, OptimalBrainDamage, Snip, Taylor, TaylorSquared
from ltb.core.masks import ones
from tests.core.criteria.small import Learner, batches, mlp, scores, weights_of
from tests.training.small import training


def loop(network, data, each):
    """The mean over `data` of what `each` says of a weight and its gradient, for one pair (x, y) at a time."""
    total = {name: torch.zeros_like(w) for name, w in weights_of(network).items()}
    for x, y in data:
        network.zero_grad()
        functional.cross_entropy(network(x), y).backward()
        for name, parameter in network.named_parameters():
            if name in total:
                total[name] += each(parameter.detach(), parameter.grad) / len(data)
    return total


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), count=st.integers(1, 3), size=st.integers(1, 4))
def test_each_is_what_a_loop_finds(seed, count, size):
    network = mlp(4, 5, 3, seed=seed)
    data = batches(network, count, size, seed)
    singles = [(x[i : i + 1], y[i : i + 1]) for x, y in data for i in range(size)]
    expected = {
        Taylor(count): loop(network, data, lambda w, g: (w * g).abs()),
        TaylorSquared(count): loop(network, data, lambda w, g: (w * g) ** 2),
        Fisher(count): loop(network, singles, lambda w, g: g**2),
        OptimalBrainDamage(count): loop(network, singles, lambda w, g: w**2 * g**2 / 2),
    }
    for criterion, wanted in expected.items():
        found = scores(criterion, network, data)
        assert found.keys() == wanted.keys()
        assert all(torch.allclose(found[name], wanted[name], rtol=1e-10, atol=1e-15) for name in wanted), criterion


def test_of_one_minibatch_taylor_is_snip_and_of_two_it_is_not():
    network = mlp(4, 5, 3)
    data = batches(network)
    for count in (1, 2):
        one, other = (scores(c(batches=count), network, data)["0.weight"] for c in (Taylor, Snip))
        assert torch.allclose(one, other) is (count == 1)


def test_examples_of_a_training_with_batch_normalisation_and_dropout():
    of = training()
    weights = of.initial()
    found = of.probe(GradientMoments(2, per_example=True), weights, ones(weights, of.prunable))["square"]
    assert {name: value.shape for name, value in found.items()} == {n: weights[n].shape for n in found}
    again = of.probe(GradientMoments(2, per_example=True), weights, ones(weights, of.prunable))["square"]
    assert all(torch.equal(found[name], again[name]) and found[name].sum() > 0 for name in of.prunable)


def test_examples_of_a_mapping_are_refused_in_one_line():
    with pytest.raises(ValueError, match=r"minibatches that are tuples of tensors, and one is a dict"):
        Fisher().probe(Learner(mlp(4, 3)), lambda: iter([{"x": 1}]))


NOW, BEFORE = [2.0, -1.0, 0.5, -3.0], [-1.0, -2.0, 0.25, -2.0]
LITERAL = {
    "SmallFinal": [-2.0, -1.0, -0.5, -3.0],
    "LargeInit": [1.0, 2.0, 0.25, 2.0],
    "SmallInit": [-1.0, -2.0, -0.25, -2.0],
    "LargeInitLargeFinal": [1.0, 1.0, 0.25, 2.0],
    "MagnitudeIncrease": [1.0, -1.0, 0.25, 1.0],
    "Displacement": [3.0, 1.0, 0.25, 1.0],
    "LargeFinalSameSign": [-2.0, 1.0, 0.5, 3.0],
    "LargeFinalDiffSign": [2.0, -1.0, -0.5, -3.0],
    "MagnitudeIncreaseSameSign": [-3.0, -1.0, 0.25, 1.0],
}


@pytest.mark.parametrize("name", LITERAL)
def test_literal_scores(name):
    evidence = Evidence(start={"a": torch.tensor(BEFORE)})
    assert getattr(criteria, name)()({"a": torch.tensor(NOW)}, evidence)["a"].tolist() == LITERAL[name]
