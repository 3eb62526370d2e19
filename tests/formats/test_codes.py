"""Codes: found in weights on a grid, to the bit, and in nothing else; their sizes by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ltb.execution import Int4, Int8, Shared
from ltb.formats.codes import codes_of
from ltb.formats.huffman import code_lengths


@given(
    st.sampled_from([Int8(), Int4(), Shared(), Shared(bits=2), Shared(bits=8)]),
    st.tuples(st.integers(1, 8), st.integers(1, 80)),
    st.sampled_from([0.05, 0.5, 1.0]),
    st.integers(0, 10**6),
)
def test_they_are_found_in_what_a_quantised_execution_leaves(execution, shape, density, seed):
    generator = torch.Generator().manual_seed(seed)
    weight, mask = torch.randn(shape, generator=generator), torch.rand(shape, generator=generator) < density
    values = execution.on_grid(weight, mask)
    assert torch.equal(execution.on_grid(values, mask), values)  # a second time changes nothing
    assert not values[~mask].any()
    found = codes_of(values, mask)
    if not mask.any():
        return
    assert torch.equal(found.values, values)
    bits = {Int8: 8, Int4: 4, Shared: getattr(execution, "bits", 0)}[type(execution)]
    assert found.bits <= bits


def test_other_weights_have_none():
    weight = torch.randn(40, 40, generator=torch.Generator().manual_seed(0))
    assert codes_of(weight, torch.ones(40, 40, dtype=torch.bool)) is None


@pytest.mark.parametrize(
    ("execution", "dense", "bitmask"),
    [
        (Int8(), 4 * 64 + 4 * 4, 4 * 64 // 8 + 128 + 4 * 4),  # a scale a row
        (Int4(), 4 * 64 // 2 + 4 * 4 * 2, 4 * 64 // 8 + 64 + 4 * 4 * 2),  # a scale for each half of a row
        (Shared(bits=2), 4 * 64 * 3 // 8 + 16, 4 * 64 // 8 + 128 * 2 // 8 + 16),  # 0 is a fifth value of a dense matrix
    ],
)
def test_sizes_by_hand(execution, dense, bitmask):
    weight = torch.randn(4, 64, generator=torch.Generator().manual_seed(1))
    mask = torch.arange(64).expand(4, 64) % 2 == 0
    found = codes_of(execution.on_grid(weight, mask), mask)
    assert (found.size("dense", mask), found.size("bitmask", mask)) == (dense, bitmask)


def test_deep_compression_by_hand():
    """Two values, three of one and one of the other: a bit each; no distance but 0 and 1."""
    values = torch.tensor([[0.5, 0.0, 0.5, 0.5, 0.0, -1.0]])
    mask = values != 0
    found = codes_of(values, mask)
    # Distances 0, 1, 0, 1 and codes 2, 2, 2, 1, a bit each; tables of code lengths of 2^5 and 2^1 bytes, and of two values.
    assert code_lengths([3, 1]) == [1, 1]
    assert found.bits == 1
    assert found.huffman(mask, 5) == (32 + 1) + (2 + 1) + 2 * 4
