"""Grids: whole numbers as torch's own fake quantisation has them, centres as a plain loop of Lloyd's finds them."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ltb.core.grid import clusters, grouped, integers, nearest


@st.composite
def weights(draw, most=40):
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, most)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    drawn = torch.randn(shape, generator=generator) * 10.0 ** draw(st.integers(-6, 3))
    return torch.where(torch.rand(shape, generator=generator) < draw(st.sampled_from([0.0, 0.3, 1.0])), 0.0, drawn)


@given(weights(), st.sampled_from([2, 4, 8]), st.sampled_from([None, 1, 3, 32]))
def test_whole_numbers_are_the_nearest_and_can_be_read_again(weight, bits, group):
    groups = grouped(weight, group)
    numbers, scales = integers(groups, bits)
    assert numbers.abs().max() <= 2 ** (bits - 1) - 1
    made = numbers * scales
    assert torch.equal(made.double(), numbers.double() * scales.double())  # the product is exact
    assert bool(((made - groups).abs() <= scales / 2 * (1 + 1e-6)).all())
    again, same = integers(made, bits)
    assert torch.equal(again, numbers)
    assert torch.equal(same, scales)
    # A row's groups, one after another, are the row.
    assert torch.equal(groups.flatten(1)[:, : weight.shape[1]], weight)


@given(weights())
def test_they_are_those_of_torchs_fake_quantisation(weight):
    numbers, scales = integers(grouped(weight, None), 8)
    flat = scales.flatten().clone()
    flat[flat == 0] = 1
    expected = torch.fake_quantize_per_channel_affine(
        weight, flat, torch.zeros(len(flat), dtype=torch.int32), 0, -127, 127
    )
    assert torch.allclose((numbers * scales).flatten(1), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("row", "bits", "numbers", "scale"),
    [
        ([7.0, -3.4, 0.6, 0.0], 4, [7, -3, 1, 0], 1.0),
        ([0.5, 2.5, 3.5, 7.0], 4, [0, 2, 4, 7], 1.0),  # of two as near the even one
        ([127.0, 1.0, -127.0], 8, [127, 1, -127], 1.0),
        ([0.0, 0.0], 8, [0, 0], 0.0),
        ([3.0, -1.4], 2, [1, 0], 3.0),
    ],
)
def test_by_hand(row, bits, numbers, scale):
    found, scales = integers(torch.tensor([[row]]), bits)
    assert found.flatten().tolist() == numbers
    assert scales.item() == scale


def lloyd(values, count):
    """The same in plain Python, float64."""
    low, high = min(values), max(values)
    centres = [low + (high - low) * i / (count - 1) for i in range(count)]
    for _ in range(300):
        of = [min(range(count), key=lambda i: (abs(value - centres[i]), -i)) for value in values]
        moved = [[v for v, i in zip(values, of, strict=True) if i == c] for c in range(count)]
        new = [math.fsum(its) / len(its) if its else centre for its, centre in zip(moved, centres, strict=True)]
        if all(abs(a - b) < 1e-15 for a, b in zip(new, centres, strict=True)):
            break
        centres = new
    return centres


@given(st.integers(0, 10**6), st.sampled_from([2, 3, 8]), st.integers(9, 60))
def test_centres_are_those_of_a_plain_loop(seed, count, number):
    values = torch.randn(number, generator=torch.Generator().manual_seed(seed))
    assert clusters(values, count).tolist() == pytest.approx(lloyd(values.double().tolist(), count), abs=1e-12)


@given(st.lists(st.sampled_from([-2.0, -0.5, 0.0, 0.25, 9.0]), min_size=1, max_size=30))
def test_few_distinct_numbers_are_their_own_centres(values):
    centres = clusters(torch.tensor(values), 5)
    assert centres.tolist() == sorted(set(values))
    assert centres[nearest(torch.tensor(values), centres)].tolist() == values
