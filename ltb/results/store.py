"""The stage store: every finished stage in a folder named by its key, written whole or not at all.

    <store>/<key>/   ticket.safetensors   masks and the point that the fit began from
                     trained.safetensors  the point that it ended at
                     stage.json           metrics, history, and the SHA-256 of the two files; written last
    <store>/.locks/  one lock a key, so that two processes that want one stage train it once

A stage is written into a temporary folder, flushed to the disk and renamed. What does not match its hash is named, never used and
never deleted.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

from ltb.core.errors import Damaged
from ltb.core.levels import Sparse, Stage, Trained
from ltb.results.keys import VERSION, Keys
from ltb.results.ticket import Ticket, load_point, save_point

TICKET, TRAINED, STAGE = "ticket.safetensors", "trained.safetensors", "stage.json"


class Store:
    """A memory on disk. `keys` names the stages of one training; many runs share one folder.

    `provenance` (with the run_id) is written into each stage that this process computes.
    Raises ValueError when the folder cannot be written.
    """

    def __init__(self, folder: str | Path, keys: Keys, provenance: dict[str, Any] | None = None) -> None:
        self.folder, self.keys = Path(folder), keys
        self._provenance = provenance or {}
        self._recent: dict[str, Trained] = {}
        self.computing: list[Stage] = []  # the stage that is being computed, last, behind those that wait for it
        try:
            (self.folder / ".locks").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"store.dir={folder}: {error.strerror or error}") from None

    def path(self, stage: Stage) -> Path:
        """The folder of a stage, whether it is there or not."""
        return self.folder / self.keys(stage)

    def has(self, stage: Stage) -> bool:
        """Whether the stage is finished: its metadata, which is written last, is there."""
        return (self.path(stage) / STAGE).exists()

    def once(self, stage: Stage, compute: Callable[[], Trained]) -> Trained:
        """The stage as it was stored, or computed now, by one process at a time, and stored."""
        key = self.keys(stage)
        if key in self._recent:
            return self._recent[key]
        if not self.has(stage):
            with FileLock(self.folder / ".locks" / f"{key}.lock"):
                if not self.has(stage):
                    self.computing.append(stage)
                    try:
                        self._commit(stage, compute())
                    finally:
                        self.computing.pop()
        trained = self.load(stage)
        # The loop asks for a level's source and start; to read and check them again for each level would be waste.
        while len(self._recent) > 3:
            self._recent.pop(next(iter(self._recent)))
        self._recent[key] = trained
        return trained

    def made_by(self, stage: Stage) -> str | None:
        """The run_id of the run that computed a finished stage."""
        made: str | None = self._about(self.path(stage))["provenance"].get("run_id")
        return made

    def link(self, stage: Stage, name: str, target: Path) -> None:
        """Put a file of a finished stage at `target`: a hard link where the file system has them, else a copy."""
        temporary = target.with_name(f".{target.name}-{os.getpid()}")
        try:
            os.link(self.path(stage) / name, temporary)
        except OSError:
            shutil.copyfile(self.path(stage) / name, temporary)
        os.replace(temporary, target)
        temporary.unlink(missing_ok=True)  # rename leaves both names where they are links to one file

    def load(self, stage: Stage) -> Trained:
        """A finished stage. Raises Damaged naming the file that is not what was written."""
        folder = self.path(stage)
        about = self._about(folder)
        for name, expected in about["sha256"].items():
            if not (folder / name).exists():
                raise Damaged(f"{folder / name} is missing")
            if _sha256(folder / name) != expected:
                raise Damaged(
                    f"{folder / name} is damaged: its SHA-256 is not the one that was recorded when it was written"
                )
        ticket = Ticket.load(folder / TICKET)
        point = load_point(folder / TRAINED)
        return Trained(ticket.masks, ticket.origin, point, about["metrics"], about["history"], about["seconds"])

    def _about(self, folder: Path) -> dict[str, Any]:
        try:
            about: dict[str, Any] = json.loads((folder / STAGE).read_text())
            version = about["version"]
        except (ValueError, KeyError, TypeError, UnicodeDecodeError):
            raise Damaged(f"{folder / STAGE} is damaged") from None
        if version != VERSION:
            raise Damaged(f"{folder / STAGE} has version {version}; this version of ltb reads version {VERSION}")
        return about

    def _commit(self, stage: Stage, trained: Trained) -> None:
        folder = self.path(stage)
        if folder.exists():
            raise Damaged(f"{folder} is there without its {STAGE}: move it away, and the stage is computed again")
        key = self.keys(stage)
        temporary = Path(tempfile.mkdtemp(prefix=f".{key}-", dir=self.folder))
        try:
            parents = (
                {"source": self.keys(stage.source), "start": self.keys(stage.start)}
                if isinstance(stage, Sparse)
                else {}
            )
            Ticket(trained.masks, trained.origin, self._provenance | {"stage": key}).save(temporary / TICKET)
            save_point(trained.point, temporary / TRAINED, optimizer=stage.optimizer)
            about = {
                "version": VERSION,
                "key": key,
                "kind": type(stage).__name__.lower(),
                "parents": parents,
                "provenance": self._provenance,
                "sha256": {name: _sha256(temporary / name) for name in (TICKET, TRAINED)},
                "metrics": dict(trained.metrics),
                "history": [dict(row) for row in trained.history],
                "seconds": trained.seconds,
            }
            (temporary / STAGE).write_text(json.dumps(about, indent=1))
            for name in (TICKET, TRAINED, STAGE):
                _flush(temporary / name)
            _flush(temporary)
            os.rename(temporary, folder)
            _flush(self.folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    """Make sure that a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
