"""Which runs are one curve, and which curves may be compared: those of one task, as what decides their numbers tells."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import pandas as pd

from ltb.common import files
from ltb.common.errors import Damaged
from ltb.records import identity, variants
from ltb.records.schema import CONFIG, IDENTITY


def tasks(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with a task for each data set and network: what was exchanged under one name is not compared.

    Nor is what was trained before and after its data were changed.
    """
    several = rows.groupby("task")[["data", "model"]].transform("nunique").gt(1).any(axis=1)
    named = rows["task"] + " (" + rows["data"] + ", " + rows["model"] + ")"
    rows = rows.assign(task=rows["task"].where(~several, named).astype("str"))
    version = rows["folder"].map(_versions(rows))
    return rows.assign(task=rows["task"].where(version.isna(), rows["task"] + " (data " + version + ")").astype("str"))


def _versions(rows: pd.DataFrame) -> dict[str, str]:
    """Return by folder what its data are called where a task has several of which no setting tells, with a warning that says so."""
    control = rows.groupby("folder")["control"].last()
    named = rows.drop_duplicates("folder").set_index("folder")
    found: dict[str, str] = {}
    for task, its in named.groupby("task", sort=False):
        if len(its) < 2:
            continue
        known = _identities(its.index)
        groups = its.groupby([its["method"], control.reindex(its.index)], sort=False)
        of_curves = [{name: known[name] for name in group.index if name in known} for _, group in groups]
        keys = {key for one in of_curves for key in variants.of_each_seed(one)}
        own = {name for one in of_curves if keys and _of_seeds(one, keys) for name in one}
        others = {name: one for name, one in known.items() if name not in own}
        told = variants.changed_beneath(others)
        if told:
            warnings.warn(
                f"{task}: its data changed between runs of equal settings; each version is by itself", stacklevel=2
            )
        if own and others:
            told |= dict.fromkeys(own, "of each seed")
            warnings.warn(f"{task}: some runs have data of their seed's own; they are by themselves", stacklevel=2)
        if variants.changed_beneath({name: known[name] for name in own}):
            warnings.warn(f"{task}: the data of one seed changed between runs, and are pooled", stacklevel=2)
        found |= told
    return found


def _of_seeds(runs: Mapping[str, Mapping[str, object]], keys: Collection[str]) -> bool:
    """Return whether these settings are each run's own seed: of one seed alone it cannot be told, and is what others' are."""
    return all(one.get(key) == one.get("seed") for one in runs.values() for key in keys)


def variants_of(rows: pd.DataFrame) -> pd.Series:
    """Return the variant of each row: runs are compared with those of the same task, method and control."""
    labels: dict[str, str] = {}
    control = rows.groupby("folder")["control"].last()  # a control's run opens with the dense level, control "none"
    named = rows.drop_duplicates("folder").set_index("folder")
    for _, group in named.groupby([named["task"], named["method"], control.reindex(named.index)], sort=False):
        known = decisive(group.index)
        labels |= dict(zip(known, variants.label(list(known.values())), strict=True))
    return rows["folder"].map(lambda folder: labels.get(folder, "")).astype("str")


def decisive(folders: Iterable[str]) -> dict[str, dict[str, object]]:
    """Return by folder the settings that decide a run's numbers, without the seed, dotted; no entry if it keeps no settings."""
    told = variants.without_own_data(_identities(folders))
    return {
        folder: {k: v for k, v in found.items() if k not in ("seed", variants.DRAW)} for folder, found in told.items()
    }


def _identities(folders: Iterable[str]) -> dict[str, dict[str, object]]:
    """Return by folder the settings that decide a run's numbers, dotted.

    Raises `Damaged` for a run whose configuration is there and its identity not: what of it decides is not to be guessed.
    """
    identities = {}
    for folder in folders:
        if (found := identity.read(Path(folder))) is not None:
            identities[folder] = found
        elif files.there(Path(folder) / CONFIG):
            raise Damaged(
                f"{Path(folder) / IDENTITY} is missing, so what tells its run from others is not known; run it again"
            )
    return identities
