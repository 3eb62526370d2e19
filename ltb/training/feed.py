"""How a Trainer feeds a module: minibatches one by one, or chunks of them to a module that steps its optimizer itself."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl

from ltb.core.seeds import derive
from ltb.training.chunked import ChunkedModule
from ltb.training.lightning import begin_at
from ltb.training.loaders import Chunks, Minibatches, cut
from ltb.training.random_state import seed_generators

if TYPE_CHECKING:
    from ltb.training.bench import Bench

CHUNK = 40  # minibatches; from here on Lightning's cost per step is negligible, and a progress bar still moves


@dataclass(frozen=True)
class Span:
    """The iterations that a fit goes through: from `start` to `stop`, its draws by `seed`, validated after `every` so many.

    It must pause at each of `marks`; `position` tells the iteration where it is.
    """

    seed: int
    start: int
    stop: int
    every: int
    marks: Sequence[int]
    position: Callable[[], int]


class Feed(ABC):
    """How a Trainer is fed for a module, and what it counts. `feed_of` a module is its own."""

    @abstractmethod
    def first(self, bench: Bench) -> Any:
        """Return what a Trainer iterates over for the first iteration alone."""

    @abstractmethod
    def batches(self, bench: Bench, span: Span) -> tuple[Any, dict[str, Any]]:
        """Return what a Trainer iterates over, and its arguments for how far it goes and how often it validates."""

    @abstractmethod
    def begin(self, trainer: pl.Trainer, start: int, bench: Bench) -> None:
        """Set a Trainer's counts to iteration `start`, where the module sees them."""

    @abstractmethod
    def extend(self, trainer: pl.Trainer, epochs: int, stop: int) -> None:
        """Let a Trainer go on to iteration `stop`, in so many epochs, where that is behind the dense run's end."""

    @abstractmethod
    def steps(self, batch: Any) -> int:
        """Return how many iterations a Lightning batch is."""

    @abstractmethod
    def seed(self, module: pl.LightningModule, seed: int, step: int) -> None:
        """Seed what dropout draws from in an iteration, where the batches do not."""

    @abstractmethod
    def training_loss(self, module: Any, logged: Mapping[str, float]) -> float | None:
        """Return the mean training loss since the last evaluation, None where the module does not tell."""


@dataclass(frozen=True)
class OneByOne(Feed):
    """A minibatch a Lightning batch, for any module: it sees the Trainer's counts of steps, epochs and batches."""

    def first(self, bench: Bench) -> Any:
        """Return what a Trainer iterates over for the first iteration alone."""
        return bench.source.stream(bench.seed, 0, 1)

    def batches(self, bench: Bench, span: Span) -> tuple[Any, dict[str, Any]]:
        # Those of the dense run, whose length schedules ask for; `extend` goes on behind it.
        epochs = math.ceil(bench.clock.length / bench.clock.epoch_length)
        limits = {"max_epochs": epochs, "max_steps": bench.clock.length, "val_check_interval": span.every}
        return Minibatches(bench.source, span.seed, span.stop, span.position), limits

    def begin(self, trainer: pl.Trainer, start: int, bench: Bench) -> None:
        """Set a Trainer's counts to iteration `start`, where the module sees them."""
        begin_at(trainer, start, bench.clock)

    def extend(self, trainer: pl.Trainer, epochs: int, stop: int) -> None:
        if stop > trainer.max_steps:
            trainer.fit_loop.epoch_loop.max_steps = stop
            trainer.fit_loop.max_epochs = epochs

    def steps(self, batch: Any) -> int:
        """Return how many iterations a Lightning batch is."""
        return 1

    def seed(self, module: pl.LightningModule, seed: int, step: int) -> None:
        seed_generators(derive(seed, "step", step), module.device)

    def training_loss(self, module: Any, logged: Mapping[str, float]) -> float | None:
        return logged.get("train/loss")


@dataclass(frozen=True)
class InChunks(Feed):
    """A chunk of minibatches a Lightning batch, which seeds itself at each of them, for a `ChunkedModule`.

    To the Trainer a fit is one epoch of chunks, whose counts mean nothing.
    """

    def first(self, bench: Bench) -> Any:
        return Chunks(bench.source, bench.seed, 0, 1, [1], bench.device)

    def batches(self, bench: Bench, span: Span) -> tuple[Any, dict[str, Any]]:
        sizes, between = cut(span.start, span.stop, span.every, CHUNK, span.marks)
        limits = {"max_epochs": 1, "val_check_interval": between}
        return Chunks(bench.source, span.seed, span.start, span.stop, sizes, bench.device), limits

    def begin(self, trainer: pl.Trainer, start: int, bench: Bench) -> None: ...

    def extend(self, trainer: pl.Trainer, epochs: int, stop: int) -> None: ...

    def steps(self, batch: Any) -> int:
        return len(batch)

    def seed(self, module: pl.LightningModule, seed: int, step: int) -> None: ...

    def training_loss(self, module: Any, logged: Mapping[str, float]) -> float | None:
        return float(module.mean_training_loss())


def feed_of(module: pl.LightningModule) -> Feed:
    """Return how a Trainer feeds `module`."""
    return InChunks() if isinstance(module, ChunkedModule) else OneByOne()
