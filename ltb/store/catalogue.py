"""What a store holds: its stages by their metadata, who grew from whom, what is damaged, and what can be freed. Needs no torch."""

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
from ltb.store.stage_files import STAGE, TRAINED, check, read_about


@dataclass(frozen=True)
class Entry:
    """A finished stage: its folder and its metadata."""

    folder: Path
    about: dict[str, Any]

    @property
    def key(self) -> str:
        """The key, which is the folder's name."""
        return self.folder.name

    @property
    def density(self) -> float:
        """Fraction of the prunable weights kept."""
        counts = self.about["counts"].values()
        return sum(kept for kept, _ in counts) / sum(total for _, total in counts)

    @property
    def kind(self) -> str:
        """``start``, ``dense``, ``sparse``, or the control's name."""
        return str(self.about["control"]) if self.about["control"] != "none" else str(self.about["kind"])

    @property
    def bytes(self) -> int:
        """What its files take, whether a run's folder links to them or not."""
        return sum(path.stat().st_size for path in self.folder.iterdir())

    @property
    def age(self) -> float:
        """Days since it was written."""
        return (time.time() - (self.folder / STAGE).stat().st_mtime) / 86400

    def measured(self) -> str:
        """Its test metric as text, the loss apart; "" for a start."""
        names = [name for name in self.about["metrics"] if name.startswith("test/") and "at_early_stop" not in name]
        names = [name for name in names if name != "test/loss"] or names
        return f"{names[0].removeprefix('test/')} {self.about['metrics'][names[0]]:.4f}" if names else ""


def entries(store: Path) -> list[Entry]:
    """All finished stages, oldest first. Raises Damaged for metadata that cannot be read, ValueError where there is no store."""
    return sorted((Entry(folder, read_about(folder)) for folder in folders(store)), key=lambda entry: -entry.age)


def folders(store: Path) -> list[Path]:
    """The folders of stages. Raises ValueError where there is no store."""
    if not store.is_dir():
        raise ValueError(f"{store}: no such folder; a store is where store.dir says, runs/store by default")
    return sorted(path for path in store.iterdir() if path.is_dir() and not path.name.startswith("."))


def verify(store: Path) -> list[str]:
    """Hash everything again; one line for each file that is not what was written."""
    wrong = []
    for folder in folders(store):
        try:
            about = read_about(folder)
        except Damaged as error:
            wrong.append(str(error))
            continue
        for name in about["kept"]:
            try:
                check(folder, name, about["sha256"][name])
            except Damaged as error:
                wrong.append(str(error))
    return wrong


def referred(found: Iterable[Entry], runs: Path) -> set[str]:
    """The keys that a run below `runs` refers to in its ledger, and the keys that those grew from."""
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
            wanted |= set(by_key[key].about["parents"].values())
    return known


def leftovers(store: Path, hours: float = 24) -> list[Path]:
    """Temporary folders and progress that nobody has touched for so many hours: what a kill left."""
    found = [path for path in store.glob(".*") if path.name not in (".locks", ".progress")]
    found += list((store / ".progress").glob("*"))
    return [path for path in found if time.time() - path.stat().st_mtime > 3600 * hours]


def forget_weights(entry: Entry) -> None:
    """Remove a stage's trained weights; the masks and the measurements stay, and the weights are computed again on demand."""
    about = entry.about | {"kept": [name for name in entry.about["kept"] if name != TRAINED]}
    files.write(entry.folder / STAGE, json.dumps(about, indent=1))  # first the metadata: a file too many is no damage
    (entry.folder / TRAINED).unlink(missing_ok=True)


def freed(paths: Iterable[Path]) -> int:
    """The bytes that come free with these files: those that no run's folder links to as well."""
    return sum(path.stat().st_size for path in paths if path.is_file() and path.stat().st_nlink == 1)
