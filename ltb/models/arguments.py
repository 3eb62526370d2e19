"""Arguments that models have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from ltb.common.allowed import Count, Limits

Shape = Annotated[Sequence[Count], Limits("one or more", least=1)]


def image_shape(shape: Sequence[int], least: int = 1) -> tuple[int, int, int]:
    """Return ``shape``, if it is (channels, height, width) with at least ``least`` pixels each way; ``ValueError`` otherwise."""
    if len(shape) != 3 or min(shape[1:]) < least:
        raise ValueError(f"model.shape={list(shape)}: [channels, height, width], height and width at least {least}")
    return shape[0], shape[1], shape[2]
