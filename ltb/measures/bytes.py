"""The bytes that a pruned network takes, format by format."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import zstandard
from torch import Tensor

from ltb.core import masks as m
from ltb.core.contracts import Bench
from ltb.core.masks import Masks
from ltb.core.measure import Measure
from ltb.core.results import Measurement, Number, Result
from ltb.core.tensors import Weights, matrix
from ltb.formats import BSR, COO, CSC, CSR, Bitmask, Dense, Format, Relative, RelativeHuffman, TwoOfFour
from ltb.formats.codes import FORMATS as CODED
from ltb.formats.codes import codes_of

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
    "2:4": TwoOfFour(),
}
# Han et al. 2016: distances of 5 bits, of convolutions of 8.
LINEAR: Mapping[str, Format] = {"relative": Relative(5), "huffman": RelativeHuffman(5)}
CONVOLUTION: Mapping[str, Format] = {"relative": Relative(8), "huffman": RelativeHuffman(8)}
CASTS = {"bf16": torch.bfloat16, "int8": torch.int8}
CAST = ("dense", "bitmask", "csr", "huffman")  # formats whose values are narrowed too
ZSTD = ("dense", "bitmask", "csr", "huffman")  # and those that a general compressor is run over

Sizes = dict[str, Number | None]


@dataclass(frozen=True)
class Bytes(Measure):
    """The bytes of the trained weights in each storage format, by making its parts and counting them.

    Each prunable parameter is a matrix (out, in · kernel), in its own precision; the mask says what is kept, and what stands at
    pruned places and is not 0 is kept too. Values for the whole network, in bytes, and for each prunable parameter, as in
    ``csr/fc1.weight``:
    dense, bitmask, coo, csr, csc, bsr (blocks of 4 × 4), relative (distances of 5 bits, of convolutions 8: Han et al. 2016) and
    huffman (those in a Huffman code); coo64 and csr64 with torch's indices, csr32 and csc32 with scipy's; 2:4, None where more
    than 2 of 4 weights in a row are kept. All that is not prunable (biases, norms, buffers) is dense, and a part of each of the
    network's values; ``rest`` is its own.
    dense_bf16, bitmask_bf16, csr_bf16, huffman_bf16 and the same with int8: every floating-point entry at 2 and 1 bytes, without
    scales; what such a network is worth is another question.
    dense_zstd, bitmask_zstd, csr_zstd and huffman_zstd: the parts, one after another, through zstd (level 3).
    dense_codes, bitmask_codes, csr_codes and huffman_codes: weights that ``execution=int8``, ``int4`` or ``shared`` left on a grid,
    or that have at most 256 distinct values, as codes of few bits with their scales or table (`ltb.formats.codes`); huffman_codes
    with the codes in a Huffman code, too, is all of Deep Compression. None where a parameter is on no grid.
    coo_numbers, csr_numbers, csc_numbers: how many numbers the prunable parameters take, 3a, 2a + rows + 1, 2a + columns + 1
    for a kept entries, as textbooks count them.
    """

    network: ClassVar[bool] = False
    version: ClassVar[int] = 3

    def __call__(self, of: Sequence[Result], bench: Bench) -> Measurement:
        (result,) = of
        return Measurement(sizes(result.point.weights, m.standing(result.masks, result.point.weights)))


def sizes(weights: Weights, masks: Masks) -> Sizes:
    """Return the values of `Bytes` for weights and the masks of those that are prunable."""
    rest = {name: tensor for name, tensor in weights.items() if name not in masks}
    layers = {name: _layer(weights[name], mask) for name, mask in masks.items()}
    of_rest: Sizes = {"rest": sum(map(_bytes, rest.values()))}
    of_rest |= {cast: sum(_cast(tensor, kind) for tensor in rest.values()) for cast, kind in CASTS.items()}
    of_rest |= {"zstd": _zstd(rest.values()), "numbers": 0}
    found: Sizes = {"rest": of_rest["rest"]}
    for name in next(iter(layers.values()), {}):
        kind = name.rpartition("_")[2]
        found[name] = _sum([of_rest.get(kind, of_rest["rest"]), *(layer[name] for layer in layers.values())])
    for layer, values in layers.items():
        found |= {f"{name}/{layer}": value for name, value in values.items()}
    return found


def expected(weights: Weights, prunable: Collection[str], density: float) -> dict[str, float]:
    """Return the bytes of weights in each lossless format, by its formula: each prunable parameter keeps a share of `density`.

    As `Bytes` counts them, on average over uniformly random masks. 2:4 keeps no random mask, and is left out.
    """
    rest = float(sum(_bytes(tensor) for name, tensor in weights.items() if name not in prunable))
    found: dict[str, float] = {}
    for name in prunable:
        weight = weights[name]
        rows, columns = matrix(weight).shape
        for kind, storage in _formats(weight).items():
            if kind != "2:4":
                size = storage.formula(density, (rows, columns), weight.element_size())
                found[kind] = found.get(kind, rest) + size
    return found


def _formats(weight: Tensor) -> Mapping[str, Format]:
    return {**FORMATS, **(CONVOLUTION if weight.ndim > 2 else LINEAR)}


def _layer(weight: Tensor, mask: Tensor) -> Sizes:
    values, kept = matrix(weight), matrix(mask)
    a, (rows, columns) = int(kept.sum()), values.shape
    formats = _formats(weight)
    parts = {name: storage.encode(values, kept).values() for name, storage in formats.items() if storage.holds(kept)}
    found: Sizes = {name: sum(map(_bytes, parts[name])) if name in parts else None for name in formats}
    for cast, kind in CASTS.items():
        found |= {f"{name}_{cast}": formats[name].size(values.to(kind), kept) for name in CAST}
    found |= {f"{name}_zstd": _zstd(parts[name]) for name in ZSTD}
    codes = codes_of(values, kept)
    found |= {f"{name}_codes": None if codes is None else codes.size(name, kept) for name in CODED}
    found["huffman_codes"] = None if codes is None else codes.huffman(kept, 8 if weight.ndim > 2 else 5)
    return found | {"coo_numbers": 3 * a, "csr_numbers": 2 * a + rows + 1, "csc_numbers": 2 * a + columns + 1}


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _cast(tensor: Tensor, kind: torch.dtype) -> int:
    return tensor.numel() * kind.itemsize if tensor.is_floating_point() else _bytes(tensor)


def _zstd(parts: Iterable[Tensor]) -> int:
    """Return what tensors take, one after another, through zstd."""
    contents = b"".join(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() for tensor in parts)
    return len(zstandard.ZstdCompressor().compress(contents)) if contents else 0


def _sum(parts: Sequence[Number | None]) -> Number | None:
    return None if None in parts else sum(parts)  # type: ignore[arg-type]
