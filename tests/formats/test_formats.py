"""Storage formats: read back to the same bits, beside scipy.sparse and torch.sparse, and their sizes by the formulas."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from ltb.core.tensors import matrix
from ltb.formats import (
    BSR,
    COO,
    CSC,
    CSR,
    SPARSE,
    Bitmask,
    Dense,
    Relative,
    RelativeHuffman,
    TwoOfFour,
    narrowest,
    read,
    write,
)
from ltb.formats.huffman import code_lengths

FORMATS = [
    Dense(), Bitmask(), COO(), COO(8), CSR(), CSR(4), CSC(), CSC(8), BSR(), BSR(1), BSR(3, 4), Relative(), Relative(1), Relative(8),
    RelativeHuffman(), RelativeHuffman(1), RelativeHuffman(8),
]  # fmt: skip


@st.composite
def masked(draw):
    rows, columns = draw(st.integers(1, 9)), draw(st.integers(1, 300))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    mask = torch.rand(rows, columns, generator=generator) < draw(st.sampled_from([0.0, 0.01, 0.2, 0.9, 1.0]))
    values = torch.randn(rows, columns, generator=generator)
    values[torch.rand(rows, columns, generator=generator) < 0.1] = -0.0  # kept, and a 0 all the same
    return values.to(draw(st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))), mask


def bits(tensor):
    return tensor.reshape(-1).clone().view(torch.uint8)


@pytest.mark.parametrize("storage", FORMATS, ids=str)
@given(masked())
def test_what_was_written_is_read_back_to_the_bit(storage, given):
    values, mask = given
    expected = torch.where(mask, values, torch.zeros((), dtype=values.dtype))
    parts = storage.encode(values, mask)
    found = storage.decode(parts, tuple(values.shape))
    assert found.dtype == values.dtype
    assert torch.equal(bits(found), bits(expected))
    assert storage.size(values, mask) == sum(len(bits(part)) for part in parts.values())


@given(masked())
def test_sizes_are_those_of_the_formulas(given):
    values, mask = given
    (rows, columns), kept, value = values.shape, int(mask.sum()), values.element_size()
    assert Dense().size(values, mask) == rows * columns * value
    assert Bitmask().size(values, mask) == kept * value + math.ceil(rows * columns / 8)
    for width in (4, 8):
        assert COO(width).size(values, mask) == kept * (value + 2 * width)
        assert CSR(width).size(values, mask) == kept * (value + width) + width * (rows + 1)
        assert CSC(width).size(values, mask) == kept * (value + width) + width * (columns + 1)
    each = narrowest(max(rows, columns) - 1)
    assert COO().size(values, mask) == kept * (value + 2 * each)
    assert CSR().size(values, mask) == kept * (value + narrowest(columns - 1)) + narrowest(kept) * (rows + 1)


@given(masked())
def test_the_parts_are_scipys_and_torchs(given):
    values, mask = given
    values = values.double().abs() + 1  # scipy drops what is 0
    dense = np.where(mask, values, 0.0)
    for ours, theirs, along in (
        (CSR(4), sparse.csr_matrix(dense), "columns"),
        (CSC(4), sparse.csc_matrix(dense), "rows"),
    ):
        parts = ours.encode(values, mask)
        for name, expected in (("pointers", theirs.indptr), (along, theirs.indices), ("values", theirs.data)):
            np.testing.assert_array_equal(parts[name].numpy(), expected)
        assert ours.size(values, mask) == theirs.data.nbytes + theirs.indices.nbytes + theirs.indptr.nbytes
    parts, theirs = COO(8).encode(values, mask), torch.from_numpy(dense).to_sparse().coalesce()
    assert torch.equal(torch.stack([parts["rows"], parts["columns"]]), theirs.indices())
    assert torch.equal(parts["values"], theirs.values())


@given(masked(), st.integers(2, 4))
def test_blocks_are_scipys(given, block):
    values, mask = given
    values = values.double().abs() + 1
    rows, columns = (-size % block for size in values.shape)
    dense = np.pad(np.where(mask, values, 0.0), ((0, rows), (0, columns)))
    theirs = sparse.bsr_matrix(dense, blocksize=(block, block))
    theirs.sort_indices()
    parts = BSR(block, 4).encode(values, mask)
    np.testing.assert_array_equal(parts["pointers"].numpy(), theirs.indptr)
    np.testing.assert_array_equal(parts["columns"].numpy(), theirs.indices)
    np.testing.assert_array_equal(parts["values"].numpy(), theirs.data)


def test_relative_distances_by_hand():
    """Han et al. 2016, figure 2: entries at 1, 4 and 15 with 3 bits; the distance of 11 to the last takes a filler of 8."""
    values, mask = torch.zeros(1, 16), torch.zeros(1, 16, dtype=torch.bool)
    for place, value in ((1, 3.4), (4, 0.9), (15, 1.7)):
        values[0, place], mask[0, place] = value, True
    parts = Relative(3).encode(values, mask)
    assert parts["values"].tolist() == pytest.approx([3.4, 0.9, 0.0, 1.7])
    # Distances 1, 2, 7 (the filler) and 2, in three bits each: 001 010 111 010, padded to 16.
    assert parts["distances"].tolist() == [0b00101011, 0b10100000]


@pytest.mark.parametrize(
    ("storage", "shape", "expected"),
    [
        # protocols: break-even density against dense fp32, 300 × 784
        (COO(8), (300, 784), 0.200),
        (COO(4), (300, 784), 0.333),
        (COO(2), (300, 784), 0.500),
        (CSR(8), (300, 784), 0.332),
        (CSR(4), (300, 784), 0.499),
        (Bitmask(), (300, 784), 0.969),
        (CSR(4), (64, 576), 0.499),
        (COO(8), (64, 576), 0.200),
    ],
)
def test_break_even(storage, shape, expected):
    """The largest density at which a format is no larger than dense fp32."""
    values, total = torch.ones(shape), math.prod(shape)

    def pays(kept):
        mask = (torch.arange(total) < kept).reshape(shape)
        return storage.size(values, mask) <= 4 * total

    low, high = 0, total
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if pays(middle) else (low, middle - 1)
    assert low / total == pytest.approx(expected, abs=1e-3)


def test_a_convolution_is_a_matrix_and_a_vector_one_row():
    assert matrix(torch.zeros(64, 3, 5, 5)).shape == (64, 75)
    assert matrix(torch.zeros(7)).shape == (1, 7)


@given(masked())
def test_two_of_four_is_read_back_and_others_are_refused(given):
    values, mask = given
    rows, columns = values.shape
    padded = torch.nn.functional.pad(mask, (0, -columns % 4)).reshape(rows, -1, 4)
    fits = bool((padded.sum(2) <= 2).all())
    assert TwoOfFour().holds(mask) == fits
    if not fits:
        with pytest.raises(ValueError, match=r"^format=2:4: more than 2 of 4"):
            TwoOfFour().encode(values, mask)
        mask = (padded & (padded.cumsum(2) <= 2)).flatten(1)[:, :columns]
    found = TwoOfFour().decode(TwoOfFour().encode(values, mask), (rows, columns))
    assert torch.equal(bits(found), bits(torch.where(mask, values, torch.zeros((), dtype=values.dtype))))
    groups = padded.shape[0] * padded.shape[1]
    assert TwoOfFour().size(values, mask) == groups * 2 * values.element_size() + math.ceil(groups / 2)


def test_places_of_two_of_four_by_hand():
    mask = torch.tensor([[0, 1, 0, 1, 1, 0, 0, 0]]).bool()
    parts = TwoOfFour().encode(torch.arange(8.0)[None], mask)
    assert parts["values"].tolist() == [[[1, 3], [4, 0]]]
    assert parts["places"].tolist() == [0b01110001]  # 1 and 3; 0 and, of those that are pruned, 1


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=64))
def test_a_huffman_code_is_complete_and_as_short_as_any(counts):
    lengths, there = code_lengths(counts), [count for count in counts if count]
    assert [length > 0 for length in lengths] == [count > 0 for count in counts]
    if len(there) < 2:
        return
    assert sum(2.0**-length for length in lengths if length) == 1  # Kraft
    mean = sum(length * count for length, count in zip(lengths, counts, strict=True)) / sum(there)
    entropy = -sum(count / sum(there) * math.log2(count / sum(there)) for count in there)
    assert entropy - 1e-9 <= mean < entropy + 1
    # What is merged step by step adds up to the length of the code.
    merged, heap = 0, sorted(there)
    while len(heap) > 1:
        merged += heap[0] + heap[1]
        heap = sorted([heap[0] + heap[1], *heap[2:]])
    assert merged == sum(length * count for length, count in zip(lengths, counts, strict=True))


@pytest.mark.parametrize("storage", [*FORMATS, TwoOfFour()], ids=str)
@pytest.mark.parametrize("density", [0.02, 0.3])
def test_formulas_are_the_mean_over_random_masks(storage, density):
    shape, generator = (40, 300), torch.Generator().manual_seed(0)
    kept = torch.rand(shape, generator=generator) < density
    if not storage.holds(kept):
        kept &= torch.arange(300) % 4 < 2
    found = storage.size(torch.ones(shape), kept)
    assert found == pytest.approx(storage.formula(float(kept.float().mean()), shape, 4), rel=0.06)


@pytest.mark.parametrize("name", SPARSE)
def test_a_file_is_read_back_and_is_as_large_as_its_parts_and_a_header(name, tmp_path):
    weights = {"a": torch.randn(6, 8), "bias": torch.randn(6)}
    masks = {"a": torch.arange(48).reshape(6, 8) % 4 == 1}
    write(tmp_path / "file", weights, masks, name)
    back = read(tmp_path / "file")
    assert torch.equal(back["a"], weights["a"] * masks["a"])
    assert torch.equal(back["bias"], weights["bias"])
    parts = SPARSE[name]().size(weights["a"], masks["a"]) + 24
    assert parts < (tmp_path / "file").stat().st_size < parts + 700
