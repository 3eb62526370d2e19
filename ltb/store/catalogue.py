"""The contents of a store: stages by metadata, their parents, what is damaged, what can be freed. Needs no torch."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ltb.core import files
from ltb.core.errors import Damaged
from ltb.records.schema import LEDGER
from ltb.store.stage_files import EARLY_STOP, OPTIMIZER, STAGE, TRAINED, check, read_metadata


@dataclass(frozen=True)
class Entry:
    """A finished stage: its folder and its metadata."""

    folder: Path
    metadata: dict[str, Any]

    @property
    def key(self) -> str:
        """The key, which is the folder's name."""
        return self.folder.name

    @property
    def values(self) -> dict[str, Any] | None:
        """The values of a measure; None for a network."""
        return self.metadata["result"].get("values")

    @property
    def parents(self) -> list[str]:
        """The keys of the stages that it grew from."""
        return self.metadata["parents"]

    @property
    def density(self) -> float:
        """Fraction of the prunable weights kept; 1 for a measure."""
        counts = self.metadata["result"].get("counts", {"": (1, 1)}).values()
        return sum(kept for kept, _ in counts) / sum(total for _, total in counts)

    @property
    def bytes(self) -> int:
        """The size of its files, whether a run's folder links to them or not."""
        return sum(path.stat().st_size for path in self.folder.iterdir())

    @property
    def age(self) -> float:
        """Days since it was written."""
        return (time.time() - (self.folder / STAGE).stat().st_mtime) / 86400


def entries(store: Path) -> list[Entry]:
    """Return all finished stages, oldest first. Raises Damaged for unreadable metadata, ValueError without a store."""
    return sorted((Entry(folder, read_metadata(folder)) for folder in folders(store)), key=lambda entry: -entry.age)


def measured(found: Iterable[Entry]) -> dict[str, str]:
    """Return, for each network's key, its test metric as text, the loss apart, where an evaluation of it is there."""
    told = {}
    for entry in found:
        names = [name for name in entry.values or {} if name.startswith("test/") and "at_early_stop" not in name]
        names = [name for name in names if name != "test/loss"] or names
        if names and entry.metadata["label"] == "evaluate":
            told[entry.parents[0]] = f"{names[0].removeprefix('test/')} {entry.values[names[0]]:.4f}"  # type: ignore[index]
    return told


def folders(store: Path) -> list[Path]:
    """Return the folders of stages. Raises ValueError where there is no store."""
    if not store.is_dir():
        raise ValueError(f"{store}: no such folder; a store is where store.dir says, runs/store by default")
    return sorted(path for path in store.iterdir() if path.is_dir() and not path.name.startswith("."))


def verify(store: Path) -> list[str]:
    """Hash everything again; yield one line for each file that is not what was written."""
    wrong = []
    for folder in folders(store):
        try:
            metadata = read_metadata(folder)
        except Damaged as error:
            wrong.append(str(error))
            continue
        for name in metadata["kept"]:
            try:
                check(folder, name, metadata["sha256"][name])
            except Damaged as error:
                wrong.append(str(error))
    return wrong


def referred(found: Iterable[Entry], runs: Path) -> set[str]:
    """Return the keys in the ledgers of runs below `runs`, those that they grew from, and those of measures on them."""
    by_key = {entry.key: entry for entry in found}
    wanted = set()
    for ledger in runs.rglob(LEDGER):
        with ledger.open(encoding="utf-8", newline="") as file:
            wanted |= {row["stage"] for row in csv.DictReader(file) if row.get("stage")}
    known: set[str] = set()
    while wanted:
        key = wanted.pop()
        if key in by_key and key not in known:
            known.add(key)
            wanted |= set(by_key[key].parents)
    return known | {key for key, entry in by_key.items() if entry.values is not None and set(entry.parents) <= known}


def leftovers(store: Path, hours: float = 24) -> list[Path]:
    """Return temporary folders and progress untouched for so many hours: what killed processes left."""
    found = [path for path in store.glob(".*") if path.name not in (".locks", ".progress")]
    found += list((store / ".progress").glob("*"))
    return [path for path in found if time.time() - path.stat().st_mtime > 3600 * hours]


def weights(entry: Entry) -> list[Path]:
    """Return the files of a network that are computed again on demand: its weights after training."""
    return [entry.folder / name for name in entry.metadata["kept"] if name in (TRAINED, EARLY_STOP, OPTIMIZER)]


def forget_weights(entry: Entry) -> None:
    """Remove a network's weights after training; the masks and the measurements stay."""
    forgotten = weights(entry)
    kept = [name for name in entry.metadata["kept"] if entry.folder / name not in forgotten]
    # First the metadata: a file too many is no damage.
    files.write(entry.folder / STAGE, json.dumps(entry.metadata | {"kept": kept}, indent=1))
    for path in forgotten:
        path.unlink(missing_ok=True)


def freed(paths: Iterable[Path]) -> int:
    """Return the bytes that removing these files frees: those that no run's folder links to as well."""
    return sum(path.stat().st_size for path in paths if path.is_file() and path.stat().st_nlink == 1)
