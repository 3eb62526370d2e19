"""Help for the engines that run a sweep's jobs: a process like that of the command, and errors in one line."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any

# Hydra's launcher → the extra of ltb that installs it.
EXTRAS = {"joblib": "joblib", "submitit_local": "submitit", "submitit_slurm": "submitit", "ray": "ray"}
# Hydra's basic launcher: one job after another, in this process.
HERE = {"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}


class Stop(BaseException):
    """A sweep that cannot be run, and why. Hydra makes a warning of any Exception in a callback."""


def absent(launcher: str) -> str:
    """The line for a launcher that is not installed."""
    return f"hydra/launcher={launcher} is not installed: pip install 'ltb[{EXTRAS[launcher]}]'"


def raised(error: BaseException) -> bool:
    """Return whether an error came out of a launcher (no sbatch, no cluster, a worker that was killed) and not out of ltb.

    What a job raises does not pass here: launchers hand it back as a value, and it is raised outside of them.
    """
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(str(frame.f_globals.get("__name__")).startswith("hydra_plugins.") for frame in frames)


def refusal(error: BaseException) -> bool:
    """Return whether an error says that a configuration cannot be run, rather than that something went wrong."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    return isinstance(error, ValueError | HydraException | OmegaConfBaseException)


def lost(what: str) -> str:
    """The line for a launcher that ended before its jobs did."""
    return f"the launcher failed: {what[:500]}; the same command goes on with what is missing"


def settle(runtime: Any) -> None:
    """Make a job's process like the one in which the command was typed: its folder, and where own classes are found.

    runtime: Hydra's. An engine may start jobs in another folder (a Ray cluster does), and without the folder of --config-dir.
    """
    os.chdir(runtime.cwd)
    own = (source.path for source in runtime.config_sources if source.provider == "command-line")
    find_own(runtime.cwd, next(own, None))


def find_own(typed: str, settings: str | None = None) -> None:
    """Let own classes be found where the command is `typed`, in the folder of own `settings`, and beside that (mine.py, conf/)."""
    folders = [typed, *([settings, os.path.dirname(settings)] if settings else [])]
    sys.path[:0] = [folder for folder in dict.fromkeys(folders) if folder not in sys.path]


def stderr() -> tuple[int, int]:
    """Return the file, pipe or terminal that this process's stderr is (device and inode): equal in processes that share it."""
    found = os.fstat(2)
    return found.st_dev, found.st_ino
