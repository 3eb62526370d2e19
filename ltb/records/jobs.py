"""The list of a sweep's runs: a file a job, for several processes that append to one file on a network file system lose lines.

<sweep>/sweep_runs/<run>-<digest of its path>   the run's folder, relative to the sweep's
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path, PurePath

from ltb.common import files
from ltb.common.errors import Damaged
from ltb.records.schema import SWEEP

BEFORE = "runs.txt"  # the list of sweeps that were made before: a folder a line


def add(sweep: Path, run: Path) -> None:
    """Note that the folder `run` is one of the sweep's; called by its job, in whatever process. Twice is as good as once."""
    listed, path = sweep / SWEEP, os.path.relpath(run, sweep)
    listed.mkdir(parents=True, exist_ok=True)
    files.write(listed / _name(path), path + "\n")


def runs(sweep: Path) -> list[Path]:
    """Return the folders of a sweep's runs, each once; none where it is no sweep's folder. `Damaged` names what is no list."""
    lines = []
    for path in sorted(path for path in (sweep / SWEEP).glob("*") if not path.name.startswith(".")):
        lines.append(files.text(path, "run of a sweep").removesuffix("\n"))
        if _name(lines[-1]) != path.name:
            raise Damaged(f"{path}: not the run of a sweep that it is named by")
    if files.there(path := sweep / BEFORE):
        lines += files.text(path, "list of runs").splitlines()
    return list(dict.fromkeys(sweep / line for line in lines))


def _name(path: str) -> str:
    return f"{PurePath(path).name}-{hashlib.sha256(path.encode()).hexdigest()[:8]}"
