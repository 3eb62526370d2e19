"""Measures of finished runs: each run's setup is made again from the configuration in its folder, and its stages are asked.

A run is measured only where its setup still comes to the stages that its ledger names: code or data that changed since are
said, and nothing is trained in their place.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ltb.common import files
from ltb.common.errors import Damaged
from ltb.common.text import inert, printable
from ltb.core.chain import asked
from ltb.core.contracts import Checkpoints
from ltb.core.loop import Loop
from ltb.core.measure import Measure
from ltb.core.stage import Stage
from ltb.core.stages import Known, Measured
from ltb.records import ledger, record
from ltb.run import links
from ltb.run.build import build
from ltb.run.conf import conf
from ltb.run.secrets import check_given
from ltb.run.setup import Setup, setup
from ltb.store.store import Store

Rows = list[record.Row]
NAMED = ("run_id", "task", "model", "data", "level", "stage")  # columns of a ledger that say what is measured


@dataclass(frozen=True)
class Asked:
    """The measures that a command asks for: the configuration of each by its name, and what is set in them."""

    files: Mapping[str, Path]
    settings: tuple[str, ...]

    @classmethod
    def parse(cls, settings: Sequence[str], own: Path | None) -> Asked:
        """Read ``measure=a,b`` and ``measure.a.key=value``; `own` is a folder with measures of the user's own."""
        folders = [Path(conf()) / "measure", *([own / "measure"] if own else [])]
        there = {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}
        chosen = [text.partition("=")[2] for text in settings if text.startswith("measure=")]
        names = [name.strip() for text in chosen for name in text.strip("[]").split(",") if name.strip()]
        if not names:
            raise ValueError(f"measure=NAME is missing; there are {', '.join(there)}")
        for name in names:
            if name not in there:
                raise ValueError(f"measure={name}: there is no such measure; there are {', '.join(there)}")
        return cls({name: there[name] for name in names}, tuple(s for s in settings if not s.startswith("measure=")))

    def measures(self, config: Mapping[str, Any]) -> list[Measure]:
        """The measures, their interpolations resolved within a run's configuration."""
        sections = {name: yaml.safe_load(path.read_text(encoding="utf-8")) for name, path in self.files.items()}
        try:
            merged = OmegaConf.create({**config, "measure": sections})
            known = OmegaConf.to_container(merged["measure"])
            merged.merge_with(OmegaConf.from_dotlist(list(self.settings)))
            resolved: Any = OmegaConf.to_container(merged, resolve=True)
        except (OmegaConfBaseException, yaml.YAMLError) as error:
            raise ValueError(f"{' '.join(self.settings) or 'measure'}: {str(error).splitlines()[0]}") from None
        for name in resolved["measure"]:
            if name not in known:  # type: ignore[operator]
                raise ValueError(f"measure.{name}: it was not asked for; measure={','.join(known)}")  # type: ignore[arg-type]
        found = [build({f"measure.{name}": resolved["measure"][name]}, f"measure.{name}") for name in self.files]
        for name, measure in zip(self.files, found, strict=True):
            if not isinstance(measure, Measure):
                raise ValueError(f"measure={name}: {type(measure).__name__} is not a Measure")
        return found


def again(folder: Path) -> tuple[Setup, list[dict[str, str]]]:
    """Return the setup of the run in `folder`, and its ledger's rows. Raises ValueError where they are not of one another."""
    config = ledger.settings(folder)
    if config is None:
        raise ValueError(f"{folder / record.CONFIG} is missing: without it the run's network cannot be made again")
    rows = record.read_rows(folder / record.LEDGER, NAMED) if (folder / record.LEDGER).exists() else []
    if not rows:
        raise ValueError("no level is finished yet")
    check_given(config)
    # The store beside the run, where the two were moved together, before one of that name in the working folder.
    places = (folder / "store", folder.parent / "store", Path(config["store"]["dir"]))
    store = next((path for path in places if (path / rows[0]["stage"]).is_dir()), places[-1])
    config |= {
        "runs": str(folder.parent),
        "store": {**config["store"], "dir": str(store)},
        "fresh": False,
        "plan": False,
    }
    first = rows[0]
    made = setup(config, {name: first[name] for name in ("task", "model", "data")})
    keys = [made.store.keys(stage) for stage in made.stages]
    changed = [row["level"] for row, key in zip(rows, keys, strict=False) if row["stage"] != key]
    if changed:
        raise ValueError(
            f"level {changed[0]} is another stage than its ledger names: code, data or settings have changed since"
        )
    absent = [row["level"] for row, stage in zip(rows, made.stages, strict=False) if not made.store.has(stage)]
    if absent:
        raise ValueError(f"level {absent[0]} is not in the store {made.store.folder}, and nothing is trained here")
    return made, rows


def measured(made: Setup, ledger_rows: Sequence[Mapping[str, str]], measure: Measure, folder: Path) -> Rows:
    """Return a measure's rows of measures.csv for the levels of a ledger, under the run's name there; tensors go into `folder`."""
    loop = Loop(made.training, made.store, trains=False)
    stages, run_id = made.stages[: len(ledger_rows)], ledger_rows[0]["run_id"]
    rows: Rows = []
    for level, stage in asked(measure, stages, made.training.clock).items():
        key = "" if level is None else made.store.keys(stages[level])
        rows += record.quantity_rows(run_id, level, key, measure.label, loop.result(stage).values)
        if level is not None:
            links.measured(made.store, measure, stage, level, folder)
    return rows


def each(paths: Sequence[Path], wanted: Asked) -> int:
    """Measure every run at or below `paths`, each in its own folder; the exit code."""
    folders = ledger.find(paths)
    console, code = Console(stderr=True, highlight=False, soft_wrap=True), 0
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("measuring", total=len(folders) * len(wanted.files))
        for i, folder in enumerate(folders):
            try:
                made, ledger_rows = again(folder)
                numbers = 0
                for measure in wanted.measures(made.config):
                    bar.update(task, description=printable(f"{folder.name}: {measure.name}"))
                    new = measured(made, ledger_rows, measure, folder)
                    record.merge_measures(folder, new)  # each at once: the next may take minutes
                    numbers += len(new)
                    bar.advance(task)
                print(printable(f"{folder.name}: {numbers} numbers in {os.path.relpath(folder / record.MEASURES)}"))
            except Exception as error:  # noqa: BLE001 (whatever the user's own code raises: the others are measured)
                code = _failed(folder.name, error)
            bar.update(task, completed=(i + 1) * len(wanted.files))
    return code


class Joined:
    """The stores of several runs as one memory: what is asked is read where it is, what is new is kept in the first."""

    def __init__(self, stores: Iterable[Store]) -> None:
        self._stores = list(stores)

    def _of(self, stage: Stage) -> Store:
        return next((store for store in self._stores if store.has(stage)), self._stores[0])

    def has(self, stage: Stage) -> bool:
        return self._of(stage).has(stage)

    def get(self, stage: Stage, again: Callable[[], Any]) -> Any | None:
        return self._of(stage).get(stage, again)

    def claim(self, stage: Stage) -> AbstractContextManager[Checkpoints | None]:
        return self._stores[0].claim(stage)

    def put(self, stage: Stage, result: Any) -> Any:
        return self._stores[0].put(stage, result)

    def nearest(self, stage: Stage, step: int) -> Any | None:
        return self._stores[0].nearest(stage, step)


def across(paths: Sequence[Path], wanted: Asked, file: Path) -> int:
    """Compare runs with each other, level by level, those of one task, model, data and prunable parameters, by measures of masks.

    Returns the exit code.

    A run that cannot be read is named, and the others are compared.
    """
    if files.there(file) and not file.is_file():
        raise ValueError(f"--across {file}: it is there, and is no regular file")
    groups: dict[tuple[Any, ...], list[tuple[Setup, dict[str, str]]]] = {}
    code = 0
    for folder in ledger.find(paths):
        try:
            made, rows = again(folder)
        except Exception as error:  # noqa: BLE001 (as above)
            code = _failed(folder.name, error)
            continue
        for row in rows[1:]:
            place = (row["task"], row["model"], row["data"], row["level"], made.training.prunable)
            groups.setdefault(place, []).append((made, row))
    found: Rows = []
    for (task, model, data, level, _), members in groups.items():
        if len(members) < 2:
            continue
        first, names = members[0][0], [row["run_id"] for _, row in members]
        loop = Loop(first.training, Joined(made.store for made, _ in members), trains=False)
        for measure in wanted.measures(first.config):
            if not measure.joint or measure.network:
                raise ValueError(f"measure={measure.name}: --across takes measures that compare masks, such as overlap")
            stages = tuple(Known(row["stage"]) for _, row in members)
            try:
                values = loop.result(Measured(stages, measure)).values
            except Exception as error:  # noqa: BLE001 (as above)
                code = _failed(f"{task}, level {level}", error)
                continue
            of = {"task": task, "model": model, "data": data, "level": level, "runs": ";".join(names)}
            of = {name: inert(text) for name, text in of.items()}  # a table for people, unlike those in runs' folders
            found += [
                {**of, "measure": measure.label, "quantity": inert(name), "value": value}
                for name, value in values.items()
            ]
    if not found and code:
        return code
    if not found:
        raise ValueError("there are no two runs of one task, model, data and prunable parameters to compare")
    record.write_rows(file, found)
    print(printable(f"{len(found)} numbers in {file}"))
    return code


def _failed(what: str, error: Exception) -> int:
    said = str(error) if isinstance(error, ValueError | Damaged) else f"{type(error).__name__}: {error}"
    print(printable(f"ltb: {what}: {' '.join(said.split())}"), file=sys.stderr)
    return 1
