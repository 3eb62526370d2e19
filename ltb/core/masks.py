"""Masks: a mapping from a prunable parameter's name to a bool tensor of its shape; True is kept. Free functions over it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from ltb.core.tensors import Weights

Masks = Mapping[str, Tensor]


def ones(weights: Weights, names: Iterable[str]) -> dict[str, Tensor]:
    """The dense masks: everything is kept."""
    return {name: torch.ones(weights[name].shape, dtype=torch.bool) for name in names}


def check(masks: Masks, weights: Weights) -> None:
    """Raise ValueError unless each mask is a bool tensor of the shape of the weight, a float, that it names."""
    for name, mask in masks.items():
        if name not in weights:
            raise ValueError(f"mask {name!r} names no weight; there are {', '.join(weights)}")
        found = getattr(mask, "dtype", type(mask).__name__)
        if found != torch.bool:  # another type would pass for one: bits of a weight would be kept, not the weight
            raise ValueError(f"mask {name!r} is {found}; a mask is torch.bool")
        if mask.shape != weights[name].shape:
            raise ValueError(f"mask {name!r} is {tuple(mask.shape)}; its weight is {tuple(weights[name].shape)}")
        if not (weights[name].is_floating_point() or weights[name].is_complex()):
            raise ValueError(f"mask {name!r}: its weight is {weights[name].dtype}, and no such number is pruned")


def apply(weights: Weights, masks: Masks) -> dict[str, Tensor]:
    """Copies of `weights` in which every pruned weight is exactly +0.0 and every other bit is as it was."""
    check(masks, weights)
    return {
        name: torch.where(masks[name], tensor, torch.zeros((), dtype=tensor.dtype)) if name in masks else tensor.clone()
        for name, tensor in weights.items()
    }


def standing(masks: Masks, weights: Weights) -> dict[str, Tensor]:
    """What a network needs of its prunable weights: what is kept, and what stands at pruned places and is not 0."""
    return {name: mask | (weights[name] != 0) for name, mask in masks.items()}


def total(masks: Masks) -> int:
    """Return how many weights are prunable."""
    return sum(mask.numel() for mask in masks.values())


def distance(one: Masks, other: Masks) -> float:
    """Return the normalised Hamming distance of masks of the same names and shapes, in [0, 1].

    >>> one, other = ({"a": torch.tensor(bits).bool()} for bits in ([1, 1, 0, 0], [1, 0, 1, 0]))
    >>> distance(one, other)
    0.5
    """
    return sum(int((one[name] != other[name]).sum()) for name in one) / total(one)


def remaining(masks: Masks) -> int:
    """Return how many of the prunable weights are kept."""
    return sum(int(mask.sum()) for mask in masks.values())


def density(masks: Masks) -> float:
    """Fraction of the prunable weights that is kept, in [0, 1]."""
    return remaining(masks) / total(masks)


def sparsity(masks: Masks) -> float:
    """Fraction of the prunable weights that is removed, in [0, 1]."""
    return (total(masks) - remaining(masks)) / total(masks)


def collapsed(masks: Masks) -> tuple[str, ...]:
    """Layers in which nothing is left: no signal passes them."""
    return tuple(name for name, mask in masks.items() if not mask.any())


def nested(inner: Masks, outer: Masks) -> bool:
    """Return whether all that `inner` keeps is kept by `outer` too."""
    return inner.keys() == outer.keys() and all(not (inner[name] & ~outer[name]).any() for name in inner)


_BITS = torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype=torch.uint8)


def pack(mask: Tensor) -> Tensor:
    """One bit a weight: a uint8 vector of ceil(n / 8) entries, first weight in the highest bit, the end padded with 0.

    >>> pack(torch.tensor([True, False, False, False, False, False, False, True, True])).tolist()
    [129, 128]
    """
    if mask.dtype != torch.bool:
        raise ValueError(f"a mask is torch.bool, not {mask.dtype}")
    flat = mask.reshape(-1).to(torch.uint8)
    flat = torch.nn.functional.pad(flat, (0, -len(flat) % 8))
    return (flat.reshape(-1, 8) * _BITS).sum(dim=1, dtype=torch.uint8)


def unpack(packed: Tensor, shape: Iterable[int]) -> Tensor:
    """The bool tensor of `shape` that `pack` was given. Raises ValueError when the number of bytes does not fit."""
    shape = torch.Size(shape)
    if packed.dtype != torch.uint8 or packed.numel() != -(-shape.numel() // 8):
        raise ValueError(
            f"a packed mask of shape {tuple(shape)} has {-(-shape.numel() // 8)} bytes, not {packed.numel()}"
        )
    bits = (packed[:, None] & _BITS) != 0
    return bits.reshape(-1)[: shape.numel()].reshape(shape)
