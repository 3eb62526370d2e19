"""The files of a run folder and the columns of its ledger with their types, for writers and readers.

Plain data: a reader needs neither torch nor anything that trains.
"""

from __future__ import annotations

import re
from pathlib import Path

# In a sweep's folder: {"jobs": how many it has in all, or null where that is unknown}; with "ended": true, no more will begin.
JOBS = "jobs.json"
SWEEP = (
    "sweep_runs"  # in a sweep's folder: a file a job with its run's folder, relative to the sweep's; see `records.jobs`
)
LEDGER, HISTORY, STATUS, CONFIG = "levels.csv", "history.csv", "status.json", "config.yaml"
IDENTITY = "identity.json"  # the settings that decide the run's numbers; see `records.identity`
LAYERS = "layers.csv"  # the weights that each layer keeps at each level: columns level, layer, kept, total
MEASURES = "measures.csv"  # the measures of finished levels, one number a line: columns MEASURE
STATES = ("running", "complete", "failed", "interrupted")

# Column → pandas dtype; a metric has the name that the module logs. A number that does not exist is an empty field: NaN in a
# float64, <NA> in an Int64 or boolean, "" in a str; int64 has none. One that is not finite is written as nan, inf or -inf.
COLUMNS = {
    "run_id": "str",
    "study": "str",
    "method": "str",
    "control": "str",
    "draw": "Int64",
    "task": "str",
    "model": "str",
    "data": "str",
    "seed": "int64",
    "level": "int64",
    "target_sparsity": "float64",
    "sparsity": "float64",
    "density": "float64",
    "remaining": "int64",
    "prunable": "int64",
    "parameters": "int64",
    "start_step": "int64",
    "end_step": "int64",
    "train/loss": "float64",
    "val/accuracy": "float64",
    "val/loss": "float64",
    "test/accuracy": "float64",
    "test/loss": "float64",
    "early_stop_step": "Int64",
    "early_stop_is_first": "boolean",
    "early_stop_is_last": "boolean",
    "test/accuracy_at_early_stop": "float64",
    "collapsed_layers": "str",
    "diverged": "boolean",
    "search_steps": "Int64",
    "step_flops": "float64",
    "seconds": "float64",
    "reused": "boolean",
    "stage": "str",
}
# Columns of measures.csv; a measure over several stages has no level.
MEASURE = {
    "run_id": "str",
    "level": "Int64",
    "stage": "str",
    "measure": "str",
    "quantity": "str",
    "value": "float64",
}
# Of a level, the columns that are a curve: its place, and what is measured, whose names are PLACE/QUANTITY. All others are the
# same at each level or keep the books, as untrained/… does, of the network that training begins from.
CURVES = ("sparsity", "density", "early_stop_step")
LATER = (
    "search_steps",
    "step_flops",
    "diverged",
    "early_stop_is_first",
    "draw",
)  # columns that ledgers from before them lack
MEASURED = (
    "train/",
    "val/",
    "test/",
    "untrained/",
)  # further columns that begin so are numbers (float64), all others text


def measured_file(label: str, level: int) -> Path:
    """Return where a run's folder has the tensors of the measure of that `label`, of one level: links to the store's.

    >>> measured_file("per_class(split=val)", 3).as_posix()
    'measured/per_class_split=val/level-03.safetensors'
    """
    return Path("measured", re.sub(r"[^\w.=+-]+", "_", label).strip("_"), f"level-{level:02d}.safetensors")


def is_curve(column: str) -> bool:
    """Return whether a column of a level's row, or a number of its measures, is drawn against sparsity.

    >>> [name for name in ("level", "density", "val/loss", "untrained/loss", "calibration/ece", "seconds") if is_curve(name)]
    ['density', 'val/loss', 'calibration/ece']
    """
    return column in CURVES or ("/" in column and not column.startswith("untrained/"))


def dtype(column: str) -> str:
    """Return the pandas dtype of a column of a ledger, of the schema or beyond it."""
    return COLUMNS.get(column, "float64" if column.startswith(MEASURED) else "str")
