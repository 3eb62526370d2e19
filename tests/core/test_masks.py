import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ltb.core import masks as m

shapes = st.lists(st.integers(1, 7), min_size=1, max_size=3).map(tuple)


@given(shapes, st.integers(0, 2**32))
def test_packed_masks_take_one_bit_a_weight_and_come_back(shape, seed):
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.5
    packed = m.pack(mask)
    assert packed.dtype == torch.uint8
    assert packed.numel() == math.ceil(mask.numel() / 8)
    assert torch.equal(m.unpack(packed, shape), mask)


def test_a_packed_mask_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="has 2 bytes, not 1"):
        m.unpack(m.pack(torch.ones(8, dtype=torch.bool)), (9,))


def test_applying_masks_prunes_to_plus_zero_and_keeps_every_other_bit():
    weights = {"w": torch.tensor([-1.0, math.nan, math.inf, -0.0]), "bias": torch.tensor([2.0])}
    mask = torch.tensor([False, False, True, True])
    applied = m.apply(weights, {"w": mask})
    assert applied["w"].view(torch.int32).tolist() == [0, 0, *weights["w"].view(torch.int32).tolist()[2:]]
    assert applied["bias"].tolist() == [2.0]
    assert applied["bias"].data_ptr() != weights["bias"].data_ptr()


def test_counts():
    masks = {"a": torch.tensor([True, False, True, True]), "b": torch.tensor([False, False])}
    assert (m.total(masks), m.remaining(masks)) == (6, 3)
    assert (m.density(masks), m.sparsity(masks)) == (0.5, 0.5)
    assert m.collapsed(masks) == ("b",)
    assert m.nested({"a": torch.tensor([True, False, False, True]), "b": masks["b"]}, masks)
    assert not m.nested({"a": torch.tensor([True, True, True, True]), "b": masks["b"]}, masks)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ({"v": torch.ones(2, dtype=torch.bool)}, "names no weight"),
        ({"w": torch.ones(2)}, "a mask is torch.bool"),
        ({"w": torch.ones(3, dtype=torch.bool)}, r"is \(3,\); its weight is \(2,\)"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(mask, message):
    with pytest.raises(ValueError, match=message):
        m.apply({"w": torch.ones(2)}, mask)
