"""Settings of Lightning's Trainer: which arguments the user may give, no notes, and Ctrl-C as Python has it."""

from __future__ import annotations

import inspect
import logging
import os
import signal
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import LightningEnvironment  # type: ignore[attr-defined]
from pytorch_lightning.trainer.connectors import callback_connector

from ltb.common.allowed import Positive, nearest, read
from ltb.common.hints import hints_of
from ltb.common.step import Clock

NVML = "PYTORCH_NVML_BASED_CUDA_CHECK"  # set by Lightning when it is imported
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


OWNED = {
    "callbacks", "logger", "max_epochs", "min_epochs", "max_steps", "min_steps", "max_time", "val_check_interval",
    "check_val_every_n_epoch", "limit_train_batches", "limit_val_batches", "limit_test_batches", "limit_predict_batches",
    "fast_dev_run", "overfit_batches", "accumulate_grad_batches", "reload_dataloaders_every_n_epochs", "barebones", *QUIET,
    "log_every_n_steps", "default_root_dir", "enable_autolog_hparams", "model_registry",  # nothing of Lightning's is written
}  # fmt: skip
PLACED = {"devices", "num_nodes", "strategy", "sync_batchnorm", "plugins"}  # one process on one device
HINTS: Mapping[str, Any] = {
    **hints_of(pl.Trainer),
    "accelerator": Literal["cpu", "gpu", "auto"],
    "precision": Literal["32-true", "bf16-mixed", "64-true"],
    "gradient_clip_val": Positive | None,
    "gradient_clip_algorithm": Literal["norm", "value"] | None,
    "profiler": Literal["simple", "advanced"] | None,
}


def check_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a ``trainer`` section as the Trainer's annotations have them.

    Raises ValueError for one that is ltb's to set, one that the Trainer does not have, and a value that it does not take.
    """
    _check_names(given, OWNED | PLACED)
    return {name: read(HINTS[name], value, f"trainer.{name}") for name, value in given.items()}


def check_trainer(given: Mapping[str, Any]) -> None:
    """Raise ValueError for Trainer arguments that fit sets itself, that break the clock, or that do not exist."""
    _check_names(given, OWNED)
    if str(given.get("precision", "32-true")) not in PRECISIONS:
        raise ValueError(f"trainer.precision={given['precision']!r}: one of {', '.join(PRECISIONS)}")


def _check_names(given: Mapping[str, Any], owned: set[str]) -> None:
    known = set(inspect.signature(pl.Trainer).parameters)
    for name, value in given.items():
        if name in owned:
            there = ", ".join(sorted(known - owned))
            raise ValueError(f"trainer.{name}={value!r}: it is set by ltb, for runs depend on it; there are {there}")
        if name not in known:
            raise ValueError(
                f"trainer.{name}={value!r}: there is no such setting; {nearest(name, sorted(known - owned))}"
            )


def trainer_of(**arguments: Any) -> pl.Trainer:
    """Return a Trainer that leaves signals to the process, and has no callbacks but those that it is given.

    Lightning's own answer to SIGTERM ends the process with code 0, and takes the signal from an engine that requeues the job.
    Callbacks that installed packages register (entry points) would be in no key, and looking for them in the metadata of all
    packages takes as long as all else that begins a fit.
    """
    connector: Any = callback_connector
    load, connector._load_external_callbacks = connector._load_external_callbacks, _no_callbacks
    try:
        trainer = pl.Trainer(**QUIET, **arguments)
    finally:
        connector._load_external_callbacks = load
    trainer._signal_connector.register_signal_handlers = _nothing  # type: ignore[method-assign]
    return trainer


def _no_callbacks(_: str) -> list[pl.Callback]:
    return []


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
def quick_steps() -> Iterator[None]:
    """Let optimizers learn in 3 µs that there is no GPU: most of torch's ask at each step.

    Lightning has torch ask NVML, so that processes can still be forked that use the GPU; without a GPU that takes 110 µs.
    """
    asked = None if torch.cuda.is_available() else os.environ.pop(NVML, None)
    try:
        yield
    finally:
        if asked is not None:
            os.environ[NVML] = asked


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
