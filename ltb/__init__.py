"""ltb: lottery-ticket and pruning experiments. The names below are imported when they are first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ltb.common.allowed import Limits
    from ltb.common.step import Clock, Step
    from ltb.core import rewind
    from ltb.core.allocation import Allocation, Global, Layerwise
    from ltb.core.controls import Complement, Control, Reinit, Shuffle, SignReinit
    from ltb.core.criteria import Criterion, Evidence, Magnitude, Probe, Random
    from ltb.core.dynamics import Dynamics
    from ltb.core.execution import Execution
    from ltb.core.loop import Level, levels
    from ltb.core.measure import Evaluate, Measure
    from ltb.core.objectives import Objective
    from ltb.core.recipe import Recipe
    from ltb.core.results import Measurement
    from ltb.core.schedules import Explicit, Geometric, Linear, Schedule
    from ltb.core.stage import Stage
    from ltb.data import Dataset, InMemory
    from ltb.run.exporting import load
    from ltb.store.ticket import Ticket
    from ltb.training import Classification, HoldMasks, LearningRateSchedule, Training

_MODULES = {"rewind": "ltb.core.rewind"}
_WHERE = {
    "ltb.common.allowed": ("Limits",),
    "ltb.common.step": ("Clock", "Step"),
    "ltb.core.allocation": ("Allocation", "Global", "Layerwise"),
    "ltb.core.controls": ("Complement", "Control", "Reinit", "Shuffle", "SignReinit"),
    "ltb.core.criteria": ("Criterion", "Evidence", "Magnitude", "Probe", "Random"),
    "ltb.core.dynamics": ("Dynamics",),
    "ltb.core.execution": ("Execution",),
    "ltb.core.loop": ("Level", "levels"),
    "ltb.core.measure": ("Evaluate", "Measure"),
    "ltb.core.objectives": ("Objective",),
    "ltb.core.recipe": ("Recipe",),
    "ltb.core.results": ("Measurement",),
    "ltb.core.schedules": ("Explicit", "Geometric", "Linear", "Schedule"),
    "ltb.core.stage": ("Stage",),
    "ltb.data": ("Dataset", "InMemory"),
    "ltb.run.exporting": ("load",),
    "ltb.store.ticket": ("Ticket",),
    "ltb.training": ("Classification", "HoldMasks", "LearningRateSchedule", "Training"),
}
_MODULE = {name: module for module, names in _WHERE.items() for name in names}

__all__ = [
    "Allocation", "Classification", "Clock", "Complement", "Control", "Criterion", "Dataset", "Dynamics", "Evaluate",
    "Evidence", "Execution", "Explicit", "Geometric", "Global", "HoldMasks", "InMemory", "Layerwise",
    "LearningRateSchedule", "Level", "Limits", "Linear", "Magnitude", "Measure", "Measurement", "Objective", "Probe",
    "Random", "Recipe", "Reinit", "Schedule", "Shuffle", "SignReinit", "Stage", "Step", "Ticket", "Training", "levels",
    "load", "rewind",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    # Lazily: `python -m ltb.train --help` and the report answer without importing torch.
    if name in _MODULE:
        return getattr(import_module(_MODULE[name]), name)
    if name in _MODULES:
        return import_module(_MODULES[name])
    raise AttributeError(f"module 'ltb' has no attribute {name!r}")
