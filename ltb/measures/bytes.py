"""The bytes that a pruned network takes, format by format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ltb.core import masks as m
from ltb.core.contracts import Bench
from ltb.core.masks import Masks
from ltb.core.measure import Measure
from ltb.core.results import Measurement, Number, Result
from ltb.core.tensors import Weights
from ltb.formats import BSR, COO, CSC, CSR, Bitmask, Dense, Format, Relative, matrix

# Without a number, each index is the narrowest that its matrix needs; 64 bits are torch's, 32 scipy's.
FORMATS: Mapping[str, Format] = {
    "dense": Dense(),
    "bitmask": Bitmask(),
    "coo": COO(),
    "coo64": COO(8),
    "csr": CSR(),
    "csr32": CSR(4),
    "csr64": CSR(8),
    "csc": CSC(),
    "csc32": CSC(4),
    "bsr": BSR(),
}
LINEAR, CONVOLUTION = Relative(5), Relative(8)  # Han et al. 2016
NUMBERS = ("coo_numbers", "csr_numbers", "csc_numbers")


@dataclass(frozen=True)
class Bytes(Measure):
    """The bytes of the trained weights in each storage format, by making its parts and counting them.

    Each prunable parameter is a matrix (out, in · kernel), in its own precision; the mask says what is kept, and what stands at
    pruned places and is not 0 is kept too. Values for the whole network, in bytes, and for each prunable parameter, as in
    ``csr/fc1.weight``:
    dense, bitmask, coo, csr, csc, bsr (blocks of 4 × 4) and relative (distances of 5 bits, of convolutions 8: Han et al. 2016);
    coo64 and csr64 with torch's indices, csr32 and csc32 with scipy's. All that is not prunable (biases, norms, buffers) is
    dense, and a part of each of the network's values; ``rest`` is its own.
    dense_bf16 and dense_int8: every floating-point entry at 2 and 1 bytes, what a cast alone saves, without scales.
    coo_numbers, csr_numbers, csc_numbers: how many numbers the prunable parameters take, 3a, 2a + rows + 1, 2a + columns + 1
    for a kept entries, as textbooks count them.
    """

    network: ClassVar[bool] = False

    def __call__(self, of: Sequence[Result], bench: Bench) -> Measurement:
        (result,) = of
        return Measurement(sizes(result.point.weights, m.standing(result.masks, result.point.weights)))


def sizes(weights: Weights, masks: Masks) -> dict[str, Number | None]:
    """Return the values of `Bytes` for weights and the masks of those that are prunable."""
    rest = {name: tensor for name, tensor in weights.items() if name not in masks}
    layers = {name: _layer(weights[name], mask) for name, mask in masks.items()}
    found: dict[str, Number | None] = {"rest": sum(map(_bytes, rest.values()))}
    for name in ("dense_bf16", "dense_int8"):
        found[name] = sum(_cast(tensor, name) for tensor in weights.values())
    for name in next(iter(layers.values()), {}):
        of_rest = 0 if name in NUMBERS else found["rest"]
        found[name] = of_rest + sum(layer[name] for layer in layers.values())  # type: ignore[operator]
    for layer, values in layers.items():
        found |= {f"{name}/{layer}": value for name, value in values.items()}
    return found


def _layer(weight: Tensor, mask: Tensor) -> dict[str, int]:
    values, kept = matrix(weight), matrix(mask)
    a, (rows, columns) = int(kept.sum()), values.shape
    relative = CONVOLUTION if weight.ndim > 2 else LINEAR
    return {
        **{name: storage.size(values, kept) for name, storage in {**FORMATS, "relative": relative}.items()},
        "coo_numbers": 3 * a,
        "csr_numbers": 2 * a + rows + 1,
        "csc_numbers": 2 * a + columns + 1,
    }


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _cast(tensor: Tensor, name: str) -> int:
    width = {"dense_bf16": torch.bfloat16, "dense_int8": torch.int8}[name].itemsize
    return tensor.numel() * width if tensor.is_floating_point() else _bytes(tensor)
