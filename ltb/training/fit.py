"""Training: one task and one seed, and the one place where anything is trained, with a fresh Trainer for each fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytorch_lightning as pl

from ltb.core import masks as m
from ltb.core.contracts import SILENT, Checkpoints, Listener
from ltb.core.criteria import Evidence
from ltb.core.execution import MASKED
from ltb.core.masks import Masks
from ltb.core.points import Fit
from ltb.core.pruning import gather, scored
from ltb.core.recipe import Recipe
from ltb.core.results import Trained, early_stop_step
from ltb.core.seeds import derive
from ltb.core.tensors import Weights
from ltb.training.actors import Executed, StartClock
from ltb.training.bench import Bench
from ltb.training.callbacks import noted
from ltb.training.changes import Changes
from ltb.training.chunked import add_objective
from ltb.training.feed import Span, feed_of
from ltb.training.lightning import interruptible, quick_steps, quiet, trainer_of
from ltb.training.observers import Checkpoint, History, Snapshots, Steps


class Training(Bench):
    """The training of one network on one dataset with one seed, from any point of its clock under any masks.

    Its arguments are those of `Bench`.
    """

    def check_one_step(self, recipe: Recipe) -> None:
        """Take a step of training as the recipe asks, a minibatch of validation and of test, thrown away: errors show at once.

        The initialisation is scored once. An objective that waits for a stage, such as a teacher, is not called. Raises
        ValueError for an objective that cannot be added to the module's loss, a criterion or probe that cannot do with this
        module, and a metric that the module does not log; the module's own errors pass through.
        """
        prunes = len(recipe.schedule.targets) > 1
        asking = (recipe.criterion, recipe.allocation, recipe.dynamics) if prunes else ()
        clock = recipe.rewind.clock(self.clock) if prunes else self.clock
        execution = recipe.during or recipe.allocation.execution
        how = *asking, recipe.objective, recipe.dense_objective, execution, recipe.after, clock
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
                self._one_step(False, recipe.dense_objective, None)
            if recipe.after is not None:
                self._one_step(False, None, recipe.after)
            trainer, module = self._one_step(True, recipe.objective, execution, clock)
            self._logged(trainer.validate, module, "val")
            logged = self._logged(trainer.test, module, "test")
        self._check_logged(logged)
        self._checked.append(how)

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
            for row in done.history:
                listener.on_row(row)
        seed = self.seed if fit.noise is None else derive(self.seed, "noise", fit.noise)
        clock = fit.clock or self.clock
        module = self._build("init", clock)
        feed = feed_of(module)
        if fit.objective is not None:
            add_objective(module, fit.objective)
        gather = partial(self._gathered, seed)
        changes = Changes(fit, begin.step, clock, gather, done) if fit.dynamics is not None else None
        body = (fit.execution or MASKED).begin(module, fit, done)
        body.load(begin)
        if changes:
            changes.enter(body, fresh=done is None)
        counter = Steps(begin.step, listener)
        passed = Snapshots(snapshots, counter, body, done.snapshots if done else {})
        chosen = self._observers()
        also = (changes or body).row
        history = History(self.clock, counter, body, self.judge, listener, done, also, partial(noted, chosen))
        observers: list[pl.Callback] = [counter, passed, *chosen, history]
        if checkpoints is not None:
            observers.append(Checkpoint(checkpoints, counter, body, passed, history, evaluate, changes))
        actors: list[pl.Callback] = [StartClock(begin.step, clock, seed, fit.stop), Executed(body)]
        if changes:
            actors.append(changes)
        marks = [*snapshots, *(changes.steps if changes else ())]
        with quiet():
            every = self.evaluate_every if evaluate else fit.stop
            span = Span(seed, begin.step, fit.stop, every, marks, lambda: counter.step)
            batches, limits = feed.batches(self, span)
            trainer = trainer_of(
                **limits,
                check_val_every_n_epoch=None,
                limit_val_batches=1.0 if evaluate else 0,
                callbacks=[*actors, *observers],
                **self._trainer,
            )
            feed.begin(trainer, begin.step, self)
            if begin.step < fit.stop:  # else the process ended between the last evaluation and the stage's commit
                with interruptible(), quick_steps():
                    trainer.fit(module, batches, self.source.evaluation("val") if evaluate else None)
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
