"""Records: a row of the ledger for each finished level, and the files of a run folder, all written whole or not at all.

The ledger is the truth that W&B and every report mirror. Accuracies are fractions, steps are on the training clock.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltb.common import files
from ltb.common.errors import Damaged
from ltb.records.schema import COLUMNS, CONFIG, HISTORY, LAYERS, LEDGER, MEASURE, MEASURES, STATUS

if TYPE_CHECKING:
    from ltb.core.loop import Level

__all__ = [
    "COLUMNS",
    "CONFIG",
    "HISTORY",
    "LAYERS",
    "LEDGER",
    "MEASURE",
    "MEASURES",
    "STATUS",
    "Row",
    "history_rows",
    "layer_rows",
    "level_row",
    "measured_rows",
    "quantity_rows",
    "read_rows",
    "write_json",
    "write_rows",
]

Row = dict[str, Any]


def level_row(
    level: Level, identity: Mapping[str, Any], parameters: int, search_steps: int | None, stage: str, reused: bool
) -> Row:
    """Return the row of one level: the identity of the run (run_id, study, … seed), what was kept, what was measured.

    A metric ``test/accuracy`` fills the column of its name; metrics without a column of the schema get one after those.
    """
    trained = level.trained
    row: Row = dict.fromkeys(COLUMNS)
    row |= {
        **identity,
        "control": level.stage.broken_by,
        "draw": level.stage.draw,
        "level": level.index,
        "target_sparsity": level.target,
        "sparsity": level.sparsity,
        "density": level.density,
        "remaining": level.remaining,
        "prunable": level.prunable,
        "parameters": parameters,
        "start_step": trained.start,
        "end_step": trained.stop,
        "collapsed_layers": ";".join(level.collapsed),
        "diverged": level.diverged,
        "search_steps": search_steps,
        "seconds": round(trained.seconds, 3),
        "reused": reused,
        "stage": stage,
    }
    last = trained.history[-1] if trained.history else {}
    metrics = {name: last[name] for name in ("train/loss",) if name in last}
    early = level.metrics.get("early_stop_step")
    if early is not None and trained.history:
        metrics["early_stop_is_first"] = len(trained.history) > 1 and early == trained.history[0]["step"]
    return {**row, **metrics, **level.metrics}


def measured_rows(level: Level, run_id: str, stage: str) -> list[Row]:
    """Return the rows of a level's measures."""
    found = level.measured.items()
    return [row for name, values in found for row in quantity_rows(run_id, level.index, stage, name, values)]


def joint_rows(level: Level, run_id: str) -> list[Row]:
    """Return the rows of the measures that compare all levels, which the last one has."""
    return [row for name, values in level.joint.items() for row in quantity_rows(run_id, None, "", name, values)]


def quantity_rows(run_id: str, level: int | None, stage: str, measure: str, values: Mapping[str, Any]) -> list[Row]:
    """Return the rows of a measure in long form, one a quantity; `level` is None for a measure over several stages.

    Yes and no are 1 and 0.
    """
    place = {"run_id": run_id, "level": level, "stage": stage, "measure": measure}
    numbers = {quantity: int(value) if isinstance(value, bool) else value for quantity, value in values.items()}
    return [{**place, "quantity": quantity, "value": value} for quantity, value in numbers.items()]


def further(level: Level) -> Row:
    """Return the numbers of a level's measures, and on the last level those of joint ones, as ``measure/quantity``."""
    found = [*level.measured.items(), *level.joint.items()]
    return {f"{name}/{quantity}": value for name, values in found for quantity, value in values.items()}


def history_rows(level: Level, run_id: str) -> list[Row]:
    """Return the rows of a level's training curve, one an evaluation."""
    return [{"run_id": run_id, "level": level.index, **row} for row in level.trained.history]


def layer_rows(level: Level) -> list[Row]:
    """Return the rows of a level's layers, in the network's order: how many of each one's prunable weights are kept."""
    return [
        {"level": level.index, "layer": name, "kept": kept, "total": total}
        for name, (kept, total) in level.trained.counts.items()
    ]


def merge_measures(folder: Path, new: Sequence[Row]) -> None:
    """Put rows into a run's measures.csv, in the place of those of the same measures; what others said stays."""
    path, names = folder / MEASURES, {row["measure"] for row in new}
    old = [row for row in read_rows(path, MEASURE) if row["measure"] not in names] if files.there(path) else []
    write_rows(path, [*old, *new], MEASURE)


def read_rows(path: Path, columns: Iterable[str] = ()) -> list[dict[str, str]]:
    """Return the rows of a CSV file as text. Raises Damaged naming a file that is truncated, or lacks one of `columns`."""
    header, lines = files.rows(path, "table")
    missing = [name for name in columns if name not in header]
    if missing or any(len(line) != len(header) for line in lines):
        raise Damaged(
            f"{path}: " + (f"its header lacks {', '.join(missing)}" if missing else "a line has not a field a column")
        )
    return [dict(zip(header, line, strict=True)) for line in lines]


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]], columns: Iterable[str] = ()) -> None:
    """Write rows as CSV in place of what was there: `columns` first, then whatever else the rows have, in order.

    None is an empty field; floats that are not finite are nan, inf and -inf.
    """
    names = list(dict.fromkeys([*columns, *(name for row in rows for name in row)]))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files.write(path, text.getvalue())


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write plain data as JSON in place of what was there."""
    files.write(path, json.dumps(value, indent=2, default=str, allow_nan=False) + "\n")
