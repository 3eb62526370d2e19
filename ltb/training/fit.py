"""Training: one task and one seed, and the one place where anything is trained, with a fresh Trainer for each fit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins import DoublePrecision
from pytorch_lightning.utilities import move_data_to_device
from torch.utils.flop_counter import FlopCounterMode

from ltb.core import masks as m
from ltb.core import optimizer_state, tensors
from ltb.core.contracts import SILENT, Checkpoints, Listener, network_of
from ltb.core.criteria import Evidence
from ltb.core.execution import MASKED, Execution
from ltb.core.masks import Masks
from ltb.core.measure import Measure
from ltb.core.objectives import Objective
from ltb.core.points import Fit, Point
from ltb.core.prunable import prunable
from ltb.core.recipe import Recipe
from ltb.core.results import Measurement, Result, Trained, early_stop_step
from ltb.core.seeds import derive
from ltb.core.stage import Stage, steps, within
from ltb.core.stages import gather, scored
from ltb.core.step import Clock, Step
from ltb.core.tensors import Weights
from ltb.training.actors import Executed, StartClock
from ltb.training.changes import Changes
from ltb.training.chunked import ChunkedModule, add_objective, check_objective
from ltb.training.lightning import begin_at, check_trainer, interruptible, own_processes, quiet, trainer_of
from ltb.training.loaders import Chunks, Minibatches, cut
from ltb.training.observers import Checkpoint, History, Snapshots, Steps, plain
from ltb.training.random_state import seeded
from ltb.training.source import DataModuleSource, Source

DIRECTIONS = ("max", "min")
CHUNK = 40  # minibatches; from here on Lightning's cost per step is negligible, and a progress bar still moves


class Training:
    """The training of one network on one dataset with one seed, from any point of its clock under any masks.

    module:         makes the LightningModule; it is called under a seed, once for each fit. Parameters are named by its
                    ``network`` where it has one. What it logs under val/ and test/ is recorded.
    data:           an `ltb.data` source, or any LightningDataModule with training, validation and test dataloaders.
    length:         T, e.g. ``2000it`` or ``30ep``.
    evaluate_every: how often validation is measured; by default every 50th part of the run (2 %).
    include, exclude, embeddings: what is prunable, see `ltb.core.prunable`. `coverage` says what that is.
    metric, direction: the logged metric that counts, without its prefix, and whether ``max`` or ``min`` is better. The
                    early-stop step is the first minimum of val/loss, or the best of this metric without a val/loss.
                    `judge` is the two. `initialisation` is the digest of the network's weights before any training.
    trainer:        further arguments of the Trainer (accelerator, devices, precision …).
    device:         where networks and batches are while they are measured and scored: by default where the data are.
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
        device: torch.device | None = None,
        observers: Callable[[], Sequence[pl.Callback]] = tuple,
    ) -> None:
        if direction not in DIRECTIONS:
            raise ValueError(f"metric.direction={direction!r}: max or min")
        self.source: Source = DataModuleSource(data) if isinstance(data, pl.LightningDataModule) else data
        self.clock = _clock(self.source.epoch_length, length)
        self.seed, self.judge = seed, (metric, direction)
        self.device: torch.device = device or getattr(self.source, "device", None) or torch.device("cpu")
        self.evaluate_every = _every(self.clock, evaluate_every)
        self._module, self._observers = module, observers
        self._checked: list[Any] = []  # what one step was taken of
        self._trainer = own_processes() | dict(trainer or {})
        check_trainer(self._trainer)
        self._double = str(self._trainer.get("precision")) in ("64-true", "64")
        network = network_of(self._build("init"))
        tensors.check(network)
        # First, since a network whose parameters have no shape yet cannot be compared either.
        self.coverage = prunable(network, exclude, include, embeddings)
        self.initialisation = before = tensors.digest(tensors.state(network))
        again = network_of(self._build("init"))
        if {id(p) for p in network.parameters()} & {id(p) for p in again.parameters()}:
            raise ValueError(
                "module: it must make a new network each time it is called, not hand out one that was trained"
            )
        if before != tensors.digest(tensors.state(again)):
            raise ValueError(
                "module: two networks of one seed differ; it must draw from Python's, numpy's or torch's generators"
            )
        self.prunable, self.parameters = self.coverage.names, self.coverage.parameters
        weights = tensors.parameters(network)
        self.shapes = {name: tuple(weights[name].shape) for name in self.prunable}

    def _build(self, purpose: str) -> pl.LightningModule:
        with seeded(derive(self.seed, purpose)):
            module = self._module()
        if not isinstance(module, pl.LightningModule):
            raise ValueError(f"module: {type(module).__name__} is not a LightningModule")
        if self._double:
            module.double()  # before the Trainer does it, so that points have one type throughout
        if hasattr(module, "clock"):
            try:
                setattr(module, "clock", self.clock)  # noqa: B010 - not declared by LightningModule
            except (AttributeError, TypeError) as error:
                raise ValueError(f"module: {type(module).__name__}.clock must take the run's Clock: {error}") from None
        return module

    def initial(self, purpose: str = "init") -> Weights:
        """Return the network's initialisation: the same for each (seed, purpose)."""
        return tensors.weights_of(network_of(self._build(purpose)))

    def probe(
        self, probe: Any, weights: Weights, masks: Masks, *, step: int = 0, seed: int | None = None
    ) -> Mapping[str, Weights]:
        """Return what `probe` gathers from the network with these weights and masks, in the minibatches from iteration `step` on.

        `seed` is that of their order, by default the run's own.
        """
        found = self._asked(probe, Point(weights, step), masks, self.seed if seed is None else seed)
        return {name: tensors.copy(weights) for name, weights in found.items()}

    def _asked(self, what: Callable[[Any, Any], Any], point: Point, masks: Masks, seed: int) -> Any:
        """Return what a function of a module and of minibatches, from the point's iteration on, says."""
        module = self.module(point, masks)
        with seeded(derive(seed, "probe", point.step)), torch.enable_grad():
            stream = partial(self.source.stream, seed, point.step, point.step + self.clock.length)
            return what(module, lambda: map(self._here, stream()))

    def cost(self, probe: Any) -> float:
        """Return what a call of `probe` costs, in steps of training, also where that depends on the data and the network."""
        found: Any = steps(probe)
        return float(self._asked(found, Point(self.initial(), 0), {}, self.seed)) if callable(found) else found

    def check_one_step(self, recipe: Recipe) -> None:
        """Take a step of training as the recipe asks, a minibatch of validation and of test, thrown away: errors show at once.

        The initialisation is scored once. An objective that waits for a stage, such as a teacher, is not called. Raises
        ValueError for an objective that cannot be added to the module's loss, a criterion or probe that cannot do with this
        module, and a metric that the module does not log; the module's own errors pass through.
        """
        prunes = len(recipe.schedule.targets) > 1
        asking = (recipe.criterion, recipe.allocation, recipe.dynamics) if prunes else ()
        how = *asking, recipe.objective, recipe.dense_objective, recipe.execution
        if how in self._checked:
            return
        if prunes:
            initial = self.initial()
            masks = m.ones(initial, self.prunable)
            gathered = gather(recipe.criterion, recipe.allocation, self, initial, masks)[recipe.criterion.probe]
            weights = {name: initial[name] for name in self.prunable}
            scored(recipe.criterion, weights, Evidence(self.seed, initial, gathered))
            if recipe.dynamics is not None and recipe.dynamics.probe is not None:
                self.probe(recipe.dynamics.probe, initial, masks)
        with quiet():
            if recipe.dense_objective not in (None, recipe.objective):
                self._one_step(None, recipe.dense_objective, None)
            trainer, module = self._one_step(self.source.evaluation("val"), recipe.objective, recipe.execution)
            (logged,) = trainer.test(module, self.source.evaluation("test"), verbose=False)
        self._check_logged(logged)
        self._checked.append(how)

    def _check_logged(self, logged: Mapping[str, float]) -> None:
        metric = self.judge[0]
        if f"test/{metric}" not in logged:
            raise ValueError(
                f"metric.name={metric!r}: the module logs {', '.join(sorted(logged)) or 'nothing'} in its test step, and "
                f"test/{metric} is wanted"
            )

    def step_flops(self) -> int:
        """Return the FLOPs of one training step, forward and backward, a multiply-add counted as two.

        Counted by torch in the matrix products and convolutions of the first minibatch. Masks save none of them.
        """
        with quiet(), FlopCounterMode(display=False) as counter:
            self._one_step(None, None, None)
        return counter.get_total_flops()

    def _one_step(
        self, validation: Any, objective: Objective | None, execution: Execution | None
    ) -> tuple[pl.Trainer, pl.LightningModule]:
        module = self._build("init")
        masks = m.ones(tensors.weights_of(network_of(module)), self.prunable) if execution else {}
        if objective is not None:
            check_objective(module)
            if not any(within(objective)):
                add_objective(module, objective.prepared(self, _no_result))
        chunked = isinstance(module, ChunkedModule)
        batches = (
            Chunks(self.source, self.seed, 0, 1, [1], self.device) if chunked else self.source.stream(self.seed, 0, 1)
        )
        callbacks = [StartClock(0, self.clock, self.seed), Executed((execution or MASKED).enter(module, masks))]
        trainer = trainer_of(fast_dev_run=1, callbacks=callbacks, **self._trainer)
        with interruptible():
            trainer.fit(module, batches, validation)
        for optimizer in trainer.optimizers:
            optimizer_state.check(optimizer)
        return trainer, module

    def measure(self, measure: Measure, of: Sequence[Result]) -> Measurement:
        """Return the values of `measure` for finished stages. Trains nothing.

        Raises ValueError, from `evaluate`, when the module does not log the metric that counts.
        """
        since = time.perf_counter()
        with quiet(), seeded(derive(self.seed, "measure", measure.name)):
            found = measure(of, self)
        return replace(found, seconds=time.perf_counter() - since)

    def module(self, point: Point, masks: Masks, execution: Execution | None = None) -> pl.LightningModule:
        """Return the module with a point's masked weights, in evaluation mode, on the device of its batches.

        In the precision of its weights, as they are: without autocast.
        """
        module = self._build("init")
        (execution or MASKED).enter(module, masks).load(point)
        return module.to(self.device).eval()

    def batches(self, split: str) -> Iterable[Any]:
        """Return the minibatches of ``train``, ``val`` or ``test``: each example once, in fixed order, unaugmented."""
        return map(self._here, self.source.evaluation(split))

    def _here(self, batch: Any) -> Any:
        """A minibatch where the networks are, in their precision."""
        batch = move_data_to_device(batch, self.device)
        return DoublePrecision().convert_input(batch) if self._double else batch

    def evaluate(
        self, point: Point, masks: Masks, splits: Sequence[str], execution: Execution | None = None
    ) -> dict[str, float]:
        """Return what the module logs in an evaluation on each split, by names such as ``test/accuracy``.

        The training split goes through the module's test step. Raises ValueError when that does not log the metric that
        counts.
        """
        module = self._build("init")
        (execution or MASKED).enter(module, masks).load(point)
        found: dict[str, float] = {}
        with quiet():
            trainer = trainer_of(**self._trainer)
            for split in splits:
                run, stage = (trainer.validate, "val") if split == "val" else (trainer.test, "test")
                with seeded(derive(self.seed, "evaluate", split)), interruptible():
                    logged: dict[str, float] = dict(*run(module, self.source.evaluation(split), verbose=False))
                if stage == "test":
                    self._check_logged(logged)
                found |= {
                    f"{split}/{name.removeprefix(f'{stage}/')}": plain(value)
                    for name, value in logged.items()
                    if name.startswith(f"{stage}/")
                }
        return found

    def fit(
        self,
        fit: Fit,
        *,
        snapshots: Sequence[int] = (),
        evaluate: bool = True,
        checkpoints: Checkpoints | None = None,
        listener: Listener = SILENT,
    ) -> Trained:
        """Train `fit.origin` to `fit.stop`, under `fit.masks` and what `fit.dynamics` makes of them on the way.

        Points passed at the iterations `snapshots` are kept.

        Without `evaluate` nothing is validated on the way. With `checkpoints` the fit goes on from the progress kept
        there: a training in two parts is the same training, since all depends on the clock.
        """
        if fit.stop <= fit.origin.step:
            return Trained(fit.masks, fit.origin, fit.origin)
        listener.on_fit(fit.origin.step, fit.stop)
        done = checkpoints.load() if checkpoints else None
        if done and done.history and done.best.step != early_stop_step(done.history, self.judge):
            done = None  # kept while another metric counted: the point at what is now the best step is gone
        begin = done.point if done else fit.origin
        if done:
            listener.on_step(begin.step - fit.origin.step)
        seed = self.seed if fit.noise is None else derive(self.seed, "noise", fit.noise)
        module = self._build("init")
        if fit.objective is not None:
            add_objective(module, fit.objective)
        gather = partial(self._gathered, seed)
        changes = Changes(fit, begin.step, self.clock, gather, done) if fit.dynamics is not None else None
        body = (fit.execution or MASKED).begin(module, fit, done)
        body.load(begin)
        if changes:
            changes.enter(body, fresh=done is None)
        counter = Steps(begin.step, listener)
        passed = Snapshots(snapshots, counter, body, done.snapshots if done else {})
        history = History(self.clock, counter, body, self.judge, listener, done, (changes or body).told)
        observers: list[pl.Callback] = [counter, passed, history, *self._observers()]
        if checkpoints is not None:
            observers.append(Checkpoint(checkpoints, counter, body, passed, history, evaluate, changes))
        actors: list[pl.Callback] = [StartClock(begin.step, self.clock, seed, fit.stop), Executed(body)]
        if changes:
            actors.append(changes)
        marks = [*snapshots, *(changes.steps if changes else ())]
        with quiet():
            loader, limits = self._minibatches(module, begin.step, fit.stop, seed, marks, evaluate, counter)
            trainer = self._trainer_for(loader, limits, evaluate, begin.step, [*actors, *observers])
            if begin.step < fit.stop:  # else the process ended between the last evaluation and the stage's commit
                with interruptible():
                    trainer.fit(module, loader, self.source.evaluation("val") if evaluate else None)
            if counter.step != fit.stop:
                raise RuntimeError(f"the fit was to end at iteration {fit.stop} and ended at {counter.step}")
            point = body.point(counter.step) if begin.step < fit.stop else begin
            if evaluate and (not history.rows or history.rows[-1]["step"] != counter.step):
                trainer.validate(module, self.source.evaluation("val"), verbose=False)
        best = None if history.best is None or history.best.step == point.step else history.best
        masks, origin = body.masks, fit.origin
        if masks is not fit.masks:
            origin = replace(origin, weights=m.apply(origin.weights, masks))
        return Trained(masks, origin, point, history.rows, history.seconds(), best, passed.points)

    def _gathered(self, seed: int, probe: Any, weights: Weights, masks: Masks, step: int) -> Mapping[str, Weights]:
        return self.probe(probe, weights, masks, step=step, seed=seed)

    def _minibatches(
        self,
        module: pl.LightningModule,
        start: int,
        stop: int,
        seed: int,
        marks: Sequence[int],
        evaluate: bool,
        counter: Steps,
    ) -> tuple[Chunks | Minibatches, dict[str, Any]]:
        """Return what the Trainer iterates over, and its arguments for how far it goes and how often it validates."""
        every = self.evaluate_every if evaluate else stop
        if isinstance(module, ChunkedModule):
            sizes, between = cut(start, stop, every, CHUNK, marks)
            limits = {"max_epochs": 1, "val_check_interval": between}
            return Chunks(self.source, seed, start, stop, sizes, self.device), limits
        # Those of the dense run, whose length schedules ask for; `StartClock` extends them where a fit goes on behind T.
        epochs = math.ceil(self.clock.length / self.clock.epoch_length)
        limits = {"max_epochs": epochs, "max_steps": self.clock.length, "val_check_interval": every}
        return Minibatches(self.source, seed, stop, lambda: counter.step), limits

    def _trainer_for(
        self,
        loader: Chunks | Minibatches,
        limits: Mapping[str, Any],
        evaluate: bool,
        start: int,
        callbacks: list[pl.Callback],
    ) -> pl.Trainer:
        trainer = trainer_of(
            **limits,
            check_val_every_n_epoch=None,
            limit_val_batches=1.0 if evaluate else 0,
            callbacks=callbacks,
            **self._trainer,
        )
        if isinstance(loader, Minibatches):
            begin_at(trainer, start, self.clock)
        return trainer


def _no_result(stage: Stage) -> Result:
    raise AssertionError(f"{stage.label}: an objective that holds no stage asks for one")


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
