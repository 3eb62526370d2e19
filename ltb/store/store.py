"""The stage store: every finished stage in a folder named by its key, written whole or not at all.

    <store>/<key>/      ticket.safetensors   masks and the point that the fit began from
                        trained.safetensors  the point that it ended at
                        stage.json           metrics, history, counts, and the SHA-256 of the two; written last
    <store>/.locks/     one lock a key, so that two processes that want one stage train it once
    <store>/.progress/  how far a stage has come that is being trained

A stage is written into a temporary folder, flushed to the disk and renamed. What does not match its hash is named, never used
and never deleted. `keep` says what is written: ``all``, ``tickets`` (no trained weights) or ``ledger`` (no tensors at all);
what is not there and is asked for is computed again, and must come out with the hash that was recorded.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from filelock import FileLock

from ltb.core.errors import Damaged
from ltb.core.files import flush
from ltb.core.levels import Compute, Result, Trained
from ltb.core.stages import Sparse, Stage
from ltb.store.checkpoint import CheckpointFile
from ltb.store.keys import Keys
from ltb.store.stage_files import STAGE, TICKET, TRAINED, VERSION, check, read_about, sha256
from ltb.store.stored import Stored
from ltb.store.ticket import Ticket, save_point

KEPT = {"all": (TICKET, TRAINED), "tickets": (TICKET,), "ledger": ()}
RECENT = 3  # sparse stages held in memory: a level, its source, and one to spare


class Store:
    """A memory on disk. `keys` names the stages of one training; many runs share one folder.

    `provenance` is noted with each stage: what it is a stage of; and `run_id` as the run that computed it.
    Progress inside a stage is written at the first evaluation after `checkpoint_every` seconds.
    Raises ValueError for an unknown `keep`, and, once something is to be written, when the folder cannot be.
    """

    def __init__(
        self,
        folder: str | Path,
        keys: Keys,
        provenance: dict[str, Any] | None = None,
        *,
        run_id: str = "",
        keep: str = "all",
        checkpoint_every: float = 60,
    ) -> None:
        if keep not in KEPT:
            raise ValueError(f"store.keep={keep!r}: one of {', '.join(KEPT)}")
        if isinstance(checkpoint_every, bool) or not isinstance(checkpoint_every, int | float) or checkpoint_every < 0:
            raise ValueError(f"store.checkpoint_every={checkpoint_every!r}: seconds, 0 or more")
        self.folder, self.keys = Path(folder), keys
        self._provenance, self._run_id, self._keep = provenance or {}, run_id, keep
        self._checkpoint_every = checkpoint_every
        self._recent: dict[str, Result] = {}
        self._kinds: dict[str, type] = {}
        self.computing: list[Stage] = []  # the stage that is being computed, last, behind those that wait for it

    def path(self, stage: Stage) -> Path:
        """The folder of a stage, whether it is there or not."""
        return self.folder / self.keys(stage)

    def has(self, stage: Stage) -> bool:
        """Whether the stage is finished: its metadata, which is written last, is there."""
        return (self.path(stage) / STAGE).exists()

    def about(self, stage: Stage) -> dict[str, Any]:
        """The metadata of a finished stage."""
        return read_about(self.path(stage))

    def once(self, stage: Stage, compute: Compute) -> Result:
        """The stage as it was stored, or computed now, by one process at a time, and stored."""
        key = self.keys(stage)
        if key not in self._recent:
            # The loop asks for a level's source and start; to read and check them again for each level would be waste.
            found = self._found(stage, compute)
            # The dense stages of a run stay: what grows from them asks again and again.
            sparse = [old for old, kind in self._kinds.items() if kind is Sparse and old in self._recent]
            for old in sparse[: max(0, len(sparse) - RECENT + 1)]:
                del self._recent[old]
            self._recent[key], self._kinds[key] = found, type(stage)
        return self._recent[key]

    def _found(self, stage: Stage, compute: Compute) -> Result:
        if not self.has(stage):
            with self._lock(stage):
                if not self.has(stage):
                    trained = self._computed(stage, compute)
                    self._commit(stage, trained)
                    self._progress(stage).remove()
                    return trained
        return Stored(self.path(stage), lambda: self._again(stage, compute))

    def _again(self, stage: Stage, compute: Compute) -> Trained:
        """The stage computed once more, because what was asked for was not kept; the same, or an error."""
        with self._lock(stage):
            trained = self._computed(stage, compute)
        with tempfile.TemporaryDirectory(prefix=".again-", dir=self.folder) as folder:
            for name, content in self._write(stage, trained, Path(folder)).items():
                if content != self.about(stage)["sha256"][name]:
                    raise Damaged(
                        f"{self.path(stage) / name} was not kept, and computing it again gave other bytes than were recorded; "
                        "was it made by another version of torch, or on another machine?"
                    )
        self._progress(stage).remove()
        return trained

    def _computed(self, stage: Stage, compute: Compute) -> Trained:
        self.computing.append(stage)
        try:
            return compute(self._progress(stage))
        finally:
            self.computing.pop()

    def _lock(self, stage: Stage) -> FileLock:
        try:
            (self.folder / ".locks").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"store.dir={self.folder}: {error.strerror or error}") from None
        return FileLock(self.folder / ".locks" / f"{self.keys(stage)}.lock")

    def _progress(self, stage: Stage) -> CheckpointFile:
        path = self.folder / ".progress" / f"{self.keys(stage)}.safetensors"
        return CheckpointFile(path, self._checkpoint_every)

    def link(self, stage: Stage, name: str, target: Path) -> None:
        """Put a file of a finished stage at `target`: a hard link where the file system has them, else a copy.

        Nothing happens where the file was not kept. Raises Damaged naming a file that is not what was written.
        """
        about = self.about(stage)
        if name not in about["kept"]:
            return
        source = check(self.path(stage), name, about["sha256"][name])
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}-{os.getpid()}")
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
        os.replace(temporary, target)
        temporary.unlink(missing_ok=True)  # rename leaves both names where they are links to one file

    def _commit(self, stage: Stage, trained: Trained) -> None:
        folder = self.path(stage)
        if folder.exists():
            raise Damaged(f"{folder} is there without its {STAGE}: move it away, and the stage is computed again")
        prefix = f".{self.keys(stage)}-"
        for left in self.folder.glob(f"{prefix}*"):  # by a process that was killed: this one has the lock
            shutil.rmtree(left, ignore_errors=True)
        temporary = Path(tempfile.mkdtemp(prefix=prefix, dir=self.folder))
        try:
            hashes = self._write(stage, trained, temporary)
            for name in hashes.keys() - set(KEPT[self._keep]):
                (temporary / name).unlink()
            text = json.dumps(self._content(stage, trained, hashes), indent=1)
            (temporary / STAGE).write_text(text, encoding="utf-8")
            for path in (*temporary.iterdir(), temporary):
                flush(path)
            os.rename(temporary, folder)
            flush(self.folder)
        except OSError as error:
            raise OSError(error.errno, error.strerror, error.filename or str(folder)) from None
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _write(self, stage: Stage, trained: Trained, folder: Path) -> dict[str, str]:
        """Write both files of tensors; their SHA-256."""
        # No names in them: which of two runs is first, and what it calls its settings, must not show in the bytes.
        ticket = Ticket(trained.masks, trained.origin, {"stage": self.keys(stage)})
        ticket.save(folder / TICKET)
        save_point(trained.point, folder / TRAINED, optimizer=stage.optimizer)
        return {name: sha256(folder / name) for name in (TICKET, TRAINED)}

    def _content(self, stage: Stage, trained: Trained, hashes: dict[str, str]) -> dict[str, Any]:
        parents = [stage.source, stage.start] if isinstance(stage, Sparse) else []
        return {
            "version": VERSION,
            "key": self.keys(stage),
            "kind": type(stage).__name__.lower(),
            "parents": {name: self.keys(parent) for name, parent in zip(("source", "start"), parents, strict=False)},
            "target": stage.target if isinstance(stage, Sparse) else 0.0,
            "control": stage.control.name if isinstance(stage, Sparse) and stage.control else "none",
            "provenance": self._provenance,
            "run_id": self._run_id,
            "kept": list(KEPT[self._keep]),
            "sha256": hashes,
            "start": trained.start,
            "stop": trained.stop,
            "counts": trained.counts,
            "metrics": dict(trained.metrics),
            "history": [dict(row) for row in trained.history],
            "seconds": trained.seconds,
        }
