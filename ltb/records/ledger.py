"""Reading the folders of runs: find them, read their ledgers into one table, return the status of each run.

Nothing here writes. A file that does not hold what it must is named (`Damaged`), never skipped or guessed at.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from ltb.common import files
from ltb.common.errors import Damaged
from ltb.records import curves, jobs
from ltb.records.schema import COLUMNS, CONFIG, LATER, LEDGER, STATES, STATUS, dtype

# Added to the rows of a run from its other files; they are not in levels.csv.
METADATA = ("state", "metric", "direction", "variant", "folder")
SKIPPED = re.compile(r"^\.|^wandb$")  # what ltb and W&B leave beside runs
# The fields of a status file → the types that they may have.
STATUS_FIELDS: dict[str, tuple[type, ...]] = {
    "state": (str,),
    "run_id": (str, type(None)),
    "error": (str, type(None)),
    "levels_done": (int, type(None)),
    "levels": (int, type(None)),
    "metric": (dict, type(None)),
}


@dataclass(frozen=True)
class Run:
    """The status of a run: its folder, its state (one of `schema.STATES`, or "unknown" without a status file)."""

    folder: Path
    run_id: str
    state: str
    error: str | None
    levels_done: int | None
    levels: int | None
    metric: str
    direction: str

    def __str__(self) -> str:
        done = "" if self.levels_done is None else f", {self.levels_done} of {self.levels} levels done"
        return f"{self.run_id}: {self.state}{done}" + (f" ({self.error.splitlines()[0]})" if self.error else "")


def find(paths: Iterable[str | Path]) -> list[Path]:
    """Return run folders at or below `paths`, each once, sorted; hidden folders and W&B's own are skipped.

    ValueError, one line, for a path that does not exist or holds no run.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        if not path.exists():
            raise ValueError(f"{path}: no such folder")
        below = list(_walk(path.parent if path.name == LEDGER else path))
        if not below:
            raise ValueError(f"{path}: no run found here or below (a run's folder holds {LEDGER})")
        found |= {folder.resolve(): None for folder in below}
    return list(found)


def _walk(top: Path) -> Iterable[Path]:
    for folder, subfolders, names in os.walk(top):
        yield from (path for path in jobs.runs(Path(folder)) if files.there(path / LEDGER))
        if LEDGER in names or (STATUS in names and CONFIG in names):
            subfolders.clear()  # folders inside a run's own folder are not searched
            yield Path(folder)
        subfolders[:] = sorted(name for name in subfolders if not SKIPPED.search(name))


def status(folder: Path) -> Run:
    """Return the status of the run in `folder`, from its status file; `Damaged` if that does not hold what it must."""
    path = folder / STATUS
    if not files.there(path):
        return Run(folder, folder.name, "unknown", None, None, None, "accuracy", "max")
    told = _told(path)
    metric = told["metric"] or {}
    run = Run(
        folder,
        told["run_id"] or folder.name,
        told["state"],
        told["error"],
        told["levels_done"],
        told["levels"],
        metric.get("name", "accuracy"),
        metric.get("direction", "max"),
    )
    if run.state not in STATES or run.direction not in ("max", "min"):
        raise Damaged(f"{path}: state {run.state!r}, direction {run.direction!r} are not ones that ltb writes")
    return run


def _told(path: Path) -> dict[str, Any]:
    """Return the fields of a status file, one that it lacks as None; `Damaged` unless each is of its type."""
    told = files.plain(path, "run's status")
    fields = {name: told.get(name) for name in STATUS_FIELDS}
    metric = fields["metric"] if isinstance(fields["metric"], dict) else {}
    checked = [(name, value, STATUS_FIELDS[name]) for name, value in fields.items()]
    checked += [(f"metric.{name}", metric[name], (str,)) for name in ("name", "direction") if name in metric]
    for name, value, kinds in checked:
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise Damaged(f"{path}: not a run's status ({name} is {json.dumps(value)[:60]})")
    return fields


def runs(paths: Iterable[str | Path]) -> list[Run]:
    """Return the status of every run at or below `paths`, finished or not."""
    found: list[Run] = []
    for folder in find(paths):
        run = status(folder)
        found += [run] if run.state != "unknown" else [one for one, _ in _each(run)]
    return found


def _each(run: Run) -> Iterable[tuple[Run, pd.DataFrame]]:
    """Return the run and its rows. A ledger without a status file may be a study's, with the rows of many runs."""
    rows = table(run.folder / LEDGER)
    if run.state != "unknown":
        yield run, rows
        return
    for run_id, its in rows.groupby("run_id", sort=False):
        yield replace(run, folder=run.folder / str(run_id), run_id=str(run_id)), its.reset_index(drop=True)


def read(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Return the rows of all runs at or below `paths`, whatever state the runs are in.

    Columns: the ledger's, with fixed dtypes; then any further val/… and test/… columns (float64); then about each
    row's run: state, metric and direction (which test/<metric> counts and whether "max" or "min" is better),
    variant (what sets its settings apart from other runs of the same method, "" if nothing does), folder.
    `Damaged` names a file that is truncated or does not fit the schema.
    """
    return load(paths)[1]


def load(paths: Iterable[str | Path]) -> tuple[list[Run], pd.DataFrame]:
    """Return `runs` and `read` in one reading, so that both are of one moment."""
    # Status first: levels that a running process finishes meanwhile are then extra rows, not missing ones.
    found = [one for folder in find(paths) for one in _each(status(folder))]
    if not found:
        raise ValueError("no level is finished yet")
    tables = [_about(run, rows) for run, rows in found]
    for run, rows in found:
        if run.state == "complete" and run.levels_done is not None and len(rows) < run.levels_done:
            raise Damaged(
                f"{run.folder / LEDGER}: {len(rows)} rows, but the run completed {run.levels_done} levels (truncated?)"
            )
    every = [name for name in dict.fromkeys(n for rows in tables for n in rows.columns) if name not in METADATA]
    # Rows without a column that others have are missing values there; concatenating empty tables would lose dtypes.
    whole = [rows.reindex(columns=[*every, *METADATA]) for rows in tables if len(rows)] or [tables[0]]
    rows = curves.tasks(pd.concat(whole, ignore_index=True) if len(whole) > 1 else whole[0])
    return [run for run, _ in found], rows.assign(variant=curves.variants_of(rows))


def _about(run: Run, rows: pd.DataFrame) -> pd.DataFrame:
    if len(rows) and f"test/{run.metric}" not in rows.columns:
        raise Damaged(f"{run.folder / LEDGER}: no column test/{run.metric}, the metric that {STATUS} names")
    if len(rows) and run.state != "unknown" and set(rows["run_id"]) != {run.run_id}:
        raise Damaged(f"{run.folder / LEDGER}: rows of {rows['run_id'][0]}, but {STATUS} is of {run.run_id}")
    about = {"state": run.state, "metric": run.metric, "direction": run.direction, "variant": ""}
    return rows.assign(**about, folder=str(run.folder))


def settings(folder: Path) -> dict[str, Any] | None:
    """Return the resolved configuration of the run in `folder`; None if it is not kept; `Damaged` if it is not YAML."""
    path = folder / CONFIG
    if not files.there(path):
        return None
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # safe as well, ten times faster
    content = files.text(path, "run's configuration")
    try:
        found = yaml.load(content, loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date that is none
        raise Damaged(f"{path}: not YAML ({str(error).splitlines()[0]})") from error
    return files.bounded(path, "run's configuration", found, len(content))


def table(path: Path) -> pd.DataFrame:
    """Return a ledger file as a table of fixed dtypes, without rows if it is missing; `Damaged` names file and line."""
    if not files.there(path):
        return _typed(path, list(COLUMNS), [])
    header, lines = files.rows(path, "ledger")
    missing = [name for name in COLUMNS if name not in header and name not in LATER]
    if missing or len(set(header)) < len(header):
        raise Damaged(f"{path}: its header lacks {', '.join(missing) or 'distinct names'}")
    check_widths(path, header, lines)
    return _typed(path, header, lines)


def check_widths(path: Path, header: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Raise Damaged unless each line of a CSV file has a field for each name of its header."""
    for number, line in enumerate(lines, start=2):
        if len(line) != len(header):
            raise Damaged(f"{path}: line {number} has {len(line)} fields instead of {len(header)}")


def _typed(path: Path, header: Sequence[str], lines: Sequence[Sequence[str]]) -> pd.DataFrame:
    columns = {name: column(path, name, [line[i] for line in lines], dtype(name)) for i, name in enumerate(header)}
    columns |= {name: column(path, name, [""] * len(lines), dtype(name)) for name in LATER if name not in header}
    rows = pd.DataFrame(columns)
    if rows.duplicated(["run_id", "control", "level"]).any():
        raise Damaged(f"{path}: holds a level twice")
    if not rows["density"].between(0, 1).all() or not rows["sparsity"].between(0, 1).all():
        raise Damaged(f"{path}: a density or sparsity is outside [0, 1]")
    return rows


def _whole(text: str) -> int:
    number = float(text) if "." in text else int(text)  # a measured step may have passed through a float: 800.0
    if not -(2**63) <= number < 2**63 or number != int(number):
        raise ValueError(text)
    return int(number)


def _flag(text: str) -> bool:
    return {"true": True, "1": True, "false": False, "0": False}[text.lower()]


PARSERS: dict[str, Callable[[str], object]] = {
    "str": str,
    "int64": _whole,
    "Int64": _whole,
    "float64": float,
    "boolean": _flag,
}
MISSING: dict[str, object] = {"str": "", "Int64": pd.NA, "float64": float("nan"), "boolean": pd.NA}
TYPE_NAMES = {"int64": "whole number", "Int64": "whole number", "float64": "number", "boolean": "true or false"}


def column(path: Path, name: str, texts: Sequence[str], kind: str) -> Any:
    """Return a column of a CSV file as an array of the pandas dtype `kind`; `Damaged` names file and line."""
    values = []
    for number, text in enumerate(texts, start=2):
        try:
            values.append(MISSING[kind] if text == "" else PARSERS[kind](text))
        except (ValueError, KeyError) as error:
            raise Damaged(f"{path}: line {number}, column {name}: {text!r} is not a {TYPE_NAMES[kind]}") from error
    return pd.array(values, dtype=kind)  # type: ignore[call-overload]  # its stubs know literal dtypes only
