"""Modules that train a chunk of minibatches at a time, so that Lightning's cost a batch is paid once for many steps."""

from __future__ import annotations

from abc import abstractmethod

import pytorch_lightning as pl


class ChunkedModule(pl.LightningModule):
    """A module whose `training_step` gets an iterator of (step, minibatch) and steps the optimizer itself.

    `ltb.Training` hands chunks to these alone; any other LightningModule gets one minibatch a step.
    """

    @abstractmethod
    def mean_training_loss(self) -> float:
        """Return the mean training loss a minibatch since the last call; NaN when nothing was trained."""
