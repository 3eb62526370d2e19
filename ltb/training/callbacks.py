"""Callbacks to choose for a run: any of Lightning's that only looks on, and those below, with numbers for each evaluation."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning import callbacks as lightning

from ltb.training.feed import feed_of

# Lightning's own that change a training, end it, or write what ltb keeps.
DECIDING = (
    lightning.BackboneFinetuning, lightning.BaseFinetuning, lightning.BatchSizeFinder, lightning.Checkpoint,
    lightning.EarlyStopping, lightning.GradientAccumulationScheduler, lightning.LearningRateFinder, lightning.ModelPruning,
    lightning.StochasticWeightAveraging, lightning.WeightAveraging,
)  # fmt: skip
# They log to a Trainer's logger, and a fit of ltb's has none.
LOGGING = (lightning.LearningRateMonitor, lightning.DeviceStatsMonitor)


class Noting(pl.Callback):
    """A callback that has numbers for each evaluation's row in the history, under names such as train/learning_rate."""

    @abstractmethod
    def row(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> Mapping[str, float]:
        """Return them; called where an evaluation of a fit ends."""


class LearningRate(Noting):
    """The learning rate of the last step, by parameter group where an optimizer has several."""

    def row(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> Mapping[str, float]:
        groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
        if len(groups) == 1:
            return {"train/learning_rate": float(groups[0]["lr"])}
        return {f"train/learning_rate_{number}": float(group["lr"]) for number, group in enumerate(groups)}


class GradientNorms(Noting):
    """The L2 norm of the last minibatch's gradient, over what the masks keep; of each parameter too with `each`."""

    def __init__(self, each: bool = False) -> None:
        self._each = each
        self._gradients: dict[str, torch.Tensor] = {}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # Lightning drops them before an evaluation begins.
        self._gradients = {name: p.grad for name, p in pl_module.named_parameters() if p.grad is not None}

    def row(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> Mapping[str, float]:
        norms = {name: torch.linalg.vector_norm(gradient.double()) for name, gradient in self._gradients.items()}
        if not norms:
            return {}
        single = {f"train/gradient_norm/{name}": float(norm) for name, norm in norms.items() if self._each}
        return {"train/gradient_norm": float(torch.stack([*norms.values()]).norm()), **single}


class Timer(Noting):
    """Steps a second since the last evaluation, evaluations apart."""

    def __init__(self) -> None:
        self._steps, self._spent, self._since = 0, 0.0, 0.0

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._since = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._spent += time.perf_counter() - self._since
        self._steps += feed_of(pl_module).steps(batch)

    def row(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> Mapping[str, float]:
        steps, spent, self._steps, self._spent = self._steps, self._spent, 0, 0.0
        return {"train/steps_per_second": steps / spent} if spent else {}


def check(name: str, callback: Any) -> pl.Callback:
    """Return a callback that may observe. Raises ValueError for what is none, and for Lightning's that decide or need a logger."""
    kind = type(callback).__name__
    if not isinstance(callback, pl.Callback):
        raise ValueError(f"callbacks={name}: {kind} is not a Lightning Callback")
    if isinstance(callback, DECIDING):
        raise ValueError(
            f"callbacks={name}: {kind} decides about the training or keeps its weights; only what looks on is allowed"
        )
    if isinstance(callback, LOGGING):
        raise ValueError(
            f"callbacks={name}: {kind} needs a Trainer's logger, which fits lack; learning_rate and timer do without"
        )
    return callback


def noted(callbacks: Sequence[pl.Callback], trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, float]:
    """Return what all that note have for one evaluation."""
    return {
        name: value
        for callback in callbacks
        if isinstance(callback, Noting)
        for name, value in callback.row(trainer, pl_module).items()
    }
