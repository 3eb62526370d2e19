"""Block sparsity: rectangles of a weight's matrix are kept or pruned whole."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ltb.common.allowed import Count, CountFromZero, settle
from ltb.core.allocation.allocation import NO_EVIDENCE, Allocation, Shapes, kept_count, shapes_of
from ltb.core.allocation.overall import check_minimum, rank_together
from ltb.core.criteria import Evidence, Scores
from ltb.core.masks import Masks


@dataclass(frozen=True)
class Blocks(Allocation):
    """Blocks of `rows` × `columns` weights, in one ranking of their summed scores over all layers (Gray et al. 2017).

    A weight is a matrix of (outputs, all else): a convolution's of (out, in · kernel height · kernel width). Blocks at its lower
    and right edge are cut where the block's size does not divide the matrix's, and each counts as one. The exact number is of
    blocks: of B a target s keeps B − round(B · s), which is a sparsity of s in weights too where no block is cut; what the
    network has is recorded beside it. A block that `masks` keeps a weight of is a candidate. `min_per_layer` blocks of each layer
    are kept whatever their rank.
    """

    counted = "blocks"
    patterned = True

    rows: Count = 4
    columns: Count = 4
    min_per_layer: CountFromZero = 0

    def __post_init__(self) -> None:
        settle(self, "allocation")

    def kept(self, shapes: Shapes, target: float) -> int:
        return kept_count(sum(map(self._blocks, shapes.values())), target)

    def check(self, shapes: Shapes, targets: Sequence[float]) -> None:
        kept, blocks = self.kept(shapes, targets[-1]), [*map(self._blocks, shapes.values())]
        check_minimum(self.min_per_layer, blocks, kept, targets[-1], self.counted)

    def _blocks(self, shape: tuple[int, ...]) -> int:
        return math.ceil(shape[0] / self.rows) * math.ceil(math.prod(shape[1:]) / self.columns)

    def __call__(
        self, scores: Scores, masks: Masks, target: float, evidence: Evidence = NO_EVIDENCE
    ) -> dict[str, Tensor]:
        shapes = shapes_of(masks)
        self.check(shapes, [target])
        alive = {name: self._sums(mask.double()) > 0 for name, mask in masks.items()}
        sums = {name: self._sums(scores[name].double().where(mask, 0.0)) for name, mask in masks.items()}
        kept = rank_together(sums, alive, self.kept(shapes, target), self.min_per_layer)
        return {name: self._weights(kept[name], mask.shape) & mask for name, mask in masks.items()}

    def _sums(self, weight: Tensor) -> Tensor:
        """The sum of each block, (rows of blocks, columns of blocks)."""
        matrix = weight.reshape(weight.shape[0], -1)
        rows, columns = self._size(weight.shape)
        below, right = -matrix.shape[0] % rows, -matrix.shape[1] % columns
        padded = functional.pad(matrix, (0, right, 0, below))
        high, wide = padded.shape[0] // rows, padded.shape[1] // columns
        return padded.reshape(high, rows, wide, columns).sum((1, 3))

    def _size(self, shape: torch.Size) -> tuple[int, int]:
        """A block's size, cut to that of the matrix: what lies beyond it takes no memory."""
        return min(self.rows, shape[0]), min(self.columns, math.prod(shape[1:]))

    def _weights(self, blocks: Tensor, shape: torch.Size) -> Tensor:
        """The mask of the weights of what `blocks` keeps."""
        rows, columns = self._size(shape)
        whole = blocks.repeat_interleave(rows, 0).repeat_interleave(columns, 1)
        return whole[: shape[0], : math.prod(shape[1:])].reshape(shape)
