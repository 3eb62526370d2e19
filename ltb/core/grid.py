"""Numbers on a grid: weights as small whole numbers times a scale, and as entries of a table."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from ltb.core.tensors import matrix

SIGNIFICANT = 16  # bits of a scale: its product with a whole number of 8 is exact in float32
Group = Literal[16, 32, 64, 128, 256]  # weights that share a scale of few bits
ROUNDS = 300  # of Lloyd's algorithm at most; it ends by itself much earlier


def grouped(weight: Tensor, group: int | None) -> Tensor:
    """Return a weight as (rows, groups, weights of a group), with zeros where a row's last group is short; None for whole rows.

    >>> grouped(torch.arange(1.0, 4.0), 2).tolist()
    [[[1.0, 2.0], [3.0, 0.0]]]
    """
    rows = matrix(weight)
    size = min(group or rows.shape[1], rows.shape[1])
    return functional.pad(rows, (0, -rows.shape[1] % size)).reshape(rows.shape[0], -1, size)


def integers(groups: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Return groups of weights as (whole numbers, scale of each group): the nearest in ±(2^(bits − 1) − 1), symmetric.

    The scale is the largest magnitude over the largest number, rounded up to 16 significant bits: nothing is clipped, the product
    is exact in float32 up to 8 bits, and products give the same numbers and scales again. Of two as near the even one is taken.
    """
    largest = 2 ** (bits - 1) - 1
    mantissa, exponent = torch.frexp(groups.abs().amax(-1, keepdim=True) / largest)
    scales = torch.ldexp(torch.ceil(mantissa * 2**SIGNIFICANT) / 2**SIGNIFICANT, exponent)
    # Where all are 0 so is the scale, and 0 / 0 is no number; adding 0 makes 0 of −0.
    return torch.round(groups / torch.where(scales > 0, scales, 1)) + 0.0, scales


def clusters(values: Tensor, count: int) -> Tensor:
    """Return the centres, ascending, of k-means over numbers of one dimension, `count` at most: float64.

    Centres begin at equal distances from the least to the largest number (Han et al. 2016, section 3.2) and move to the means of
    what is nearest to them until none changes; one to which nothing is nearest stays. Where there are no more distinct numbers
    than `count`, those are the centres.
    """
    ordered = values.double().flatten().sort().values
    distinct = ordered.unique_consecutive()
    if len(distinct) <= count:
        return distinct
    centres = torch.linspace(float(ordered[0]), float(ordered[-1]), count, dtype=torch.float64)
    sums, before = functional.pad(ordered.cumsum(0), (1, 0)), None
    for _ in range(ROUNDS):
        inner = torch.searchsorted(ordered, (centres[1:] + centres[:-1]) / 2)
        if before is not None and torch.equal(inner, before):
            break
        ends = torch.cat([torch.zeros(1, dtype=inner.dtype), inner, torch.tensor([len(ordered)])])
        number = ends.diff()
        centres = torch.where(number > 0, sums[ends].diff() / number.clamp(min=1), centres)
        before = inner
    return centres


def nearest(values: Tensor, centres: Tensor) -> Tensor:
    """Return the index of the nearest of ascending `centres` for each value; of two as near the larger one.

    >>> nearest(torch.tensor([0.0, 0.6, 9.0]), torch.tensor([0.0, 1.0])).tolist()
    [0, 1, 1]
    """
    return torch.searchsorted((centres[1:] + centres[:-1]) / 2, values.to(centres.dtype), right=True)
