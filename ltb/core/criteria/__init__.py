"""Criteria, one file a family: how much each weight matters. Each is a frozen dataclass, see `ltb.core.criteria.criterion`.

A probe, which gathers what a criterion needs beside weights, lives beside the criteria that it serves.
"""

from ltb.core.criteria.criterion import Criterion, Evidence, Probe, Scores, batches_of
from ltb.core.criteria.geometric_median import GeometricMedian
from ltb.core.criteria.gradient import Gradient, GradientMoments
from ltb.core.criteria.grasp import Grasp, HessianGradient
from ltb.core.criteria.magnitude import Magnitude
from ltb.core.criteria.norm_scale import NormScale
from ltb.core.criteria.random import Random
from ltb.core.criteria.snip import Snip
from ltb.core.criteria.synflow import Flow, Synflow
from ltb.core.criteria.taylor import Fisher, OptimalBrainDamage, Taylor, TaylorSquared
from ltb.core.criteria.wrappers import Inverted, PerTensorNorm, ZScore
from ltb.core.criteria.zhou import (
    Displacement,
    LargeFinalDiffSign,
    LargeFinalSameSign,
    LargeInit,
    LargeInitLargeFinal,
    MagnitudeIncrease,
    MagnitudeIncreaseSameSign,
    SmallFinal,
    SmallInit,
)

__all__ = [
    "Criterion", "Displacement", "Evidence", "Fisher", "Flow", "GeometricMedian", "Gradient", "GradientMoments", "Grasp",
    "HessianGradient", "Inverted", "LargeFinalDiffSign", "LargeFinalSameSign", "LargeInit", "LargeInitLargeFinal", "Magnitude",
    "MagnitudeIncrease", "MagnitudeIncreaseSameSign", "NormScale", "OptimalBrainDamage", "PerTensorNorm", "Probe", "Random",
    "Scores",
    "SmallFinal", "SmallInit", "Snip", "Synflow", "Taylor", "TaylorSquared", "ZScore", "batches_of",
]  # fmt: skip
