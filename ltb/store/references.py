"""The runs of a store, and the stages that they need: what may not be freed. Needs no torch.

    <store>/.runs/<run>-<digest of its path>.json   a run that was begun: its folder, the keys of its stages, a digest

A run registers before it trains, so what it needs is known before its ledger is there and however that ends. What is not known
is kept: a registration that cannot be read, a folder that is not where it was, a stage of a run that nobody has heard of.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ltb.common import files
from ltb.common.errors import Damaged
from ltb.records.schema import LEDGER, STATUS
from ltb.store.stage_files import digest_of

RUNS = ".runs"  # in a store's folder


@dataclass(frozen=True)
class Registered:
    """A run that was begun: where its folder was then, and the keys of the stages that it comes to, with their parents."""

    folder: Path
    stages: frozenset[str]

    @property
    def removed(self) -> bool:
        """Whether the folder was removed, or moved. False as well where what it was in is not there or empty: a disk may not be
        mounted."""
        above = self.folder.parent
        return not files.there(self.folder) and above.is_dir() and any(above.iterdir())

    @property
    def lost(self) -> bool:
        """Return whether the folder is not where it was, and nobody can tell why."""
        return not files.there(self.folder) and not self.removed

    @property
    def running(self) -> bool:
        """Return whether the run has not said that it ended."""
        if not files.there(self.folder / STATUS):
            return not self.removed
        try:
            return files.plain(self.folder / STATUS, "run's status").get("state") == "running"
        except Damaged:
            return True


@dataclass(frozen=True)
class References:
    """The needs of a store's runs.

    needed: keys of stages.
    known:  the names of all runs, also of those that are gone.
    lost:   the folders of runs that are not where they were.
    gone:   those of runs that were removed, or moved to where nobody looked.
    """

    needed: frozenset[str]
    known: frozenset[str]
    lost: tuple[Path, ...]
    gone: tuple[Path, ...]


def register(store: Path, run: Path, stages: Iterable[str]) -> None:
    """Note in the store that the run in the folder `run` needs `stages`, by their keys."""
    content = {"run": os.path.abspath(run), "stages": sorted(stages)}
    (store / RUNS).mkdir(parents=True, exist_ok=True)
    name = f"{run.name}-{hashlib.sha256(str(content['run']).encode()).hexdigest()[:8]}.json"
    files.write(store / RUNS / name, json.dumps({**content, "digest": digest_of(content)}))


def registered(store: Path) -> list[Registered]:
    """Return the runs that were begun. Raises Damaged naming a registration that is not what was written."""
    found = []
    for path in sorted((store / RUNS).glob("[!.]*")):
        told = files.plain(path, "run's registration")
        content = {name: told.get(name) for name in ("run", "stages")}
        if told != {**content, "digest": digest_of(content)}:
            raise Damaged(f"{path} is damaged: its digest is not the one that was recorded when it was written")
        found.append(Registered(Path(told["run"]), frozenset(told["stages"])))
    return found


def running(store: Path) -> set[str]:
    """Return the keys of what registered runs that go on need."""
    return {key for one in registered(store) if one.running for key in one.stages}


def references(store: Path, runs: Path, *, removed: bool = False) -> References:
    """Return what the registered runs need, and those below `runs` that are not registered, by their ledgers.

    removed: whether runs that are `gone` need nothing; a run that lies below `runs` under its name was moved, and is not.

    Raises ValueError where that cannot be known: a damaged registration or ledger, or no run at all.
    """
    begun = registered(store)
    there = {os.path.abspath(one.folder) for one in begun}
    moved = {path.parent.name for path in runs.rglob(STATUS)}
    gone = {one: one.folder for one in begun if one.removed and one.folder.name not in moved}
    needed = {key for one in begun if not (removed and one in gone) for key in one.stages}
    known = {one.folder.name for one in begun}
    ledgers = sorted(runs.rglob(LEDGER))
    for path in ledgers:
        try:
            rows = _stages(path)
        except Damaged as error:
            if os.path.abspath(path.parent) in there:
                continue  # what it needs is registered
            raise Damaged(f"{error}; which stages it needs is not known, and nothing is freed") from None
        needed |= {stage for _, stage in rows}
        known |= {run for run, _ in rows}
    if not begun and not ledgers:
        raise ValueError(
            f"{store}: no run of it is known below {runs}; --runs says where they are, and nothing is freed"
        )
    lost = tuple(one.folder for one in begun if one.lost)
    return References(frozenset(needed), frozenset(known), lost, tuple(gone.values()))


def ledger_stages(path: Path) -> list[str]:
    """Return the keys of the stages in a ledger. Raises Damaged naming one that is not whole, or without any."""
    return [stage for _, stage in _stages(path)]


def _stages(path: Path) -> list[tuple[str, str]]:
    """The run and the stage of each row."""
    header, lines = files.rows(path, "ledger")
    if not {"run_id", "stage"} <= set(header):
        raise Damaged(f"{path}: its header lacks run_id or stage")
    places = header.index("run_id"), header.index("stage")
    if not lines or any(len(line) != len(header) or not line[places[1]] for line in lines):
        raise Damaged(f"{path}: it has no stage for each level")
    return [(line[places[0]], line[places[1]]) for line in lines]
