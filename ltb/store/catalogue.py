"""The contents of a store: stages by metadata, their parents, what is damaged, what can be freed. Needs no torch."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ltb.common import files
from ltb.common.errors import Damaged
from ltb.store.references import RUNS
from ltb.store.stage_files import (
    EARLY_STOP,
    OPTIMIZER,
    STAGE,
    STORE_VERSION,
    TRAINED,
    check,
    check_parents,
    read_metadata,
    text,
)

KEPT_ASIDE = (".locks", ".progress", RUNS, STORE_VERSION)  # of the store itself
KEY = re.compile("[0-9a-f]{20}")


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
        return list(self.metadata["parents"])

    @property
    def density(self) -> float:
        """Fraction of the prunable weights kept; 1 for a measure."""
        counts = self.metadata["result"].get("counts", {"": (1, 1)}).values()
        return sum(kept for kept, _ in counts) / sum(total for _, total in counts)

    @property
    def bytes(self) -> int:
        """The size of its files, whether a run's folder links to them or not."""
        return sum(path.lstat().st_size for path in self.folder.iterdir())

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
        values = {name: value for name, value in (entry.values or {}).items() if value is not None}
        names = [name for name in values if name.startswith("test/") and "at_early_stop" not in name]
        names = [name for name in names if name != "test/loss"] or names
        if names and entry.parents and entry.metadata["label"] == "evaluate":
            told[entry.parents[0]] = f"{names[0].removeprefix('test/')} {values[names[0]]:.4f}"
    return told


def folders(store: Path) -> list[Path]:
    """Return the folders of stages. Raises ValueError where there is no store."""
    if not store.is_dir():
        raise ValueError(f"{store}: no such folder; a store is where store.dir says, runs/store by default")
    return sorted(path for path in store.iterdir() if path.is_dir() and not path.name.startswith("."))


def verify(store: Path) -> list[str]:
    """Hash everything again; return a line for each file that is not what was written, and for each stage of other parents."""
    wrong = [
        f"{path} is damaged: it is not a folder"
        for path in sorted(store.iterdir())
        if KEY.fullmatch(path.name) and not path.is_dir()
    ]
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
        try:
            check_parents(folder, metadata)
        except Damaged as error:
            wrong += (
                [str(error)] if str(error).startswith(str(folder)) else []
            )  # the parent's own damage has its own line
    return wrong


def closure(found: Iterable[Entry], wanted: Iterable[str]) -> set[str]:
    """Return the keys of what is stored of `wanted`, of what that grew from, and of the measures on it."""
    by_key = {entry.key: entry for entry in found}
    waiting, known = set(wanted), set[str]()
    while waiting:
        key = waiting.pop()
        if key in by_key and key not in known:
            known.add(key)
            waiting |= set(by_key[key].parents)
    # A measure of the initialisation, which is not kept, has no parents here: it belongs to its training.
    trainings = {by_key[key].metadata["training"] for key in known}
    return known | {
        key
        for key, entry in by_key.items()
        if entry.values is not None
        and (set(entry.parents) <= known if entry.parents else entry.metadata["training"] in trainings)
    }


def leftovers(store: Path, hours: float = 24) -> list[Path]:
    """Return temporary folders and progress untouched for so many hours: what killed processes left."""
    found = [path for path in store.glob(".*") if path.name not in KEPT_ASIDE]
    found += list((store / ".progress").glob("*"))
    return [path for path in found if time.time() - path.lstat().st_mtime > 3600 * hours]


def weights(entry: Entry) -> list[Path]:
    """Return the files of a network that are computed again on demand: its weights after training."""
    return [entry.folder / name for name in entry.metadata["kept"] if name in (TRAINED, EARLY_STOP, OPTIMIZER)]


def forget_weights(entry: Entry) -> None:
    """Remove a network's weights after training; the masks and the measurements stay."""
    forgotten = weights(entry)
    kept = [name for name in entry.metadata["kept"] if entry.folder / name not in forgotten]
    # First the metadata: a file too many is no damage.
    files.write(entry.folder / STAGE, text(entry.metadata | {"kept": kept}))
    for path in forgotten:
        path.unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Remove a file or a folder; a stage's folder is renamed first, so that nobody finds half of one."""
    if not path.is_dir() or path.is_symlink():
        path.unlink()
        return
    gone = path.with_name(f".gone-{path.name}") if not path.name.startswith(".") else path
    path.rename(gone)
    shutil.rmtree(gone)


def freed(paths: Iterable[Path]) -> int:
    """Return the bytes that removing these files frees: those that no run's folder links to as well."""
    return sum(path.stat().st_size for path in paths if path.is_file() and path.stat().st_nlink == 1)
