"""Settings of Lightning's Trainer: which arguments the user may give, no notes, and Ctrl-C as Python has it."""

from __future__ import annotations

import inspect
import logging
import signal
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.plugins.environments import LightningEnvironment  # type: ignore[attr-defined]

from ltb.core.step import Clock

PRECISIONS = ("32-true", "bf16-mixed", "64-true", "32", "64", "bf16")
QUIET: Mapping[str, Any] = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
    "use_distributed_sampler": False,
}


def own_processes() -> dict[str, Any]:
    """Return arguments for one process on one device, which is ltb's to start.

    Under Slurm Lightning would take the allocation's tasks for its own, and refuse or warn.
    """
    return {"accelerator": "cpu", "devices": 1, "plugins": LightningEnvironment()}


def check_trainer(given: Mapping[str, Any]) -> None:
    """Raise ValueError for Trainer arguments that fit sets itself, that break the clock, or that do not exist."""
    owned = {
        "callbacks",
        "max_epochs",
        "min_epochs",
        "max_steps",
        "min_steps",
        "max_time",
        "val_check_interval",
        "logger",
    }
    owned |= {
        "check_val_every_n_epoch",
        "limit_train_batches",
        "limit_val_batches",
        "limit_test_batches",
        "fast_dev_run",
    }
    owned |= {"overfit_batches", "accumulate_grad_batches", "reload_dataloaders_every_n_epochs", *QUIET}
    known = set(inspect.signature(pl.Trainer.__init__).parameters) - {"self"}
    for name in given:
        if name not in known or name in owned:
            why = (
                "is set by ltb, for the clock depends on it"
                if name in owned
                else "is no setting of Lightning's Trainer"
            )
            raise ValueError(f"trainer.{name}: it {why}; there are {', '.join(sorted(known - owned))}")
    if str(given.get("precision", "32-true")) not in PRECISIONS:
        raise ValueError(f"trainer.precision={given['precision']!r}: one of {', '.join(PRECISIONS)}")


def trainer_of(**arguments: Any) -> pl.Trainer:
    """Return a Trainer that leaves signals to the process.

    Lightning's own answer to SIGTERM ends the process with code 0, and takes the signal from an engine that requeues the job.
    """
    trainer = pl.Trainer(**QUIET, **arguments)
    trainer._signal_connector.register_signal_handlers = _nothing  # type: ignore[method-assign]
    return trainer


def _nothing() -> None: ...


def begin_at(trainer: pl.Trainer, step: int, clock: Clock) -> None:
    """Let a Trainer begin at iteration `step`: its counts of steps, epochs and minibatches are those of the dense run there.

    So ``global_step``, ``current_epoch`` and ``batch_idx`` are what a module saw at that iteration, and validation comes at the
    same iterations.
    """
    epochs: Any = trainer.fit_loop.epoch_progress.current
    loop: Any = trainer.fit_loop.epoch_loop
    epochs.processed = epochs.completed = clock.epoch(step)
    loop.automatic_optimization.optim_progress.optimizer.step.total.completed = step
    loop.manual_optimization.optim_step_progress.total.completed = step
    loop._batches_that_stepped = step
    _count(loop.batch_progress.total, step)
    reset = loop.reset

    def within_the_epoch() -> None:
        reset()
        _count(loop.batch_progress.current, step % clock.epoch_length)
        loop.reset = reset

    loop.reset = within_the_epoch


def _count(progress: Any, count: int) -> None:
    progress.ready = progress.started = progress.processed = progress.completed = count


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt and work again: Lightning exits with 1 and leaves SIGINT ignored."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise
        signal.signal(signal.SIGINT, handler)
        raise type(error.__context__) from None


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Lightning's notes on hardware and tips, and its advice that does not apply here."""
    logger = logging.getLogger("pytorch_lightning")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # Data that is in memory needs no worker processes.
            warnings.filterwarnings("ignore", message=r".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=r"You defined a `validation_step` but have no.*")
            warnings.filterwarnings("ignore", message=r"The `srun` command is available.*")
            # Lightning 2.6 under torch 2.14.
            warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\).*", category=FutureWarning)
            yield
    finally:
        logger.setLevel(before)
