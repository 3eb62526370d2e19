"""joblib's workers, forked from a process that has done the imports instead of executed: of a second's work they import for six.

All else is theirs: each is a child of the command, in a process of its own with the pipes, signals and environment that loky gives
it, and outlives a command that is killed. Linux alone.
"""

from __future__ import annotations

import array
import ctypes
import fcntl
import json
import os
import runpy
import signal
import socket
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from joblib.externals.loky.backend import fork_exec as loky

CHILD_SUBREAPER, DEATH_SIGNAL = 36, 1  # prctl(2)
HIGH = 200  # descriptors from here on are nobody's


def fork() -> None:
    """Have a process of this one's state now fork joblib's workers, and be gone when this one is."""
    ours, theirs = socket.socketpair()
    prctl = ctypes.CDLL(None).prctl
    if os.fork() == 0:
        prctl(DEATH_SIGNAL, signal.SIGKILL)
        ours.close()
        _serve(theirs)
    theirs.close()
    prctl(CHILD_SUBREAPER, 1)  # a worker, whose parent ends at once, is this process's child

    def fork_exec(command: Sequence[str], keep: Sequence[int], env: dict[str, str] | None = None) -> int:
        asked = json.dumps([list(command), list(map(int, keep)), {**os.environ, **(env or {})}]).encode()
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", map(int, keep)))]
        ours.sendmsg([len(asked).to_bytes(4, "little")], rights)
        ours.sendall(asked)
        return int.from_bytes(ours.recv(4, socket.MSG_WAITALL), "little")

    loky.fork_exec = fork_exec


def end() -> None:
    """End the workers, as an interpreter's end does, which a process of multiprocessing does not come to."""
    if "joblib.externals.loky.process_executor" in sys.modules:
        sys.modules["joblib.externals.loky.process_executor"]._python_exit()


def _serve(asking: socket.socket) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        size, rights, _, _ = asking.recvmsg(4, socket.CMSG_SPACE(4 * 16))
        if not size:
            os._exit(0)
        asked = json.loads(asking.recv(int.from_bytes(size, "little"), socket.MSG_WAITALL))
        descriptors = array.array("i", rights[0][2])
        between = os.fork()
        if between == 0:
            if os.fork():
                os._exit(0)
            asking.sendall(os.getpid().to_bytes(4, "little"))
            _work(*asked, descriptors)
        os.waitpid(between, 0)
        for one in descriptors:
            os.close(one)


def _work(command: list[str], numbers: list[int], environment: dict[str, str], descriptors: Any) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for one, number in [
        (fcntl.fcntl(one, fcntl.F_DUPFD, HIGH), number) for one, number in zip(descriptors, numbers, strict=True)
    ]:
        os.dup2(one, number)
        os.close(one)
    os.environ.update(environment)
    _, _, module, *arguments = command
    sys.argv = [module, *arguments]
    code: Any = 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # the module was imported before
            runpy.run_module(module, run_name="__main__")
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
