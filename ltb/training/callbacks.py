"""Callbacks of two kinds: actors, which may change the result, and observers, which may be deleted without changing a number."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from ltb.core import tensors
from ltb.core.hold import Hold
from ltb.core.levels import Checkpoints, Progress
from ltb.core.masks import Masks
from ltb.core.rewind import Point
from ltb.core.seeds import derive
from ltb.core.step import Clock
from ltb.core.tensors import Weights
from ltb.training import optimizer_state
from ltb.training.random_state import seed_generators


def subject(module: nn.Module) -> nn.Module:
    """What masks name the parameters of: the module's `network` where that holds all of its state, else the module itself."""
    network = getattr(module, "network", None)
    if isinstance(network, nn.Module) and len(network.state_dict()) == len(module.state_dict()):
        return network
    return module


# Actors


class HoldMasks(pl.Callback):
    """Trains a ticket in anyone's Trainer: what the masks prune stays exactly 0, in weight, gradient and optimizer state.

    Takes an `ltb.Ticket` or its masks; it holds the masks and does not touch the weights that they keep (`ticket.apply` puts
    those in). With gradient clipping, accumulation, mixed precision and any optimizer.
    """

    def __init__(self, ticket: Any) -> None:
        self.masks: Masks = getattr(ticket, "masks", ticket)
        self._hold: Hold | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._hold = Hold(subject(pl_module), self.masks)
        self._hold.watch(trainer.optimizers)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._release()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._release()

    def _release(self) -> None:
        if self._hold is not None:
            self._hold.release()
        self._hold = None


class StartClock(pl.Callback):
    """Starts a fit at iteration `origin.step`: learning-rate schedules, epochs and random draws are those of that moment.

    Modules that step their own schedulers find them advanced; the generators that dropout draws from are a function
    of (seed, step). The optimizer starts with `origin.optimizer` where that is given.
    """

    def __init__(self, origin: Point, clock: Clock, seed: int) -> None:
        self.origin, self.clock, self.seed = origin, clock, seed
        self.step = origin.step

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if len(trainer.optimizers) != 1:
            raise ValueError(f"module: it has {len(trainer.optimizers)} optimizers; the clock counts the steps of one")
        if self.origin.optimizer is not None:
            for optimizer in trainer.optimizers:
                optimizer_state.load(optimizer, subject(pl_module), self.origin.optimizer)
        for config in trainer.lr_scheduler_configs:
            if isinstance(config.scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
                raise ValueError(
                    "module: ReduceLROnPlateau depends on the history of a run; use a schedule of the step"
                )
            passed = self.origin.step if config.interval == "step" else self.clock.epoch(self.origin.step)
            _advance(config.scheduler, passed // config.frequency)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # The Trainer does not step a schedule after an epoch of which it did not see every minibatch, such as the first
        # of a fit that starts inside one.
        first = trainer.current_epoch == self.clock.epoch(self.origin.step)
        if first and self.origin.step % self.clock.epoch_length and self.step % self.clock.epoch_length == 0:
            for config in trainer.lr_scheduler_configs:
                if config.interval == "epoch" and (trainer.current_epoch + 1) % config.frequency == 0:
                    _advance(config.scheduler, 1)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        # A chunk seeds itself at each of its minibatches.
        if not getattr(pl_module, "chunked", False):
            seed_generators(derive(self.seed, "step", self.step), pl_module.device)
            self.step += 1


def _advance(scheduler: Any, times: int) -> None:
    with warnings.catch_warnings():
        # That the optimizer has not stepped yet is the point.
        warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
        for _ in range(times):
            scheduler.step()


# Observers


class Steps(pl.Callback):
    """Counts the iterations done and tells `advance(n)` after each Lightning batch: the source of progress bars."""

    def __init__(self, start: int, advance: Callable[[int], None] | None = None) -> None:
        self.step, self._advance = start, advance

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        done = len(batch) if getattr(pl_module, "chunked", False) else 1
        self.step += done
        if self._advance is not None and done:
            self._advance(done)


class Passing(pl.Callback):
    """Copies the point at each of `steps`, when the fit passes it; a chunk never straddles one of them."""

    def __init__(self, steps: Sequence[int], counter: Steps, passed: Mapping[int, Point]) -> None:
        self._wanted, self._counter = set(steps), counter
        self.points: dict[int, Point] = dict(passed)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = self._counter.step
        if step in self._wanted and step not in self.points:
            self.points[step] = point_of(trainer, pl_module, step)


class History(pl.Callback):
    """A row an evaluation: step, epoch, training loss, all that was logged under val/; and the weights of the best one.

    The best row is the first minimum of val/loss; where no val/loss is logged, `judge` = (metric, ``min`` or ``max``)
    decides. It is read afterwards: training runs to the end regardless.
    """

    def __init__(
        self,
        clock: Clock,
        counter: Steps,
        judge: tuple[str, str],
        told: Callable[[Mapping[str, float]], None] | None = None,
        done: Progress | None = None,
    ) -> None:
        self._clock, self._counter, self._told = clock, counter, told
        self._judge = judge
        self._since = time.perf_counter() - (done.seconds if done else 0)
        self.rows: list[dict[str, float]] = [dict(row) for row in done.history] if done else []
        self.best = next((row for row in self.rows if done and row["step"] == done.best_step), None)
        self.best_weights: Weights | None = done.best_weights if done else None

    def seconds(self) -> float:
        """How long the fit has taken, all its parts together."""
        return time.perf_counter() - self._since

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        logged = {name: plain(value) for name, value in trainer.callback_metrics.items()}
        row = {"step": self._counter.step, "epoch": self._counter.step / self._clock.epoch_length}
        train_loss = getattr(pl_module, "train_loss", None)
        if callable(train_loss):
            row["train/loss"] = plain(train_loss())
        elif "train/loss" in logged:
            row["train/loss"] = logged["train/loss"]
        row |= {name: value for name, value in logged.items() if name.startswith("val/")}
        row["seconds"] = self.seconds()
        self.rows.append(row)
        if self.best is None or self._better(row, self.best):
            self.best, self.best_weights = row, tensors.weights_of(subject(pl_module))
        if self._told is not None:
            self._told(row)

    def _better(self, row: Mapping[str, float], best: Mapping[str, float]) -> bool:
        name, direction = ("loss", "min") if "val/loss" in row else self._judge
        value, before = row.get(f"val/{name}"), best.get(f"val/{name}")
        if value is None or before is None or math.isnan(value):
            return False
        return math.isnan(before) or (value < before if direction == "min" else value > before)


class Checkpoint(pl.Callback):
    """Offers the progress of a fit after each evaluation but the last; goes behind `History`."""

    def __init__(self, checkpoints: Checkpoints, counter: Steps, passed: Passing, history: History) -> None:
        self._checkpoints, self._counter, self._passed, self._history = checkpoints, counter, passed, history

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        history = self._history
        if trainer.state.fn != "fit" or history.best is None or history.best_weights is None:
            return
        best, weights = int(history.best["step"]), history.best_weights
        self._checkpoints.offer(
            lambda: Progress(
                point_of(trainer, pl_module, self._counter.step),
                history.rows,
                best,
                weights,
                self._passed.points,
                history.seconds(),
            )
        )


def plain(value: Any) -> float:
    """A logged float32 as the number that it stands for: 0.69, not 0.6899999976158142."""
    return float(f"{float(value):.7g}")


def point_of(trainer: pl.Trainer, module: pl.LightningModule, step: int) -> Point:
    """A copy of where a training is: weights, buffers and the optimizers' state."""
    network = subject(module)
    state: dict[str, Tensor] = {}
    for optimizer in trainer.optimizers:
        state |= optimizer_state.save(optimizer, network)
    return Point(tensors.weights_of(network), step, state)
