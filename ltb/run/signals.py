"""SIGTERM as an interruption like Ctrl-C: what is finished is kept, the status says so, and the exit code is not 0.

Both reach the processes of a sweep's jobs as well, which say in their runs' status that they were interrupted.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

TERMINATED = 128 + signal.SIGTERM  # the exit code
PATIENCE = 5  # seconds for the processes of a sweep's jobs to say that they were interrupted
IMPORTING = "<frozen importlib._bootstrap>"
FINALISER = "__del__"
AGAIN = 0.05  # seconds


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised in the main thread."""


_arrived: list[type[KeyboardInterrupt]] = []
_waiting: list[float] = []  # since when a signal waits for a place where it may be raised


def heed() -> None:
    """Raise the interruption that arrived, if one did: what it was raised in may have caught it, or made another error of it."""
    if _arrived:
        raise _arrived[0]


@contextmanager
def listening() -> Iterator[None]:
    """Listen within a command, and leave the process as it was."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    listen()
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            _arrived.clear()
            for number, handler in before.items():
                signal.signal(number, handler)


def listen() -> None:
    """Raise Terminated at SIGTERM from now on, where nobody else listens: an engine such as submitit has its own answer."""
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _end)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


@contextmanager
def job() -> Iterator[None]:
    """Listen while a job runs in a process that an engine may keep for several: after SIGTERM it takes no other.

    Such a process ends with the command that started it, which may have been killed: joblib's would wait for it for ever.
    """
    engine = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL  # a process of its own, not that of the command
    if engine:
        _end_with_parent()
    try:
        with listening():
            yield
    except Terminated:
        if engine:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(TERMINATED)
        raise


@functools.cache
def _end_with_parent() -> None:
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True, name="ltb.parent").start()


def _end(number: int, frame: FrameType | None) -> None:
    if _must_end(frame) and time.monotonic() - (_waiting or [time.monotonic()])[0] < PATIENCE:
        _waiting.append(time.monotonic())
        again = threading.Timer(AGAIN, signal.pthread_kill, [threading.main_thread().ident, number])
        again.daemon = True
        again.start()
        return
    _waiting.clear()
    # Once: what follows is quick. A second Ctrl-C is for those who cannot wait.
    signal.signal(number, signal.SIG_IGN if number == signal.SIGTERM else signal.default_int_handler)
    # joblib's, and not those of a DataLoader.
    jobs = [child for child in multiprocessing.active_children() if "loky" in type(child).__module__]
    for child in jobs:
        child.terminate()
    for child in jobs:
        child.join(PATIENCE)
    _arrived.append(Terminated if number == signal.SIGTERM else KeyboardInterrupt)
    heed()


def _must_end(frame: FrameType | None) -> bool:
    """Whether what runs is to end first.

    An import that is broken off leaves a module in pieces, which the report at the end could not import again; what a finaliser
    raises Python prints and drops.
    """
    while frame is not None:
        if frame.f_code.co_filename == IMPORTING or frame.f_code.co_name == FINALISER:
            return True
        frame = frame.f_back
    return False
