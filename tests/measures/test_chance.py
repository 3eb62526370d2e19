"""The distribution of a random overlap: scipy's, sums by enumeration, and sampled masks."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ltb.measures.chance import hypergeometric, sum_of


@st.composite
def counts(draw, largest=400):
    total = draw(st.integers(1, largest))
    return total, draw(st.integers(0, total)), draw(st.integers(0, total))


@given(counts())
def test_scipy_agrees(given):
    total, one, other = given
    found, theirs = hypergeometric(total, one, other), stats.hypergeom(total, one, other)
    values = range(found.first, found.first + len(found.probabilities))
    assert found.probabilities.tolist() == pytest.approx(theirs.pmf(values).tolist(), abs=1e-12)
    assert found.mean == pytest.approx(sum(k * float(p) for k, p in enumerate(theirs.pmf(range(one + 1)))), abs=1e-12)
    assert found.variance == pytest.approx(one * other * (total - one) * (total - other) / total**2 / max(1, total - 1))
    assert found.expectation(lambda k: k / total) == pytest.approx(found.mean / total)


@pytest.mark.parametrize(
    ("total", "one", "other"),
    [
        (10**6, 1000, 1000),
        (10**6, 3, 999_998),
        (25_000_000, 250_000, 5_000_000),
        (10**8, 10**4, 10**4),
        (10**9, 10**8, 10**8),
    ],
)
def test_what_is_left_out_of_large_layers_does_not_count(total, one, other):
    found, theirs = hypergeometric(total, one, other), stats.hypergeom(total, one, other)
    last = found.first + len(found.probabilities) - 1
    assert theirs.cdf(found.first - 1) + theirs.sf(last) < 1e-18
    counts = torch.arange(found.first, last + 1, dtype=torch.float64)
    mean = float((counts * found.probabilities).sum())
    assert mean == pytest.approx(found.mean, rel=1e-12)
    assert float(((counts - mean) ** 2 * found.probabilities).sum()) == pytest.approx(found.variance, rel=1e-9)


@given(st.lists(counts(largest=12), min_size=1, max_size=4))
def test_a_sum_by_enumeration(layers):
    chances = [hypergeometric(*layer) for layer in layers]
    pmfs = [enumerate(stats.hypergeom.pmf(range(layer[0] + 1), *layer).tolist()) for layer in layers]
    expected = {}
    for drawn in itertools.product(*pmfs):
        shared, probabilities = zip(*drawn, strict=True)
        expected[sum(shared)] = expected.get(sum(shared), 0) + math.prod(probabilities)
    found = sum_of(chances)
    got = dict(enumerate(found.probabilities.tolist(), found.first))
    assert all(got.get(value, 0) == pytest.approx(probability, abs=1e-12) for value, probability in expected.items())
    assert sum(got.values()) == pytest.approx(1)
    mean = sum(value * probability for value, probability in expected.items())
    assert found.mean == pytest.approx(mean)
    variance = sum((value - mean) ** 2 * probability for value, probability in expected.items())
    assert found.variance == pytest.approx(variance, abs=1e-9)


def test_a_sum_of_many_large_layers_stays_short():
    layers = [(2_000_000, 200_000, 200_000)] * 50
    found = sum_of(hypergeometric(*layer) for layer in layers)
    assert len(found.probabilities) < 21 * math.sqrt(found.variance) + 100
    counts = torch.arange(found.first, found.first + len(found.probabilities), dtype=torch.float64)
    assert float((counts * found.probabilities).sum()) == pytest.approx(found.mean, rel=1e-12)
