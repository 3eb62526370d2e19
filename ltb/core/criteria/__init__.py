"""Criteria, one file a family: how much each weight matters. Each is a frozen dataclass, see `ltb.core.criteria.criterion`.

A probe, which gathers what a criterion needs beside weights, lives beside the criteria that it serves.
"""

from ltb.core.criteria.criterion import Criterion, Evidence, Probe, Scores, batches_of
from ltb.core.criteria.gradient import Gradient
from ltb.core.criteria.magnitude import Magnitude
from ltb.core.criteria.random import Random

__all__ = ["Criterion", "Evidence", "Gradient", "Magnitude", "Probe", "Random", "Scores", "batches_of"]
