"""Measures, one a file: each is a frozen dataclass that says something of finished stages, see `ltb.core.measure`."""

from ltb.measures.bytes import Bytes
from ltb.measures.calibration import Calibration
from ltb.measures.correctness import Correctness
from ltb.measures.deployed import Deployed
from ltb.measures.flops import Flops
from ltb.measures.generalisation_gap import GeneralisationGap
from ltb.measures.harvest import Harvest
from ltb.measures.latency import Latency
from ltb.measures.mask_distance import MaskDistance
from ltb.measures.memory import Memory
from ltb.measures.overlap import Overlap
from ltb.measures.per_class import PerClass
from ltb.measures.step_flops import StepFlops
from ltb.measures.untrained import Untrained

__all__ = [
    "Bytes",
    "Calibration",
    "Correctness",
    "Deployed",
    "Flops",
    "GeneralisationGap",
    "Harvest",
    "Latency",
    "MaskDistance",
    "Memory",
    "Overlap",
    "PerClass",
    "StepFlops",
    "Untrained",
]
