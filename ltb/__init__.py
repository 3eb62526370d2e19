"""ltb: lottery-ticket and pruning experiments. The names below are imported when they are first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ltb.core.allocation import Global, Layerwise
    from ltb.core.controls import Inverted, Reinit, Shuffle, SignReinit
    from ltb.core.criteria import Magnitude, Random
    from ltb.core.levels import Level, levels
    from ltb.core.recipe import Recipe
    from ltb.core.rewind import FineTune, LearningRate, ToStart
    from ltb.core.schedules import Explicit, Geometric, Linear
    from ltb.core.step import Step
    from ltb.store.ticket import Ticket
    from ltb.training import Classification, HoldMasks, Training

_WHERE = {
    "ltb.core.allocation": ("Global", "Layerwise"),
    "ltb.core.controls": ("Inverted", "Reinit", "Shuffle", "SignReinit"),
    "ltb.core.criteria": ("Magnitude", "Random"),
    "ltb.core.levels": ("Level", "levels"),
    "ltb.core.recipe": ("Recipe",),
    "ltb.core.rewind": ("FineTune", "LearningRate", "ToStart"),
    "ltb.core.schedules": ("Explicit", "Geometric", "Linear"),
    "ltb.core.step": ("Step",),
    "ltb.store.ticket": ("Ticket",),
    "ltb.training": ("Classification", "HoldMasks", "Training"),
}
_MODULE = {name: module for module, names in _WHERE.items() for name in names}

__all__ = [
    "Classification", "Explicit", "FineTune", "Geometric", "Global", "HoldMasks", "Inverted", "Layerwise", "LearningRate", "Level",
    "Linear", "Magnitude", "Random", "Recipe", "Reinit", "Shuffle", "SignReinit", "Step", "Ticket", "ToStart", "Training", "levels",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    # Lazily: `python -m ltb.train --help` and the report answer without importing torch.
    if name in _MODULE:
        return getattr(import_module(_MODULE[name]), name)
    raise AttributeError(f"module 'ltb' has no attribute {name!r}")
