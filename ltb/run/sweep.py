"""A sweep's own list of its runs, and the report on them at its end, whichever launcher ran them and however they ended."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, RangeSweep
from hydra.experimental.callback import Callback
from omegaconf import OmegaConf

from ltb.common import files
from ltb.records.schema import JOBS, LEDGER, SWEEP
from ltb.run import launchers, settings

if TYPE_CHECKING:
    from ltb.run import view

MOST = 10_000  # jobs of a sweep: more are a slip of the pen, and Hydra lists them all before the first

_started: list[Path] = []
_views: list[view.View] = []


class Noted(Callback):
    """Notes that a sweep has begun in this process, for Hydra tells of its end only when all its jobs succeeded."""

    def on_run_start(self, config: Any, **given: Any) -> None:
        """Called by Hydra before a run that is no sweep's."""
        _check(config.hydra)

    def on_multirun_start(self, config: Any, **given: Any) -> None:
        """Called by Hydra before the first job."""
        _check(config.hydra)
        count, sweep = jobs(config.hydra), Path(config.hydra.sweep.dir)
        _started.append(sweep)
        if config.plan is False:
            with suppress(OSError):  # Hydra writes in this folder next, and its error is told
                sweep.mkdir(parents=True, exist_ok=True)
                files.write(sweep / JOBS, json.dumps({"jobs": count}))
                self._show(config, sweep)
        if config.plan is True:  # takes seconds, and is to be read here
            config.hydra.launcher = launchers.HERE

    def _show(self, config: Any, sweep: Path) -> None:
        if config.progress is True:
            from ltb.run import view

            _views.append(view.View(sweep))
            _views[-1].start()


def _check(hydra: Any) -> None:
    try:
        settings.check_hydra(OmegaConf.to_container(hydra))  # type: ignore[arg-type]
    except ValueError as error:
        raise launchers.Stop(str(error)) from None


def jobs(hydra: Mapping[str, Any]) -> int | None:
    """Return how many jobs a sweep has, by Hydra's part of its configuration; None for a sweeper that decides on its way.

    Raises `launchers.Stop` for a sweep without jobs, of more than `MOST`, and of jobs that would be one and the same run.
    """
    if not str(hydra["sweeper"]["_target_"]).endswith(".BasicSweeper"):
        return None
    params = [f"{key}={values}" for key, values in (hydra["sweeper"].get("params") or {}).items()]
    counts = {}
    for override in OverridesParser.create().parse_overrides([*params, *hydra["overrides"]["task"]]):
        swept = override.is_sweep_override() and override.is_discrete_sweep()
        counts[override.get_key_element()] = _count(override) if swept else 1
    total = math.prod(counts.values())
    if total > MOST:
        raise launchers.Stop(
            f"{', '.join(f'{key} ({count})' for key, count in counts.items() if count > 1)}: {MOST} jobs at most"
        )
    return total


def _count(override: Override) -> int:
    given, key = str(override.input_line), override.get_key_element()
    try:
        value = override.value()
        many = _length(value) if isinstance(value, RangeSweep) else None
        count = (
            many
            if many is not None and (many == 0 or many > MOST)
            else len(found := list(override.sweep_string_iterator()))
        )
    except ValueError as error:
        raise launchers.Stop(f"{given}: {error}") from None
    if not count:
        raise launchers.Stop(f"{given}: there is no value in it")
    if count <= MOST and len(set(found)) < count:
        raise launchers.Stop(f"{given}: a value is there twice, and its jobs would be one and the same run")
    place = settings.beside(key)
    if place and count > 1:
        together = f"; all at once: '{key}=[{','.join(found)}]'" if place.together else ""
        raise launchers.Stop(
            f"{given}: its jobs would be one and the same run, for {key} is no part of what a run is{together}"
        )
    return count


def _length(value: RangeSweep) -> int:
    found = value.range()
    if isinstance(found, range):
        return len(found)
    return max(0, math.ceil((float(found.stop) - float(found.start)) / float(found.step)))


def _forget(sweep: Path) -> None:
    """Remove the folder of a sweep that ran nothing (a plan, a setting that was refused), with Hydra's own file in it."""
    if not sweep.is_dir():
        return
    for name in ("multirun.yaml", JOBS):
        (sweep / name).unlink(missing_ok=True)
    jobs = [path for path in sweep.iterdir() if path.is_dir()]
    for folder in (*jobs, sweep, sweep.parent, sweep.parent.parent):
        try:
            folder.rmdir()
        except OSError:
            return  # not empty, or not there


def report(*, interrupted: bool) -> None:
    """Report on the sweeps that this process began, in their own folders, and, where they were `interrupted`, on what is left."""
    while _views:
        _views.pop().stop()
    while _started:
        sweep = _started.pop()
        if (sweep / SWEEP).is_dir():
            from ltb.records import status
            from ltb.report import command

            print(f"sweep   {sweep}")
            try:
                standing = status.read(sweep)
                with suppress(OSError):
                    files.write(sweep / JOBS, json.dumps({"jobs": standing.jobs, "ended": True}))
            except ValueError as error:
                print(f"ltb: {error}", file=sys.stderr)
                continue
            if any((run.folder / LEDGER).exists() for run in standing.runs):
                command.main([str(sweep)])
            if interrupted and standing.jobs is not None:
                done = standing.states["complete"]
                print(f"{done} of {standing.jobs} jobs are complete; the same command goes on with the others")
        else:
            _forget(sweep)
