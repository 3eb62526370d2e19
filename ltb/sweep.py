"""A sweep's own list of its runs, and the report on them at its end, whichever launcher ran them and however they ended."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback

from ltb.results.schema import SWEEP

_started: list[Path] = []


class Noted(Callback):
    """Notes that a sweep has begun in this process, for Hydra tells of its end only when all its jobs succeeded."""

    def on_multirun_start(self, config: Any, **given: Any) -> None:
        """Called by Hydra before the first job."""
        _started.append(Path(config.hydra.sweep.dir))


def add(sweep: Path, run: Path) -> None:
    """Note that `run` is one of the sweep's; called by its job, in whatever process."""
    sweep.mkdir(parents=True, exist_ok=True)
    with (sweep / SWEEP).open("a", encoding="utf-8") as file:
        file.write(os.path.relpath(run, sweep) + "\n")


def _forget(sweep: Path) -> None:
    """Remove the folder of a sweep that ran nothing (a plan, a setting that was refused): Hydra has put its own file there."""
    (sweep / "multirun.yaml").unlink(missing_ok=True)
    jobs = [path for path in sweep.iterdir() if path.is_dir()] if sweep.is_dir() else []
    for folder in (*jobs, sweep, sweep.parent, sweep.parent.parent):
        try:
            folder.rmdir()
        except OSError:
            return  # not empty, or not there


def report() -> None:
    """Report on the sweeps that this process began, in their own folders."""
    from ltb import report as reporting

    while _started:
        sweep = _started.pop()
        if (sweep / SWEEP).exists():
            print(f"sweep   {sweep}")
            reporting.main([str(sweep)])
        else:
            _forget(sweep)
