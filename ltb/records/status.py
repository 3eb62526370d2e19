"""The status of a sweep: which of its jobs are done, running or failed, read from their files. Nothing here writes."""

from __future__ import annotations

import collections
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ltb.common import files
from ltb.common.errors import Damaged
from ltb.records import jobs, ledger
from ltb.records.schema import JOBS


@dataclass(frozen=True)
class Standing:
    """The status of each run that has begun, the number of `jobs` in all (None: unknown), and whether the sweep has `stopped`."""

    runs: tuple[ledger.Run, ...]
    jobs: int | None = None
    stopped: bool = False

    @property
    def states(self) -> Mapping[str, int]:
        """The number of runs in each state."""
        return collections.Counter(run.state for run in self.runs)

    @property
    def running(self) -> tuple[ledger.Run, ...]:
        return tuple(run for run in self.runs if run.state == "running")

    @property
    def ended(self) -> bool:
        """True when no job is running, and all have begun or the sweep has stopped."""
        return not self.running and (self.stopped or (self.jobs is not None and len(self.runs) >= self.jobs))

    @property
    def fraction(self) -> float:
        """The finished fraction of levels, in [0, 1]; ended runs count whole, jobs not begun as the mean begun one."""
        levels = [run.levels or 0 for run in self.runs]
        done = [(run.levels_done if run.state == "running" else run.levels) or 0 for run in self.runs]
        total = sum(levels) * max(1.0, (self.jobs or 0) / max(1, len(self.runs)))
        return min(1.0, sum(done) / total) if total else 0.0

    def __str__(self) -> str:
        of = "" if self.jobs is None else f" of {self.jobs}"
        states = self.states
        told = [f"{states['complete']}{of} done", f"{states['running']} running", f"{states['failed']} failed"]
        told += [f"{states[state]} {state}" for state in ("interrupted", "unknown") if states[state]]
        return ", ".join(told)


def read(sweep: Path) -> Standing:
    """Return the status of a sweep from its folder. Raises ValueError where it is none, `Damaged` where a file is not whole."""
    path = sweep / JOBS
    if not files.there(path):
        raise ValueError(f"{sweep}: not a sweep's folder (they are in runs/sweeps)")
    told = files.plain(path, "sweep's number of jobs")
    count = told.get("jobs", "nothing")
    if count is not None and type(count) is not int:
        raise Damaged(f"{path}: not a sweep's number of jobs ({count!r:.60})")
    return Standing(tuple(map(_status, jobs.runs(sweep))), count, told.get("ended") is True)


def _status(folder: Path) -> ledger.Run:
    try:
        return ledger.status(folder)
    except Damaged as error:
        return ledger.Run(folder, folder.name, "unknown", str(error), None, None, "", "max")
