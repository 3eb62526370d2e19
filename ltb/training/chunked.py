"""Modules that train a chunk of minibatches at a time, so that Lightning's cost a batch is paid once for many steps."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import pytorch_lightning as pl

from ltb.core.objectives import Objective


class ChunkedModule(pl.LightningModule):
    """A module whose `training_step` gets an iterator of (step, minibatch) and steps the optimizer itself.

    `ltb.Training` hands chunks to these alone; any other LightningModule gets one minibatch a step.
    """

    objective: Objective | None = None  # minimised beside the loss

    @abstractmethod
    def mean_training_loss(self) -> float:
        """Return the mean training loss a minibatch since the last call; NaN when nothing was trained."""


def check_objective(module: pl.LightningModule) -> None:
    """Raise ValueError for a module that steps its optimizer itself and hands no loss over that anything could be added to."""
    if not module.automatic_optimization and not isinstance(module, ChunkedModule):
        raise ValueError(
            f"objective: {type(module).__name__} steps its optimizer itself, so nothing can be added to its loss"
        )


def add_objective(module: pl.LightningModule, objective: Objective) -> None:
    """Let `module` minimise `objective` beside its own loss, from now on.

    Raises ValueError as `check_objective` does.
    """
    check_objective(module)
    if isinstance(module, ChunkedModule):
        module.objective = objective
        return
    own: Any = module.training_step

    def training_step(batch: Any, *given: Any) -> Any:
        check_objective(module)  # it may say so as late as in configure_optimizers
        found = own(batch, *given)
        if found is None:
            return None
        extra = objective(module, batch)
        return {**found, "loss": found["loss"] + extra} if isinstance(found, dict) else found + extra

    module.training_step = training_step  # type: ignore[method-assign]
