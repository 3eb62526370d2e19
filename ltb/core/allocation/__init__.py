"""Allocations: each shares a target sparsity out among weights, one family a file."""

from ltb.core.allocation.allocation import NO_EVIDENCE, Allocation, Shapes, keep_top, kept_count
from ltb.core.allocation.blocks import Blocks
from ltb.core.allocation.by_layer import ByLayer, apportion
from ltb.core.allocation.layerwise import Layerwise
from ltb.core.allocation.nm import NM
from ltb.core.allocation.overall import LAMP, Global
from ltb.core.allocation.per_layer import PerLayer
from ltb.core.allocation.proportional import ERK, Balanced, Uniform
from ltb.core.allocation.structured import Structured
from ltb.core.allocation.uniform_plus import UniformPlus

__all__ = [
    "ERK",
    "LAMP",
    "NM",
    "NO_EVIDENCE",
    "Allocation",
    "Balanced",
    "Blocks",
    "ByLayer",
    "Global",
    "Layerwise",
    "PerLayer",
    "Shapes",
    "Structured",
    "Uniform",
    "UniformPlus",
    "apportion",
    "keep_top",
    "kept_count",
]
