"""Commands in processes of their own, forked from one that has done the imports: real, to be killed by the dozen."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

from tests.support import workers
from tests.support.command import blank_figures, compose_once

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.support.processes_preload"])


class Process:
    """``ltb-train ARGUMENTS`` in `folder`. `noted` gets a line each time that a stage is begun and finished.

    `commit` is how many seconds each flush to the disk takes longer: it makes the moments of a commit long enough to hit.
    `largest` is a quota: no file may be larger than so many bytes.
    Without `figures` a white point stands for each, which spares a second.
    `clock` makes the wall clock jump by up to so many seconds whenever it is read.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        noted: Path | None = None,
        commit: float = 0.0,
        clock: float = 0.0,
        largest: int = 0,
        figures: bool = True,
    ) -> None:
        descriptor, path = tempfile.mkstemp(prefix="stderr-")
        os.close(descriptor)
        self._error = Path(path)
        given = (folder, arguments, self._error, noted, commit, clock, largest, figures)
        self.errors = ""  # what it wrote on stderr, once it has ended
        self._process = CONTEXT.Process(target=_main, args=given)
        self._process.start()

    @property
    def running(self) -> bool:
        return self._process.is_alive()

    def signal(self, number: int = signal.SIGKILL) -> None:
        """Send a signal, by default the one that cannot be caught; harmless where the process has ended."""
        if self.running and self._process.pid is not None:
            with contextlib.suppress(ProcessLookupError):  # it ended between the two lines
                os.kill(self._process.pid, number)

    def wait(self, seconds: float = 600) -> int:
        """The exit code, negative after a signal; AssertionError after so many seconds."""
        self._process.join(seconds)
        assert self._process.exitcode is not None, f"still running after {seconds} s"
        if self._error.exists():
            self.errors = self._error.read_text()
            self._error.unlink()
        return self._process.exitcode

    def done(self, seconds: float = 600) -> None:
        """Wait for an end without an error."""
        assert self.wait(seconds) == 0, self.errors


def _main(
    folder: Path,
    arguments: tuple[str, ...],
    error: Path,
    noted: Path | None,
    commit: float,
    clock: float,
    largest: int,
    figures: bool,
) -> None:
    import torch

    from ltb import train

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job has it ignored
    if not figures:
        blank_figures(lambda name, save: mock.patch(name, save).start())
    os.chdir(folder)
    os.environ["WANDB_MODE"] = "offline"
    for stream, target in ((sys.stdout, os.devnull), (sys.stderr, error)):
        stream.flush()
        os.dup2(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream.fileno())
    if noted is not None:
        _note(noted)
    if commit:
        _slow_down("fsync", commit)
        _slow_down("rename", commit)
    if largest:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    if clock:
        jumps, real = random.Random(0), time.time
        time.time = lambda: real() + jumps.uniform(-clock, clock)
    compose_once(arguments, lambda kind, name, value: mock.patch.object(kind, name, value).start())
    if "hydra/launcher=joblib" in arguments:
        workers.fork()
    sys.argv = ["ltb-train", *arguments]
    try:
        train.main()
    finally:  # the end of an interpreter, which multiprocessing would make an error with a trace
        workers.end()
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _note(path: Path) -> None:
    from ltb.run.run import Computed
    from ltb.store.store import Store

    begun: set[str] = set()
    on_stage, put = Computed.on_stage, Store.put
    stores: list[Store] = []

    def claim(self: Store, stage: Any) -> Any:
        stores.append(self)
        return claimed(self, stage)

    def begins(self: Computed, stage: Any) -> None:
        begun.add(key := stores[-1].keys(stage))
        _line(path, f"begin {key}")
        on_stage(self, stage)

    def ends(self: Store, stage: Any, result: Any) -> Any:
        key = self.keys(stage)
        if key not in begun:  # it came up on the way of another
            _line(path, f"begin {key}")
        found = put(self, stage, result)
        _line(path, f"end {key}")
        return found

    claimed = Store.claim
    Computed.on_stage, Store.put, Store.claim = begins, ends, claim  # type: ignore[method-assign]


def _line(path: Path, text: str) -> None:
    with path.open("a") as file:  # a short line in one write: whole, whoever else writes
        file.write(f"{os.getpid()} {text}\n")


def _slow_down(name: str, seconds: float) -> None:
    real = getattr(os, name)

    def slow(*given: Any, **named: Any) -> Any:
        time.sleep(seconds)
        return real(*given, **named)

    setattr(os, name, slow)
