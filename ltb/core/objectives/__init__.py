"""Objectives: what one fit minimises beside the module's own loss, one family a file."""

from ltb.core.objectives.distillation import Distil, Teacher
from ltb.core.objectives.hints import Attention, Features, Hints
from ltb.core.objectives.objective import Objective
from ltb.core.objectives.penalties import L1, L2

__all__ = ["L1", "L2", "Attention", "Distil", "Features", "Hints", "Objective", "Teacher"]
