"""Numbers in JSON, which has none that are not finite: there they are the texts "nan", "inf" and "-inf". Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

TEXTS = ("nan", "inf", "-inf")


def as_texts(node: Any) -> Any:
    """Return plain data in which floats that are not finite, at any depth, are texts.

    >>> as_texts({"values": {"val/loss": math.nan}, "history": [{"val/loss": -math.inf, "step": 1}]})
    {'values': {'val/loss': 'nan'}, 'history': [{'val/loss': '-inf', 'step': 1}]}
    """
    if isinstance(node, Mapping):
        return {key: as_texts(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [as_texts(value) for value in node]
    return str(node) if isinstance(node, float) and not math.isfinite(node) else node


def as_numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping of numbers, those that are such texts as floats again; None stays.

    >>> as_numbers({"val/loss": "nan", "step": 1, "epoch": None})
    {'val/loss': nan, 'step': 1, 'epoch': None}
    """
    return {name: float(value) if value in TEXTS else value for name, value in row.items()}
