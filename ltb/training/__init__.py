"""Training: the LightningModule, the learning rate, the callbacks, and the one place where anything is fitted."""

from ltb.training.actors import HoldMasks
from ltb.training.classification import Classification
from ltb.training.fit import Training
from ltb.training.learning_rate import Constant, Cosine, LearningRateSchedule, Linear, Milestones, OneCycle, Polynomial

__all__ = [
    "Classification",
    "Constant",
    "Cosine",
    "HoldMasks",
    "LearningRateSchedule",
    "Linear",
    "Milestones",
    "OneCycle",
    "Polynomial",
    "Training",
]
