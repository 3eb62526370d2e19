"""A run: from its setup to a ledger, a figure and tickets in its folder, whatever happens on the way said in its status file."""

from __future__ import annotations

import math
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.text import Text

from ltb.analysis.sparsest import DENSE_DIVERGED
from ltb.common import files
from ltb.common.errors import Diverged
from ltb.common.text import printable
from ltb.core.chain import asked
from ltb.core.contracts import Listener
from ltb.core.loop import Level, levels
from ltb.core.stage import Stage
from ltb.records import identity, jobs, record
from ltb.report.sparkline import scale, sparkline
from ltb.run import links, signals, summary
from ltb.run.books import Books
from ltb.run.build import build
from ltb.run.display import Display, diverged, table
from ltb.run.provenance import joined
from ltb.run.setup import Setup


class Several(Listener):
    """Several listeners as one."""

    def __init__(self, *each: Listener) -> None:
        self._each = each

    def on_stage(self, stage: Stage) -> None:
        for one in self._each:
            one.on_stage(stage)

    def on_fit(self, start: int, stop: int) -> None:
        for one in self._each:
            one.on_fit(start, stop)

    def on_step(self, count: int) -> None:
        for one in self._each:
            one.on_step(count)

    def on_row(self, row: Mapping[str, float]) -> None:
        for one in self._each:
            one.on_row(row)


class Computed(Listener):
    """Notes the stages that this command computed, until it is interrupted."""

    def __init__(self) -> None:
        self.stages: set[Stage] = set()

    def on_stage(self, stage: Stage) -> None:
        self.stages.add(stage)

    def on_row(self, row: Mapping[str, float]) -> None:
        signals.heed()


class Run:
    """Runs a setup. A job of a sweep, in whose folder it is listed, leaves it to that to show how it stands."""

    def __init__(self, setup: Setup, sweep: Path | None = None) -> None:
        self.setup, self.folder, self._sweep = setup, setup.folder, sweep
        self._shown = setup.config["progress"] and sweep is None
        self._books = Books(setup, setup.folder)
        self._reused: list[str] = []  # the runs that trained what this command did not

    def __call__(self) -> list[record.Row]:
        """Run what is not finished, and return the ledger. Whatever ends it is in the run's status file and in W&B."""
        setup = self.setup
        mirror = self._mirror()
        state, error = "failed", None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            before = self._books.open()
            files.write(self.folder / record.CONFIG, yaml.safe_dump(setup.written, sort_keys=False))
            identity.write(self.folder, setup.decides)
            self._status("running")
            if self._sweep is not None:
                jobs.add(
                    self._sweep, self.folder
                )  # not before its status: a job that is listed is running or has ended
            try:
                self._levels(mirror)
            except Exception:
                signals.heed()
                raise
            state = "complete"
            self._figure(mirror, drawn=before == self._books.text())
        except KeyboardInterrupt:
            state, error = "interrupted", "interrupted; the same command goes on from the last finished level"
            raise
        except BaseException as problem:
            error = setup.secrets.mask(f"{type(problem).__name__}: {problem}")
            raise
        finally:
            with suppress(OSError) if state == "failed" else nullcontext():  # a full disk takes no status file either
                self._status(state, error)
            if mirror is not None:
                mirror.finish(state, self._summary(state), error)
        self._report(mirror)
        return self._books.rows

    def _levels(self, mirror: Any) -> None:
        setup = self.setup
        total = sum(stage.iterations(setup.training.clock) for stage in setup.missing())
        computed, live = Computed(), None
        if mirror is not None:
            from ltb.tracking.live import Live

            live = Live(mirror, setup.stages)
        if self._shown:
            Console(stderr=True, highlight=False, soft_wrap=True).print(Text(printable(setup.training.coverage)))
        with Display(setup.run_id, total, setup.training.judge[0], shown=self._shown) as display:
            listener = Several(computed, display, *([live] if live else []))
            for level in levels(setup.recipe, setup.training, setup.store, measures=setup.measures, listener=listener):
                if live:
                    live.finished(level)
                row, trained_by = self._books.add(level)
                ends = level.diverged and setup.config["training"].get("on_divergence") == "stop"
                self._books.write(ends=ends)
                self._link(level)
                self._status("running")
                reused = None if level.stage in computed.stages else trained_by
                self._reused += [reused] if reused else []
                display.level(row, reused)
                if mirror is not None:
                    relative = summary.relative(self._books.rows, setup.training.judge)
                    mirror.level(row | record.further(level) | relative)
                if ends:
                    name, value = next(iter(level.divergence.items()))
                    raise Diverged(f"level {level.index} diverged ({name} {value}): training.on_divergence=stop")

    def _mirror(self) -> Any:
        setup = self.setup
        chosen = [
            build({f"mirrors.{name}": node}, f"mirrors.{name}")
            for name, node in (setup.config.get("mirrors") or {}).items()
        ]
        if not chosen and not setup.config.get("logger"):
            return None
        from ltb.tracking.mirror import Mirrors

        written = {**setup.written, "task": setup.row["task"]}
        wandb = [self._wandb(written)] if setup.config.get("logger") else []
        return Mirrors(*wandb, *(one.start(setup.run_id, setup.row["study"], written) for one in chosen))

    def _wandb(self, written: Mapping[str, Any]) -> Any:
        from ltb.tracking.wandb_mirror import WandbMirror

        logger, row = self.setup.config["logger"], self.setup.row
        return WandbMirror(
            self.setup.run_id,
            folder=self.setup.config["runs"],
            project=logger["project"],
            entity=logger["entity"],
            group=row["study"],
            job_type=self.setup.label,
            tags=[*written["logger"]["tags"], row["model"], row["data"]],
            name=self.setup.title,
            notes=written["logger"]["notes"],
            config=written,
            mode=logger["mode"],
            metric=self.setup.training.judge[0],
        )

    def _figure(self, mirror: Any, *, drawn: bool) -> None:
        """Draw the curve, unless it was `drawn` from this same ledger before: that takes a second."""
        figure = self.folder / "curves.png"
        name = f"test/{self.setup.training.judge[0]}"
        if not any(row.get(name) is not None and math.isfinite(row[name]) for row in self._books.rows):
            return  # every level diverged: there is nothing to draw
        if not (drawn and figure.exists()):
            from ltb.records import ledger
            from ltb.report.figures import curves

            curves.save(ledger.read([self.folder]), self.folder)
        if mirror is not None:
            mirror.figure(figure)
            if (self.setup.config.get("logger") or {}).get("artifacts"):
                tickets = self.folder / "tickets"
                mirror.artifact([self.folder / record.LEDGER, *([tickets] if tickets.exists() else [])])

    def _link(self, level: Level) -> None:
        """The level's files from the store, and those of its measures, in the run folder."""
        setup = self.setup
        links.level(setup.store, level.stage, level.index, self.folder)
        for measure in setup.measures:
            of = asked(measure, setup.stages, setup.training.clock).get(level.index)
            if of is not None:
                links.measured(setup.store, measure, of, level.index, self.folder)

    def _status(self, state: str, error: str | None = None) -> None:
        record.write_json(
            self.folder / record.STATUS,
            {
                "state": state,
                "error": error,
                "run_id": self.setup.run_id,
                "levels_done": self._books.levels,
                "levels": len(self.setup.stages),
                "metric": {key: self.setup.config["metric"][key] for key in ("name", "direction")},
                "prunable": str(self.setup.training.coverage),
                "command": self.setup.secrets.arguments(sys.argv),
                "updated": datetime.now(UTC).isoformat(timespec="seconds"),
                "pid": os.getpid(),
                "made": joined(self._books.made),
            },
        )

    def _summary(self, state: str = "running") -> dict[str, Any]:
        """The summary of this seed, and, of a complete run, what the finished seeds together demonstrate."""
        found = summary.of_last(self._books.rows) | summary.of_seed(self._books.rows, self.setup.config["metric"])
        if state != "complete" or found.get("sparsest_matching_sparsity") == DENSE_DIVERGED:
            return found
        return found | summary.demonstrated(self.folder, self.setup.row["seed"])

    def _report(self, mirror: Any) -> None:
        if not self._shown:
            return
        metric = self.setup.training.judge[0]
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        if console.is_terminal:  # else each level has had its line
            console.print(table(self._books.rows, metric))
        values = [row[name] for row in self._books.rows if row.get(name := f"test/{metric}") is not None]
        console.print(f"test {metric} by level  {sparkline(values)}  {scale(values, '{:.4f}'.format)}".rstrip())
        for line in summary.lines(self._summary("complete"), pruned=len(self._books.rows) > 1):
            console.print(line)
        if lost := diverged(self._books.rows):
            console.print(lost)
        if self._reused:
            console.print(Text(printable(reused(self._reused, len(self._books.rows)))))
        print(f"run     {self.folder}")
        print(f"ledger  {self.folder / record.LEDGER}")
        if (self.folder / "curves.png").exists():
            print(f"curve   {self.folder / 'curves.png'}")
        if mirror is not None:
            print(mirror.hint())


def reused(runs: Sequence[str], levels: int) -> str:
    """Return the line that counts what a command did not train.

    >>> reused(["a", "a", "b"], 5)
    '3 of 5 levels were not trained by this command: 2 from a, 1 from b'
    """
    counted = ", ".join(f"{count} from {run}" for run, count in Counter(runs).items())
    return f"{len(runs)} of {levels} levels were not trained by this command: {counted}"
