"""Dynamics, one family a file: how the masks change during one fit. Each is a frozen dataclass, see `ltb.core.dynamics.base`."""

from ltb.core.dynamics.ac_dc import ACDC
from ltb.core.dynamics.base import Aim, Dynamics, Moment, Standing
from ltb.core.dynamics.gradual import Gradual
from ltb.core.dynamics.movement import Movement, SoftMovement
from ltb.core.dynamics.regrowth import SET, RigL

__all__ = ["ACDC", "SET", "Aim", "Dynamics", "Gradual", "Moment", "Movement", "RigL", "SoftMovement", "Standing"]
