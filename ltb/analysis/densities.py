"""The density of each ticket layer by layer, from the file in which a run keeps it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ltb.analysis import statistics
from ltb.common import files
from ltb.common.errors import Damaged
from ltb.records.schema import LAYERS

FIELDS = ["level", "layer", "kept", "total"]
COLUMNS = [*statistics.CURVE, "curve", "seed", "level", "density", "layer", "kept", "total", "layer_density"]


def read(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row per run, level and layer, for the runs of `rows` (from `ledger.read`) that recorded their layers.

    Columns: task, method, control, variant, curve, seed, level, density (of the whole network), layer (the name of its
    weights; in the network's order), kept, total (weights), layer_density (kept / total). A run from before layers were
    recorded, or whose folder is elsewhere, has no rows. `Damaged` names a file that is truncated, or whose counts are
    not those of the ledger beside it.
    """
    levels = statistics.named(statistics.distinct(rows))
    parts = []
    for folder, its in levels.groupby("folder", sort=False):
        path = Path(str(folder)) / LAYERS
        if folder and files.there(path):
            layers = table(path)
            _check(path, its, layers)
            parts.append(its.merge(layers, on="level"))
    if not parts:
        return pd.DataFrame(columns=COLUMNS)
    found = pd.concat(parts, ignore_index=True)
    return found.assign(layer_density=found["kept"] / found["total"])[COLUMNS]


def table(path: Path) -> pd.DataFrame:
    """Return one run's file as it is: level, layer, kept, total. `Damaged` names it and the line."""
    header, lines = files.rows(path, "table of layers")
    if header != FIELDS:
        raise Damaged(f"{path}: its header is not {','.join(FIELDS)}")
    found = []
    for number, line in enumerate(lines, start=2):
        try:
            level, layer, kept, total = line
            found.append((int(level), layer, int(kept), int(total)))
        except ValueError:
            raise Damaged(f"{path}: line {number} is not a level, a layer and two counts") from None
        if not 0 <= found[-1][2] <= found[-1][3] or found[-1][3] == 0:
            raise Damaged(f"{path}: line {number} keeps {kept} of {total} weights")
    layers = pd.DataFrame(found, columns=FIELDS)
    if layers.duplicated(["level", "layer"]).any():
        raise Damaged(f"{path}: holds a layer twice")
    return layers


def _check(path: Path, levels: pd.DataFrame, layers: pd.DataFrame) -> None:
    """Raise Damaged unless each level's layers add up to what the ledger has. A run that goes on may lack levels."""
    sums = layers.groupby("level")[["kept", "total"]].sum().reindex(levels["level"])
    written = sums["kept"].notna().to_numpy()
    wrong = (sums["kept"].to_numpy() != levels["remaining"]) | (sums["total"].to_numpy() != levels["prunable"])
    wrong &= written | (levels["state"] == "complete").to_numpy()
    if wrong.any():
        level = levels.loc[wrong, "level"].iloc[0]
        raise Damaged(
            f"{path}: the layers of level {level} are not all there: they do not add up to the ledger's counts"
        )
