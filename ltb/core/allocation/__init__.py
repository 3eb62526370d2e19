"""Allocations: each shares a target sparsity out among weights, one family a file."""

from ltb.core.allocation.allocation import NO_EVIDENCE, Allocation, keep_top, kept_count
from ltb.core.allocation.layerwise import Layerwise
from ltb.core.allocation.overall import Global

__all__ = ["NO_EVIDENCE", "Allocation", "Global", "Layerwise", "keep_top", "kept_count"]
