"""The origin of a report's runs: what their settings differ in, by which code they were made, where, by which command.

Read from each run's identity.json, config.yaml and status.json; what a folder does not hold is left out, never guessed.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ltb.analysis import statistics
from ltb.common import files
from ltb.records import curves, ledger, variants
from ltb.records.schema import STATUS

ABSENT = "–"


@dataclass(frozen=True)
class Settings:
    """The settings of one task's curves: those that differ (a row a setting, a cell a curve) and those that do not."""

    task: str
    curves: list[str]
    differing: list[tuple[str, list[str]]]
    shared: list[tuple[str, str]]


def settings(rows: pd.DataFrame) -> list[Settings]:
    """Return the settings of each task's curves; a task none of whose runs keeps its configuration is left out."""
    found = []
    rows = statistics.named(statistics.distinct(rows))
    for task, its in rows.groupby("task", sort=True):
        known = curves.decisive(its["folder"].unique())
        # Runs of one curve have the same settings, apart from the seed and other nuisances: one is enough.
        speakers = its[its["folder"].isin(list(known))].drop_duplicates("curve").sort_values("curve")
        known = {curve: known[folder] for curve, folder in zip(speakers["curve"], speakers["folder"], strict=True)}
        if known:
            found.append(_compared(str(task), known))
    return found


def _compared(task: str, known: Mapping[str, Mapping[str, object]]) -> Settings:
    keys = variants.differing(list(known.values()))
    cells = {key: [_text(one[key]) if key in one else ABSENT for one in known.values()] for key in keys}
    differing = [(key.removesuffix("._target_"), values) for key, values in cells.items()]
    every = sorted({key for one in known.values() for key in one})
    alike = [(key, {_text(one[key]) if key in one else ABSENT for one in known.values()}) for key in every]
    shared = [(key.removesuffix("._target_"), values.pop()) for key, values in alike if len(values) == 1]
    return Settings(task, list(known), differing, shared)


def _text(value: object) -> str:
    """Return a value much as it is typed on a command line: [1, 2], true, null; a class of ltb by its own name."""
    if isinstance(value, str):
        return value.rpartition(".")[2] if value.startswith("ltb.") else value
    return json.dumps(value, ensure_ascii=False, default=str)


@dataclass(frozen=True)
class Made:
    """The commit, versions and machine that several levels share, each as text, and the number of runs they are from.

    levels: how many they are, where one of the runs has levels that were made otherwise; else None.
    """

    commit: str
    versions: str
    machine: str
    runs: int
    levels: int | None


def statuses(runs: Iterable[ledger.Run]) -> list[dict[str, Any]]:
    """Return the status files of the runs that have one, read anew for what `ledger.Run` does not hold."""
    return [told for run in runs if (told := _status(run.folder))]


def _status(folder: Path) -> dict[str, Any]:
    path = folder / STATUS
    return files.plain(path, "run's status") if files.there(path) else {}


def made(told: Sequence[Mapping[str, Any]]) -> list[Made]:
    """Return with which code and where the levels of these runs were trained, the most frequent first."""
    found: dict[tuple[str, str, str], list[tuple[int, bool]]] = {}
    for one in told:
        levels: dict[tuple[str, str, str], int] = {}
        for part in _parts(one):
            own = {"ltb's commit": part["ltb_commit"]} if part.get("ltb_commit") else {}
            key = (str(part.get("commit") or ABSENT), _pairs(part["versions"] | own), _pairs(part.get("machine")))
            levels[key] = levels.get(key, 0) + len(part["levels"])
        for key, count in levels.items():
            found.setdefault(key, []).append((count, len(levels) > 1))
    counted = [
        Made(*key, len(runs), sum(n for n, _ in runs) if any(mixed for _, mixed in runs) else None)
        for key, runs in found.items()
    ]
    return sorted(counted, key=lambda one: -one.runs)


def _parts(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return commit, versions, machine and levels of each part of a run; of an older status file one part for all."""
    listed = told.get("made")
    if not isinstance(listed, list):
        listed = [{**told, "levels": list(range(told.get("levels_done") or 0))}]
    parts = [part for part in listed if isinstance(part, dict) and (part.get("commit") or part.get("versions"))]
    kinds = {"levels": list, "versions": dict, "machine": dict}
    return [
        part | {name: part[name] if isinstance(part.get(name), kind) else kind() for name, kind in kinds.items()}
        for part in parts
    ]


def mixtures(rows: pd.DataFrame) -> list[str]:
    """Return a sentence for each task whose curves are of more than one commit, version, machine or way to compute.

    What a level does not say, because it was trained before levels said it, differs from nothing.
    """
    said = []
    for task, folders in statistics.distinct(rows).groupby("task", sort=True)["folder"]:
        parts = [part for folder in folders.unique() if folder for part in _parts(_status(Path(folder)))]
        values: dict[str, dict[str, None]] = {}
        for part in parts:
            for name, value in _named(part):
                if value is not None:
                    values.setdefault(name, {})[str(value)] = None
        mixed = [f"{len(each)} {name} ({', '.join(each)})" for name, each in values.items() if len(each) > 1]
        if mixed:
            said.append(f"the curves of {task} mix levels made with {' and '.join(mixed)}")
    return said


PLURALS = {"device": "devices", "cpu": "CPUs", "gpu": "GPUs", "threads": "numbers of threads"}


def _named(part: Mapping[str, Any]) -> Iterable[tuple[str, object]]:
    """Yield what levels were made with, each by a plural."""
    yield "commits", part.get("commit")
    yield "commits of ltb", part.get("ltb_commit")
    yield from ((f"versions of {name}", value) for name, value in part["versions"].items())
    yield from ((PLURALS.get(name, f"settings of {name}"), value) for name, value in part["machine"].items())


def _pairs(value: object) -> str:
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else ABSENT


def commands(told: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """Return the commands that made the runs, each once with the number of runs that it made."""
    typed = [_command(one["command"]) for one in told if isinstance(one.get("command"), list) and one["command"]]
    return [(command, typed.count(command)) for command in dict.fromkeys(typed)]


def _command(argv: Sequence[object]) -> str:
    program, *arguments = map(str, argv)
    name = os.path.basename(program)
    typed = "python -m ltb.train" if name in ("train.py", "-m", "-c") else name
    return " ".join([typed, *map(_quoted, arguments)])


def _quoted(argument: str) -> str:
    """Return a word quoted where a shell needs it; plain brackets and commas of an override are left as typed."""
    return (
        argument
        if not set(argument) & set(" \t\n'\"\\$`!&;|<>(){}*?#~") and "[" not in argument
        else shlex.quote(argument)
    )
