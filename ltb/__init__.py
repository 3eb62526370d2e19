"""ltb: lottery-ticket and pruning experiments. The names below are imported when they are first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ltb.common.step import Step
    from ltb.core import rewind
    from ltb.core.allocation import Global, Layerwise
    from ltb.core.controls import Complement, Reinit, Shuffle, SignReinit
    from ltb.core.criteria import Criterion, Magnitude, Random
    from ltb.core.execution import Execution
    from ltb.core.loop import Level, levels
    from ltb.core.measure import Evaluate, Measure
    from ltb.core.recipe import Recipe
    from ltb.core.schedules import Explicit, Geometric, Linear
    from ltb.run.exporting import load
    from ltb.store.ticket import Ticket
    from ltb.training import Classification, HoldMasks, Training

_MODULES = {"rewind": "ltb.core.rewind"}
_WHERE = {
    "ltb.core.allocation": ("Global", "Layerwise"),
    "ltb.core.controls": ("Complement", "Reinit", "Shuffle", "SignReinit"),
    "ltb.core.criteria": ("Criterion", "Magnitude", "Random"),
    "ltb.core.execution": ("Execution",),
    "ltb.core.loop": ("Level", "levels"),
    "ltb.core.measure": ("Evaluate", "Measure"),
    "ltb.core.recipe": ("Recipe",),
    "ltb.core.schedules": ("Explicit", "Geometric", "Linear"),
    "ltb.common.step": ("Step",),
    "ltb.run.exporting": ("load",),
    "ltb.store.ticket": ("Ticket",),
    "ltb.training": ("Classification", "HoldMasks", "Training"),
}
_MODULE = {name: module for module, names in _WHERE.items() for name in names}

__all__ = [
    "Classification", "Complement", "Criterion", "Evaluate", "Execution", "Explicit", "Geometric", "Global",
    "HoldMasks", "Layerwise", "Level", "Linear", "Magnitude", "Measure", "Random", "Recipe", "Reinit", "Shuffle",
    "SignReinit", "Step", "Ticket", "Training", "levels", "load", "rewind",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    # Lazily: `python -m ltb.train --help` and the report answer without importing torch.
    if name in _MODULE:
        return getattr(import_module(_MODULE[name]), name)
    if name in _MODULES:
        return import_module(_MODULES[name])
    raise AttributeError(f"module 'ltb' has no attribute {name!r}")
