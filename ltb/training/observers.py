"""Callbacks that may all be deleted without changing a number: they count, copy and note."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl

from ltb.common.step import Clock
from ltb.core.contracts import Checkpoints, Listener, Progress
from ltb.core.execution import Body
from ltb.core.points import Point
from ltb.core.results import better
from ltb.training.changes import Changes
from ltb.training.feed import feed_of


class Steps(pl.Callback):
    """A count of iterations done, passed to the listener after each Lightning batch: the source of progress bars."""

    def __init__(self, start: int, listener: Listener) -> None:
        self.step, self._listener = start, listener

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        done = feed_of(pl_module).steps(batch)
        self.step += done
        if done:
            self._listener.on_step(done)


class Snapshots(pl.Callback):
    """Copies of the point at each of `steps`, made when the fit passes it; a chunk never straddles one of them."""

    def __init__(self, steps: Sequence[int], counter: Steps, body: Body, passed: Mapping[int, Point]) -> None:
        self._wanted, self._counter, self._body = set(steps), counter, body
        self.points: dict[int, Point] = dict(passed)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = self._counter.step
        if step in self._wanted and step not in self.points:
            self.points[step] = self._body.point(step)


class History(pl.Callback):
    """A row an evaluation: step, epoch, what `also` gives, training loss, all under val/, what is `noted`; and the best's point.

    The best row is the first minimum of val/loss; where none is logged, `judge` = (metric, ``min`` or ``max``) decides.
    """

    def __init__(
        self,
        clock: Clock,
        counter: Steps,
        body: Body,
        judge: tuple[str, str],
        listener: Listener,
        done: Progress | None = None,
        also: Callable[[], Mapping[str, float]] = dict,
        noted: Callable[[pl.Trainer, pl.LightningModule], Mapping[str, float]] = lambda trainer, module: {},
    ) -> None:
        self._clock, self._counter, self._body, self._listener = clock, counter, body, listener
        self._judge, self._also, self._noted = judge, also, noted
        self._since = time.perf_counter() - (done.seconds if done else 0)
        self.rows: list[dict[str, float]] = [dict(row) for row in done.history] if done else []
        self.best = done.best if done and done.history else None
        self._best_row = next((row for row in self.rows if done and row["step"] == done.best.step), None)

    def seconds(self) -> float:
        """Return how long the fit has taken, all its parts together."""
        return time.perf_counter() - self._since

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        logged = {name: plain(value) for name, value in trainer.callback_metrics.items()}
        row = {"step": self._counter.step, "epoch": self._counter.step / self._clock.epoch_length}
        row |= self._also()
        if (loss := feed_of(pl_module).training_loss(pl_module, logged)) is not None:
            row["train/loss"] = plain(loss)
        row |= {name: value for name, value in logged.items() if name.startswith("val/")}
        row |= self._noted(trainer, pl_module)
        row["seconds"] = self.seconds()
        self.rows.append(row)
        if self._best_row is None or better(row, self._best_row, self._judge):
            self._best_row = row
            self.best = self._body.point(self._counter.step, optimizer=False)
        self._listener.on_row(row)


class Checkpoint(pl.Callback):
    """A callback that offers the progress of a fit after each evaluation but the last; it must come after `History`.

    A fit that is not evaluated on its way offers it after each Lightning batch.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        counter: Steps,
        body: Body,
        snapshots: Snapshots,
        history: History,
        evaluates: bool,
        changes: Changes | None = None,
    ) -> None:
        self._checkpoints, self._counter, self._body = checkpoints, counter, body
        self._snapshots, self._history, self._evaluates = snapshots, history, evaluates
        self._changes = changes

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not self._evaluates:
            self._offer()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit" and self._history.best is not None:
            self._offer()

    def _offer(self) -> None:
        self._checkpoints.offer(self._progress)

    def _progress(self) -> Progress:
        point, history = self._body.point(self._counter.step), self._history
        best = history.best or self._body.point(self._counter.step, optimizer=False)
        stands: dict[str, Any] = {"state": self._body.state()}
        if self._changes:
            stands |= {"masks": self._body.masks, "sums": self._changes.sums}
        return Progress(point, history.rows, best, self._snapshots.points, history.seconds(), **stands)


def plain(value: Any) -> float:
    """Return a logged float32 as the number that it stands for: 0.69, not 0.6899999976158142."""
    return float(f"{float(value):.7g}")
