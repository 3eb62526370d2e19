"""Callbacks that may change the result: they hold the masks and set the clock. Without one a fit is another fit."""

from __future__ import annotations

import warnings
from typing import Any

import pytorch_lightning as pl
import torch

from ltb.common.step import Clock
from ltb.core.contracts import network_of
from ltb.core.execution import Body
from ltb.core.hold import Hold
from ltb.core.masks import Masks
from ltb.training.feed import feed_of


class HoldMasks(pl.Callback):
    """A callback to train a ticket in any Trainer: pruned entries are exactly 0 in weight, gradient, optimizer state.

    It takes an `ltb.Ticket` or its masks, and does not touch the weights that they keep (`ticket.apply` puts those in).
    It works with gradient clipping, accumulation, mixed precision, any optimizer, and averages of weights (EMA, SWA) that
    other callbacks swap in: pruned weights are 0 from the fit's beginning, after each step, before each minibatch of an
    evaluation within the fit, in each state dict of the module, and at the fit's end. `Hold` says what is held in between.
    """

    def __init__(self, ticket: Any) -> None:
        self.masks: Masks = getattr(ticket, "masks", ticket)
        self._hold: Hold | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._hold = Hold(network_of(pl_module), self.masks)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._apply()  # a checkpoint may have been loaded since
        if self._hold is not None:
            self._hold.watch(trainer.optimizers)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._apply()

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        # Not only before the network's forward: a module that is its own network is never called as one.
        self._apply()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._apply()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        # The last of a fit's hooks: in those before it other callbacks and the module may put averaged weights in.
        self._release()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._release()

    def _apply(self) -> None:
        if self._hold is not None:
            self._hold.apply()

    def _release(self) -> None:
        if self._hold is not None:
            self._hold.release()
        self._hold = None


class Executed(pl.Callback):
    """A callback that has a fit's `body` watch the Trainer's optimizers from the start, pauses it around the fit's evaluations, and
    releases it at the end.
    """

    def __init__(self, body: Body) -> None:
        self._body = body

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if len(trainer.optimizers) != 1:
            raise ValueError(f"module: it has {len(trainer.optimizers)} optimizers; the clock counts the steps of one")
        self._body.watch(trainer.optimizers)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit":
            self._body.pause()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit":
            self._body.resume()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._body.release()  # after the module's own `on_train_end`, which may still put other weights in

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._body.release()


class StartClock(pl.Callback):
    """A callback that starts a fit at iteration `start`, with the learning rate, epoch and random draws of that moment.

    Modules that step their own schedulers find them advanced; from T on they stay at the last rate of the dense run, as
    fine-tuning has it. The generators that dropout draws from are a function of (seed, step).
    """

    def __init__(self, start: int, clock: Clock, seed: int, stop: int = 0) -> None:
        self.start, self.clock, self.seed, self.step, self.stop = start, clock, seed, start, stop

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # After configure_optimizers, which was told the dense run's length.
        feed_of(pl_module).extend(trainer, self.clock.epoch(self.stop) + 1, self.stop)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.lr_scheduler_configs and self.clock.stretch > 1:
            raise ValueError(
                f"rewind.times={self.clock.stretch}: {type(pl_module).__name__} steps schedulers of its own, which nothing here "
                "stretches; a module that takes its rate from `clock` is stretched"
            )
        for config in trainer.lr_scheduler_configs:
            if isinstance(config.scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
                raise ValueError(
                    "module: ReduceLROnPlateau depends on the history of a run; use a schedule of the step"
                )
            last = min(self.start, self.clock.length - 1)
            passed = last if config.interval == "step" else self.clock.epoch(last)
            _advance(config.scheduler, passed // config.frequency)
        if self.start >= self.clock.length:
            trainer.strategy.lr_scheduler_configs = []

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        feed = feed_of(pl_module)
        feed.seed(pl_module, self.seed, self.step)
        self.step += feed.steps(batch)


def _advance(scheduler: Any, times: int) -> None:
    with warnings.catch_warnings():
        # The optimizer has not stepped yet, on purpose.
        warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
        for _ in range(times):
            scheduler.step()
