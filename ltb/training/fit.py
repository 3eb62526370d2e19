"""Training: one task and one seed, and the one place where anything is trained, with a fresh Trainer for each fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.flop_counter import FlopCounterMode

from ltb.core import masks as m
from ltb.core import tensors
from ltb.core.levels import Checkpoints, Trained
from ltb.core.masks import Masks
from ltb.core.prunable import prunable
from ltb.core.rewind import Fit, Point
from ltb.core.seeds import derive
from ltb.core.step import Clock, Step
from ltb.core.tensors import Weights
from ltb.training.callbacks import Checkpoint, History, HoldMasks, Passing, StartClock, Steps, plain, point_of, subject
from ltb.training.lightning import QUIET, check_trainer, interruptible, own_processes, quiet
from ltb.training.loaders import Chunks, Minibatches, cut
from ltb.training.random_state import seeded
from ltb.training.source import DataModuleSource, Source

DIRECTIONS = ("max", "min")
CHUNK = 40  # minibatches; from here on Lightning's cost a step is lost in the noise, and a progress bar still moves


class Training:
    """Trains one network on one dataset with one seed, from any point of its clock under any masks.

    module:         makes the LightningModule; it is called under a seed, once for each fit. Parameters are named by its
                    ``network`` where it has one. What it logs under val/ and test/ is recorded.
    data:           an `ltb.data` source, or any LightningDataModule with training, validation and test dataloaders.
    length:         T, e.g. ``2000it`` or ``30ep``.
    evaluate_every: how often validation is measured; by default every 50th part of the run (2 %).
    include, exclude, embeddings: what is prunable, see `ltb.core.prunable`. `coverage` says what that is.
    metric, direction: the logged metric that counts, without its prefix, and whether ``max`` or ``min`` is better. The early-stop
                    step is the first minimum of val/loss, or the best of this metric where no val/loss is logged.
    trainer:        further arguments of the Trainer (accelerator, devices, precision …).
    advance, told:  called with the iterations just done, and with each row of the history and the fit that it is of.
    """

    def __init__(
        self,
        module: Callable[[], pl.LightningModule],
        data: Source | pl.LightningDataModule,
        length: str | Step,
        seed: int = 0,
        *,
        evaluate_every: str | Step | None = None,
        include: Sequence[str] | None = None,
        exclude: Sequence[str] = (),
        embeddings: bool = False,
        metric: str = "accuracy",
        direction: str = "max",
        trainer: Mapping[str, Any] | None = None,
        observers: Callable[[], Sequence[pl.Callback]] = tuple,
        advance: Callable[[int], None] | None = None,
        told: Callable[[Fit, Mapping[str, float]], None] | None = None,
    ) -> None:
        if direction not in DIRECTIONS:
            raise ValueError(f"metric.direction={direction!r}: max or min")
        self.source: Source = DataModuleSource(data) if isinstance(data, pl.LightningDataModule) else data
        self.clock = _clock(self.source.epoch_length, length)
        self.seed, self.metric, self.direction = seed, metric, direction
        self.evaluate_every = _every(self.clock, evaluate_every)
        self._module, self._observers = module, observers
        self._trainer = own_processes() | dict(trainer or {})
        self.advance, self.told = advance, told
        check_trainer(self._trainer)
        network = subject(self._build("init"))
        # First, since a network whose parameters have no shape yet cannot be compared either.
        self.coverage = prunable(network, exclude, include, embeddings)
        before = tensors.digest(network.state_dict())
        again = subject(self._build("init"))
        if {id(p) for p in network.parameters()} & {id(p) for p in again.parameters()}:
            raise ValueError(
                "module: it must make a new network each time it is called, not hand out one that was trained"
            )
        if before != tensors.digest(again.state_dict()):
            raise ValueError(
                "module: two networks of one seed differ; it must draw from Python's, numpy's or torch's generators"
            )
        self.prunable, self.parameters = self.coverage.names, self.coverage.parameters

    def _build(self, purpose: str) -> pl.LightningModule:
        with seeded(derive(self.seed, purpose)):
            module = self._module()
        if not isinstance(module, pl.LightningModule):
            raise ValueError(f"module: {type(module).__name__} is not a LightningModule")
        if str(self._trainer.get("precision")) in ("64-true", "64"):
            module.double()  # before the Trainer does it, so that points have one type throughout
        if hasattr(module, "clock"):
            setattr(module, "clock", self.clock)  # noqa: B010 - not declared by LightningModule
        return module

    def initial(self, purpose: str = "init") -> Weights:
        """The network's initialisation: the same for each (seed, purpose)."""
        return tensors.weights_of(subject(self._build(purpose)))

    def probe(self, probe: Any, weights: Weights, masks: Masks) -> Mapping[str, Weights]:
        """What `probe` gathers from the network with these weights under these masks, in the seed's own batches."""
        module = self._build("init")
        tensors.load(subject(module), m.apply(weights, masks))
        device = getattr(self.source, "device", torch.device("cpu"))
        found: Mapping[str, Weights] = probe(
            module.to(device), lambda: self.source.stream(self.seed, 0, self.clock.length)
        )
        return {name: tensors.copy(weights) for name, weights in found.items()}

    def rehearse(self) -> None:
        """A step of training and a minibatch of validation and of test, thrown away: so what cannot work fails before it costs.

        Raises ValueError when the module does not log the metric that counts; an error in the module comes out as it is.
        """
        with quiet():
            trainer, module = self._one_step(self.source.evaluation("val"))
            self._test(trainer, module)

    @cached_property
    def step_flops(self) -> int:
        """FLOPs of one training step, forward and backward, a multiply-add counted as two.

        Counted by torch in the matrix products and convolutions of the first minibatch. Masks save none of them.
        """
        with quiet(), FlopCounterMode(display=False) as counter:
            self._one_step(None)
        return counter.get_total_flops()

    def _one_step(self, validation: Any) -> tuple[pl.Trainer, pl.LightningModule]:
        module = self._build("init")
        start = StartClock(Point(tensors.weights_of(subject(module)), 0), self.clock, self.seed)
        device = getattr(self.source, "device", torch.device("cpu"))
        chunked = getattr(module, "chunked", False)
        batches = Chunks(self.source, self.seed, 0, 1, [1], device) if chunked else self.source.stream(self.seed, 0, 1)
        trainer = pl.Trainer(fast_dev_run=1, callbacks=[start], **QUIET, **self._trainer)
        with interruptible():
            trainer.fit(module, batches, validation)
        return trainer, module

    def fit(
        self, fit: Fit, *, passing: Sequence[int] = (), evaluate: bool = True, checkpoints: Checkpoints | None = None
    ) -> Trained:
        """Train `fit.origin` under `fit.masks` to `fit.stop`, and measure it there and at the early-stop step.

        Points passed at the iterations `passing` are kept. Without `evaluate` nothing is measured. With `checkpoints` the
        fit goes on from the progress that was kept: a training in two parts is the same training, for the clock says so.
        """
        if fit.stop <= fit.origin.step:
            return Trained(fit.masks, fit.origin, fit.origin)
        cost = {"step_flops": self.step_flops} if evaluate else {}  # before the fit: it makes a module and takes a step
        done = checkpoints.load() if checkpoints else None
        begin = done.point if done else fit.origin
        module = self._build("init")
        tensors.load(subject(module), m.apply(begin.weights, fit.masks))
        counter = Steps(begin.step, self.advance)
        if self.advance is not None and begin is not fit.origin:
            self.advance(begin.step - fit.origin.step)
        passed = Passing(passing, counter, done.passed if done else {})
        told = partial(self.told, fit) if self.told else None
        history = History(self.clock, counter, (self.metric, self.direction), told, done)
        observers: list[pl.Callback] = [counter, passed, history, *self._observers()]
        if checkpoints is not None:
            observers.append(Checkpoint(checkpoints, counter, passed, history))
        with quiet():
            trainer, loader = self._trainer_for(
                module,
                replace(fit, origin=begin),
                passing,
                evaluate,
                counter,
                [StartClock(begin, self.clock, self.seed), HoldMasks(fit.masks), *observers],
            )
            with interruptible():
                trainer.fit(module, loader, self.source.evaluation("val") if evaluate else None)
            if counter.step != fit.stop:
                raise RuntimeError(f"the fit was to end at iteration {fit.stop} and ended at {counter.step}")
            point = point_of(trainer, module, counter.step)
            metrics = cost | self._measure(trainer, module, history, counter.step) if evaluate else {}
        return Trained(fit.masks, fit.origin, point, metrics, history.rows, history.seconds(), passed.points)

    def _trainer_for(
        self,
        module: pl.LightningModule,
        fit: Fit,
        marks: Sequence[int],
        evaluate: bool,
        counter: Steps,
        callbacks: list[pl.Callback],
    ) -> tuple[pl.Trainer, Chunks | Minibatches]:
        start, stop = fit.origin.step, fit.stop
        every = self.evaluate_every if evaluate else stop
        loader: Chunks | Minibatches
        limits: dict[str, Any]
        if getattr(module, "chunked", False):
            device = getattr(self.source, "device", torch.device("cpu"))
            sizes, between = cut(start, stop, every, CHUNK, marks)
            loader = Chunks(self.source, self.seed, start, stop, sizes, device)
            limits = {"max_epochs": 1, "val_check_interval": between}
        else:
            loader = Minibatches(self.source, self.seed, stop, lambda: counter.step)
            epochs = math.ceil(max(stop, self.clock.length) / self.clock.epoch_length)
            # max_steps is T so that schedules that ask the Trainer for its length get the dense run's.
            limits = {"max_epochs": epochs, "max_steps": max(stop, self.clock.length), "val_check_interval": every}
        trainer = pl.Trainer(
            **limits,
            check_val_every_n_epoch=None,
            limit_val_batches=1.0 if evaluate else 0,
            callbacks=callbacks,
            **QUIET,
            **self._trainer,
        )
        if isinstance(loader, Minibatches):
            # The Trainer counts epochs from the one that the clock starts in.
            current: Any = trainer.fit_loop.epoch_progress.current
            current.processed = current.completed = self.clock.epoch(start)
        return trainer, loader

    def _measure(self, trainer: pl.Trainer, module: pl.LightningModule, history: History, step: int) -> dict[str, Any]:
        if not history.rows or history.rows[-1]["step"] != step:
            trainer.validate(module, self.source.evaluation("val"), verbose=False)
        last, best = history.rows[-1], history.best or history.rows[-1]
        metrics: dict[str, Any] = {name: value for name, value in last.items() if "/" in name}
        metrics |= self._test(trainer, module)
        metrics["early_stop_step"], metrics["early_stop_is_last"] = int(best["step"]), best is last
        if best is not last and history.best_weights is not None:
            tensors.load(subject(module), history.best_weights)
            early = self._test(trainer, module)
        else:
            early = {name: value for name, value in metrics.items() if name.startswith("test/")}
        metrics |= {f"{name}_at_early_stop": value for name, value in early.items()}
        return metrics

    def _test(self, trainer: pl.Trainer, module: pl.LightningModule) -> dict[str, float]:
        (logged,) = trainer.test(module, self.source.evaluation("test"), verbose=False)
        test = {name: plain(value) for name, value in logged.items() if name.startswith("test/")}
        if f"test/{self.metric}" not in test:
            raise ValueError(
                f"metric.name={self.metric!r}: the module logs {', '.join(sorted(test)) or 'nothing'} in its test step"
            )
        return test


def _clock(epoch_length: int, length: str | Step) -> Clock:
    try:
        return Clock.of(epoch_length, length)
    except ValueError as error:
        raise ValueError(f"training.length={length}: {error}") from None


def _every(clock: Clock, every: str | Step | None) -> int:
    if every is None:
        return max(1, clock.length // 50)
    try:
        found = clock.at(every)
    except ValueError as error:
        raise ValueError(f"training.evaluate_every: {error}") from None
    if not 1 <= found <= clock.length:
        raise ValueError(f"training.evaluate_every={every}: from 1it to the run's length, {clock.length}it")
    return found
