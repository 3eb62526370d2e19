"""A sweep's jobs, checked before the first of them trains: a wrong value is told once, with the jobs that have it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, open_dict

from ltb.run import launchers
from ltb.run.chosen import Chosen, chosen
from ltb.run.settings import Checked as CheckedSettings
from ltb.run.settings import check_overrides, check_taken, empty, resolve

SHOWN = 3  # jobs that a line names, at most


class RefusedJobs(ValueError):
    """Jobs that cannot be run: a line for each reason."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class Checked:
    """A launcher that checks all jobs that it is given, and launches none where one of them cannot be run.

    told: a refusal in one line. What is looked at is the whole setup, with data and network, of each job that differs from the
    others in more than its seed, where jobs run on this machine's CPU; elsewhere all that needs neither.
    """

    def __init__(self, launcher: Any, context: Any, config: DictConfig, told: Callable[[BaseException], str]) -> None:
        self._launcher, self._context, self._config, self._told = launcher, context, config, told

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Any:
        """Called by the sweeper."""
        # Hydra's, with secrets as they were typed, and read by nobody: each run's own config.yaml has its settings.
        (Path(self._config.hydra.sweep.dir) / "multirun.yaml").unlink(missing_ok=True)
        if self._config.get("plan") is not True:  # a plan tells each job's own
            self._check([list(overrides) for overrides in job_overrides])
        return self._launcher.launch(job_overrides, initial_job_idx)

    def _check(self, jobs: list[list[str]]) -> None:
        wrong: dict[str, list[list[str]]] = {}
        found: dict[str, str | None] = {}
        for overrides in jobs:
            if line := self._refusal(overrides, found):
                wrong.setdefault(line, []).append(overrides)
        if wrong:
            common = set.intersection(*map(set, jobs))
            raise RefusedJobs([f"{line} ({_whose(bad, jobs, common)})" for line, bad in wrong.items()])

    def _refusal(self, overrides: list[str], found: dict[str, str | None]) -> str | None:
        """Return why a job cannot be run, if it cannot; what is `found` holds for its like with other seeds."""
        key = ""
        try:
            composed, config, names, engine = self._composed(overrides)
            key = json.dumps([names.names, {**config, "seed": None}], sort_keys=True, default=str)
            if key not in found:
                _make(composed, config, names, here="joblib" in engine or engine == launchers.HERE["_target_"])
        except Exception as error:
            if not launchers.refusal(error):
                raise
            found[key] = self._told(error)
        return found.setdefault(key, None)

    def _composed(self, overrides: list[str]) -> tuple[DictConfig, CheckedSettings, Chosen, str]:
        composed = self._context.config_loader.load_sweep_config(self._config, overrides)
        check_overrides(composed.hydra)
        empty(composed, composed.hydra)
        check_taken(composed, composed.hydra)
        with open_dict(composed):
            hydra = composed.pop("hydra")
        config = resolve(composed)
        return composed, config, chosen(hydra, config), str(hydra.launcher._target_)


def _make(composed: DictConfig, given: CheckedSettings, names: Chosen, *, here: bool) -> None:
    from ltb.run.compose import check, measures, recipe, trainer
    from ltb.run.setup import setup
    from ltb.run.widths import settled

    config = check(given)
    recipe(config)
    measures(config)
    _, device = trainer(config["trainer"])
    if here and device.type == "cpu":
        setup(settled(composed, given)[0], names.names, foreign=names.foreign_rates).check_one_step()


def _whose(bad: Sequence[Sequence[str]], jobs: Sequence[Sequence[str]], common: set[str]) -> str:
    if len(bad) == len(jobs):
        return f"in all {len(jobs)} jobs" if len(jobs) > 1 else "in the only job"
    named = [" ".join(one for one in overrides if one not in common) for overrides in bad[:SHOWN]]
    more = "; …" if len(bad) > SHOWN else ""
    return f"in {len(bad)} of {len(jobs)} jobs: {'; '.join(named)}{more}; none was run"
