"""The bench: one network, one dataset and one seed, at which a network is made, probed and measured."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Self, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins import DoublePrecision
from pytorch_lightning.utilities import move_data_to_device

from ltb.common.step import Clock, Step
from ltb.core import masks as m
from ltb.core import optimizer_state, tensors
from ltb.core.contracts import network_of
from ltb.core.counting import counted
from ltb.core.execution import MASKED, Execution
from ltb.core.masks import Masks
from ltb.core.measure import Measure
from ltb.core.objectives import Objective
from ltb.core.points import Point
from ltb.core.prunable import prunable
from ltb.core.results import Measurement, Result
from ltb.core.seeds import derive
from ltb.core.stage import Stage, probe_steps, within
from ltb.core.tensors import Weights
from ltb.training.actors import Executed, StartClock
from ltb.training.chunked import add_objective, check_objective
from ltb.training.feed import feed_of
from ltb.training.lightning import check_trainer, interruptible, own_processes, quiet, trainer_of
from ltb.training.observers import plain
from ltb.training.random_state import seeded
from ltb.training.source import DataModuleSource, FirstMinibatches, Source

DIRECTIONS = ("max", "min")


class Bench:
    """One network on one dataset with one seed: what is made, probed and measured there. Nothing is trained but one step.

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

    def _build(self, purpose: str, clock: Clock | None = None) -> pl.LightningModule:
        with seeded(derive(self.seed, purpose)):
            module = self._module()
        if not isinstance(module, pl.LightningModule):
            raise ValueError(f"module: {type(module).__name__} is not a LightningModule")
        if self._double:
            module.double()  # before the Trainer does it, so that points have one type throughout
        if hasattr(module, "clock"):
            try:
                setattr(module, "clock", clock or self.clock)  # noqa: B010 - not declared by LightningModule
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
        found: Any = probe_steps(probe)
        return float(self._asked(found, Point(self.initial(), 0), {}, self.seed)) if callable(found) else found

    def measure(self, measure: Measure, of: Sequence[Result]) -> Measurement:
        """Return the values of `measure` for finished stages. Trains nothing.

        Raises ValueError, from `evaluate`, when the module does not log the metric that counts.
        """
        since = time.perf_counter()
        with quiet(), seeded(derive(self.seed, "measure", measure.name)):
            found = measure(of, self)
        return replace(found, seconds=time.perf_counter() - since)

    def of_first_minibatches(self) -> Self:
        """Return the bench with the first minibatch of each split alone in evaluations, for what is tried and thrown away."""
        other, first = copy.copy(self), FirstMinibatches(self.source)
        other.source = cast("Source", first)  # it has the rest of a source by `__getattr__`
        return other

    def module(self, point: Point, masks: Masks, execution: Execution | None = None) -> pl.LightningModule:
        """Return the module with a point's masked weights, in evaluation mode, on the device of its batches.

        In the precision of its weights, as they are: without autocast.
        """
        module = self._build("init")
        (execution or MASKED).prepared(self).enter(module, masks).load(point)
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
        (execution or MASKED).prepared(self).enter(module, masks).load(point)
        found: dict[str, float] = {}
        with quiet():
            trainer = trainer_of(**self._trainer)
            for split in splits:
                run, stage = (trainer.validate, "val") if split == "val" else (trainer.test, "test")
                with seeded(derive(self.seed, "evaluate", split)), interruptible():
                    logged = self._logged(run, module, split)
                if stage == "test":
                    self._check_logged(logged)
                found |= {
                    f"{split}/{name.removeprefix(f'{stage}/')}": plain(value)
                    for name, value in logged.items()
                    if name.startswith(f"{stage}/")
                }
        return found

    def _logged(self, run: Callable[..., Any], module: pl.LightningModule, split: str) -> dict[str, float]:
        """Return what the module logs when a Trainer's `run` passes over a split."""
        found = run(module, self._evaluation(module, split), verbose=False)
        if len(found) != 1:
            raise ValueError(f"data: the {split} dataloader is empty")
        return dict(found[0])

    def _evaluation(self, module: pl.LightningModule, split: str) -> Any:
        """Return the minibatches of a split.

        Raises ValueError for several dataloaders, an empty one, and a module that has no step for them.
        """
        step = "validation_step" if split == "val" else "test_step"
        if getattr(type(module), step) is getattr(pl.LightningModule, step):
            raise ValueError(f"module: {type(module).__name__} has no {step}")
        found = self.source.evaluation(split)
        if isinstance(found, list | Mapping):
            raise ValueError(f"data: {split}_dataloader returns {len(found)} dataloaders; one is wanted")
        if _length(found) == 0:
            raise ValueError(f"data: the {split} dataloader is empty")
        return found

    def _check_logged(self, logged: Mapping[str, float]) -> None:
        metric = self.judge[0]
        if f"test/{metric}" not in logged:
            raise ValueError(
                f"metric.name={metric!r}: the module logs {', '.join(sorted(logged)) or 'nothing'} in its test step, and "
                f"test/{metric} is wanted{' (the name is without test/)' if metric.startswith('test/') else ''}"
            )

    def step_flops(self) -> int:
        """Return the FLOPs of one training step, forward and backward, a multiply-add counted as two.

        Counted in the matrix products and convolutions of the first minibatch (`counted`). Masks save none of them.
        """
        with quiet(), counted(self._build("init", self.clock)) as counter:
            self._one_step(False, None, None)
        return counter.get_total_flops()

    def _one_step(
        self, validated: bool, objective: Objective | None, execution: Execution | None, clock: Clock | None = None
    ) -> tuple[pl.Trainer, pl.LightningModule]:
        clock = clock or self.clock
        module = self._build("init", clock)
        masks = m.ones(tensors.weights_of(network_of(module)), self.prunable) if execution else {}
        if objective is not None:
            check_objective(module)
            with torch.no_grad():
                batch = move_data_to_device(next(iter(self.source.stream(self.seed, 0, 1))), self.device)
                objective.check(module.to(self.device), batch)
            if not any(within(objective)):
                add_objective(module, objective.prepared(self, _no_result))
        body = (execution or MASKED).prepared(self).enter(module, masks)
        callbacks = [StartClock(0, clock, self.seed), Executed(body), *self._observers()]
        trainer = trainer_of(fast_dev_run=1, callbacks=callbacks, **self._trainer)
        with interruptible():
            trainer.fit(module, feed_of(module).first(self), self._evaluation(module, "val") if validated else None)
        for optimizer in trainer.optimizers:
            optimizer_state.check(optimizer)
        return trainer, module


def _length(batches: Any) -> int | None:
    try:
        return len(batches)
    except TypeError:  # a generator, an iterable dataset
        return None


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
