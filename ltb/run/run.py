"""A run: one recipe, one seed, one task in one folder, from a resolved configuration to a ledger, a figure and tickets."""

from __future__ import annotations

import math
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import yaml
from rich.console import Console

from ltb.analysis.sparsest import sparsest_matching
from ltb.core import files
from ltb.core.levels import Level, levels
from ltb.core.rewind import Fit
from ltb.core.stages import iterations, missing, search_steps, stages
from ltb.records import record
from ltb.report.sparkline import sparkline
from ltb.run import compose
from ltb.run.build import build, number
from ltb.run.display import Display, table
from ltb.store.keys import Keys, digest
from ltb.store.stage_files import TICKET, TRAINED
from ltb.store.store import Store
from ltb.tracking.wandb_mirror import MODES
from ltb.training import Training

Config = Mapping[str, Any]

PACKAGES = ("ltb", "torch", "pytorch-lightning", "hydra-core", "numpy")


class Run:
    """Everything that a run needs, made and checked before anything is trained or written.

    `config` is the resolved configuration; `names` says what was chosen for task, model and data. A run that is not `alone`
    leaves it to its sweep to show how it stands.
    Raises ValueError, in one line that names the key, for a configuration that cannot be run.
    """

    def __init__(self, config: Config, names: Mapping[str, str], *, alone: bool = True) -> None:
        self.config = config
        compose.check_kinds(config)
        self.seed = number(config, "seed", int, 0)
        if self.seed >= 2**63:
            raise ValueError(f"seed={self.seed}: below 2**63")
        torch.set_num_threads(number(config, "threads", int, 1))
        for key in ("fresh", "progress", "plan"):
            if not isinstance(config[key], bool):
                raise ValueError(f"{key}={config[key]!r}: true or false")
        self.shown = config["progress"] and alone
        metric = config["metric"]
        tolerance = metric["tolerance"]
        if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 <= tolerance < math.inf:
            raise ValueError(f"metric.tolerance={metric['tolerance']!r}: a number, 0 or more")
        for key, value in config["prunable"].items():
            if not isinstance(value, list) and (key, value) != ("include", None):
                raise ValueError(f"prunable.{key}={value!r}: a list of glob patterns of parameter names")
        if config["logger"] and config["logger"]["mode"] not in MODES:
            raise ValueError(f"logger.mode={config['logger']['mode']!r}: one of {', '.join(MODES)}")
        self.recipe = compose.recipe(config)
        trainer, device = compose.trainer(config["trainer"])
        dataset = build(config, "data")
        source = dataset.source(device) if hasattr(dataset, "source") else dataset
        self.display: Display | None = None
        self.told: Callable[[Fit, Mapping[str, float]], None] | None = None
        self.training = Training(
            lambda: build(config, "module"),
            source,
            config["training"]["length"],
            self.seed,
            evaluate_every=config["training"]["evaluate_every"],
            include=config["prunable"]["include"],
            exclude=config["prunable"]["exclude"],
            metric=metric["name"],
            direction=metric["direction"],
            trainer=trainer,
            advance=lambda count: self.display.advance(count) if self.display else None,
            told=lambda fit, row: self.told(fit, row) if self.told else None,
        )
        self.stages = stages(self.recipe, self.training.clock)
        self.recipe.allocation.check(self.training.prunable)
        settings = compose.settings(config, device, self.training.source.fingerprint)
        keys = Keys(settings)
        self.called = self.recipe.method + (f"-{self.recipe.control.name}" if self.recipe.control else "")
        # The same letters for every seed of one experiment: what is run, without the seed.
        of_any_seed = Keys({**settings, "seed": None})
        settled = digest([[of_any_seed(stage) for stage in self.stages], self.recipe.schedule.targets])
        self.run_id = f"{self.called}-{names['task'].replace('/', '-')}-s{self.seed}-{settled[:6]}"
        runs = Path(config["runs"])
        self.folder = runs / self.run_id
        store = Path(config["store"]["dir"])
        if config["fresh"]:
            count = 2
            while self.folder.exists():
                self.folder = runs / f"{self.run_id}.{count}"
                count += 1
            self.run_id, store = self.folder.name, self.folder / "store"
        compose.check_writable(runs, "runs")
        compose.check_writable(store, "store.dir")
        self.identity = {
            "run_id": self.run_id,
            "study": config["study"] or names["task"],
            "method": self.recipe.method,
            "task": names["task"],
            "model": names["model"],
            "data": names["data"],
            "seed": self.seed,
        }
        self.store = Store(
            store,
            keys,
            {name: self.identity[name] for name in ("task", "model", "data", "seed")},
            run_id=self.run_id,
            keep=config["store"]["keep"],
            checkpoint_every=config["store"]["checkpoint_every"],
        )
        if not config["plan"] and missing(self.stages, self.store.has):
            self.training.rehearse()

    def __call__(self) -> list[record.Row]:
        """Run what is not finished, and give back the ledger. Whatever ends it is in the run's status file and in W&B."""
        mirror = self._mirror()
        rows: list[record.Row] = []
        state, error = "failed", None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            before = self._ledger()
            files.write(self.folder / record.CONFIG, yaml.safe_dump(dict(self.config), sort_keys=False))
            self._status("running", rows)
            self._levels(rows, mirror)
            state = "complete"
            self._figure(mirror, drawn=before == self._ledger())
        except KeyboardInterrupt:
            state, error = "interrupted", "interrupted; the same command goes on from the last finished level"
            raise
        except BaseException as problem:
            error = f"{type(problem).__name__}: {problem}"
            raise
        finally:
            with suppress(OSError) if state == "failed" else nullcontext():  # a full disk takes no status file either
                self._status(state, rows, error)
            if mirror is not None:
                mirror.finish(state, self._summary(rows), error)
        self._report(rows, mirror)
        return rows

    def _levels(self, rows: list[record.Row], mirror: Any) -> None:
        todo = missing(self.stages, self.store.has)
        total = sum(iterations(stage, self.training.clock) for stage in todo)
        history: list[record.Row] = []
        layers: list[record.Row] = []
        live = None
        if mirror is not None:
            from ltb.tracking.live import Live

            live = Live(mirror, self.stages, self.store)
        self.told = live.told if live else None
        with Display(self.run_id, total, self.training.metric, shown=self.shown) as self.display:
            for level in levels(self.recipe, self.training, self.store):
                if live:
                    live.finished(level)
                reused = self.store.about(level.stage)["run_id"] != self.run_id
                cost, stage = search_steps(level.stage, self.training.clock), self.store.keys(level.stage)
                row = record.level_row(level, self.identity, self.training.parameters, cost, stage, reused)
                rows.append(row)
                history += record.history_rows(level, self.run_id)
                record.write_rows(self.folder / record.HISTORY, history)
                layers += record.layer_rows(level)
                record.write_rows(self.folder / record.LAYERS, layers)
                record.write_rows(self.folder / record.LEDGER, rows, record.COLUMNS)
                self._link(level)
                self._status("running", rows)
                self.display.level(row)
                if mirror is not None:
                    mirror.level(row)
        self.display = None

    def _mirror(self) -> Any:
        logger = self.config["logger"]
        if not logger:
            return None
        from ltb.tracking.wandb_mirror import WandbMirror

        return WandbMirror(
            self.run_id,
            folder=self.config["runs"],
            project=logger["project"],
            entity=logger["entity"],
            group=self.identity["study"],
            job_type=self.called,
            tags=[*logger["tags"], self.identity["model"], self.identity["data"]],
            config={**self.config, "task": self.identity["task"]},
            mode=logger["mode"],
            metric=self.training.metric,
        )

    def _ledger(self) -> str | None:
        path = self.folder / record.LEDGER
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else None

    def _figure(self, mirror: Any, *, drawn: bool) -> None:
        """Draw the curve, unless it was `drawn` from this same ledger before: that takes a second."""
        figure = self.folder / "curves.png"
        if not (drawn and figure.exists()):
            from ltb.records import ledger
            from ltb.report.figures import curves

            curves.save(ledger.read([self.folder]), self.folder)
        if mirror is not None:
            mirror.figure(figure)
            if self.config["logger"]["artifacts"]:
                tickets = self.folder / "tickets"
                mirror.artifact([self.folder / record.LEDGER, *([tickets] if tickets.exists() else [])])

    def _link(self, level: Level) -> None:
        """The level's files from the store, in the run folder: links to the same bytes, copies where links are not to be had."""
        for name, folder in ((TICKET, "tickets"), (TRAINED, "trained")):
            target = self.folder / folder / f"level-{level.index:02d}.safetensors"
            self.store.link(level.stage, name, target)

    def _status(self, state: str, rows: list[record.Row], error: str | None = None) -> None:
        record.write_json(
            self.folder / record.STATUS,
            {
                "state": state,
                "error": error,
                "run_id": self.run_id,
                "levels_done": len(rows),
                "levels": len(self.stages),
                "metric": {key: self.config["metric"][key] for key in ("name", "direction")},
                "command": sys.argv,
                "updated": datetime.now(UTC).isoformat(timespec="seconds"),
                "pid": os.getpid(),
                "commit": commit(),
                "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
                "machine": {"cpu": platform.processor() or platform.machine(), "threads": torch.get_num_threads()},
            },
        )

    def _summary(self, rows: list[record.Row]) -> dict[str, Any]:
        """The dense network's value, and the sparsest level that matches it, with the tolerance in the name's company."""
        metric, tolerance = self.config["metric"], self.config["metric"]["tolerance"]
        name = f"test/{metric['name']}"
        values = [(row["sparsity"], row[name]) for row in rows if row.get(name) is not None]
        if not values:
            return {}
        dense = values[0][1]
        found = sparsest_matching(values, dense=dense, tolerance=tolerance, direction=metric["direction"])
        return {f"dense/{name}": dense, "sparsest_matching_sparsity": found, "matching_tolerance": tolerance}

    def _report(self, rows: list[record.Row], mirror: Any) -> None:
        if not self.shown:
            return
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        console.print(table(rows, self.training.metric))
        values = [row[name] for row in rows if row.get(name := f"test/{self.training.metric}") is not None]
        console.print(f"test {self.training.metric} by level  {sparkline(values)}")
        summary = self._summary(rows)
        found = summary.get("sparsest_matching_sparsity")
        if found is not None:
            console.print(f"sparsest level within {summary['matching_tolerance']:g} of dense: {found:.2%} removed")
        print(f"run     {self.folder}")
        print(f"ledger  {self.folder / record.LEDGER}")
        print(f"curve   {self.folder / 'curves.png'}")
        if mirror is not None:
            print(mirror.hint())


def commit() -> str | None:
    """The commit of the working folder's repository, with a + where it has changes; None where there is none."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None if found.returncode == 0 else None
