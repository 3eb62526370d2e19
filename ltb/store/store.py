"""The stage store: every finished stage in a folder named by its key, written whole or not at all.

    <store>/<key>/      ticket.safetensors     masks and the point that the fit began from
                        trained.safetensors    the point that it ended at
                        early_stop.safetensors the point at the early-stop step, where that is another one
                        optimizer.safetensors  the optimizer's state at the end, for stages that others go on from
                        measured.safetensors   the tensors of a measure
                        stage.json             what it is, what it grew from, history or values, hashes, and a digest of all
                                               this; written last
    <store>/.locks/     one lock a key, so that two processes that want one stage compute it once
    <store>/.progress/  the progress of stages that are being trained
    <store>/.runs/      the runs that were begun, with the keys of their stages; see `ltb.store.references`
    <store>/.version    the version of keys and metadata; a store of another one is refused

A stage is written into a temporary folder, flushed to the disk and renamed. What does not match its hash, or grew from another
parent than the one that is there, is named, never used and never deleted. `keep` says what is written: ``all``, ``tickets`` (no
trained weights) or ``ledger`` (no tensors at all); what is not there and is asked for is computed again, and must have the hash
that was recorded.
"""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from ltb.common import files
from ltb.common.errors import Damaged, NotKept
from ltb.common.files import flush
from ltb.core.cache import Cache
from ltb.core.stage import Stage
from ltb.store import references, stored
from ltb.store.checkpoint import CheckpointFile
from ltb.store.keys import Keys
from ltb.store.stage_files import (
    EARLY_STOP,
    MEASURED,
    OPTIMIZER,
    STAGE,
    TICKET,
    TRAINED,
    VERSION,
    check,
    check_parents,
    claim_version,
    grown_from,
    read_metadata,
    sealed,
    sha256,
    text,
)

KEPT = {"all": (TICKET, TRAINED, EARLY_STOP, MEASURED), "tickets": (TICKET,), "ledger": ()}


class Store:
    """A memory on disk. `keys` names the stages of one training; many runs share one folder.

    provenance: what a stage belongs to (task, model, data, seed), and `run_id`, the run that computed it.
    made:       how it is computed: commit, versions, machine, data.
    optimizer:  whether the optimizer's state at the end of each stage is kept, for a rewind that goes on with it.
    Progress inside a stage is written at the first evaluation after `checkpoint_every` seconds.
    Raises ValueError for an unknown `keep`, and, once something is to be written, when the folder cannot be.
    """

    def __init__(
        self,
        folder: str | Path,
        keys: Keys,
        provenance: Mapping[str, Any] | None = None,
        *,
        made: Mapping[str, Any] | None = None,
        run_id: str = "",
        keep: str = "all",
        optimizer: bool = False,
        checkpoint_every: float = 60,
    ) -> None:
        if keep not in KEPT:
            raise ValueError(f"store.keep={keep!r}: one of {', '.join(KEPT)}")
        if isinstance(checkpoint_every, bool) or not isinstance(checkpoint_every, int | float) or checkpoint_every < 0:
            raise ValueError(f"store.checkpoint_every={checkpoint_every!r}: seconds, 0 or more")
        self.folder, self.keys = Path(folder), keys
        self._provenance, self._made, self._run_id = dict(provenance or {}), dict(made or {}), run_id
        self._keep, self._optimizer, self._checkpoint_every = keep, optimizer, checkpoint_every
        self._cache: Cache[str] = Cache()

    def path(self, stage: Stage) -> Path:
        """Return the folder of a stage, whether it exists or not."""
        return self.folder / self.keys(stage)

    def has(self, stage: Stage) -> bool:
        """Return whether the stage is finished: its metadata, which is written last, is there."""
        return files.there(self.path(stage) / STAGE)

    def metadata(self, stage: Stage) -> dict[str, Any]:
        """Return the metadata of a finished stage."""
        return read_metadata(self.path(stage))

    def stop(self, stage: Stage) -> int | None:
        """Return the iteration that a finished network ended at; None where it is not finished."""
        return self.metadata(stage)["result"].get("stop") if self.has(stage) else None

    def get(self, stage: Stage, again: Callable[[], Any]) -> Any | None:
        """Return the stage as it was stored; None where it is not."""
        key = self.keys(stage)
        found = self._cache.get(key)
        if found is None and self.has(stage):
            metadata = self.metadata(stage)
            check_parents(self.path(stage), metadata)
            found = stored.read(self.path(stage), metadata, lambda: self._again(stage, again))
            self._remember(stage, found)
        return found

    def _remember(self, stage: Stage, result: Any) -> None:
        if stage.trains:  # what a measure says is as quick to read
            self._cache.put(self.keys(stage), stage, result)

    def _again(self, stage: Stage, again: Callable[[], Any]) -> Any:
        try:
            return self._checked(stage, again())
        except NotKept as error:
            raise NotKept(f"{self.path(stage)}: {error}") from None

    @contextmanager
    def claim(self, stage: Stage) -> Iterator[CheckpointFile]:
        """Hold the stage's lock, so that one process at a time computes it; yield the file for its progress.

        Raises Damaged where its folder is there without metadata: nothing could be put in its place.
        """
        path = self.folder / ".locks" / f"{self.keys(stage)}.lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path, mode=path.parent.stat().st_mode & 0o666)
            lock.acquire()
        except OSError as error:
            told = error.strerror or error
            raise ValueError(f"store.dir={self.folder}: {error.filename or path}: {told}") from None
        try:
            if files.there(self.path(stage)) and not self.has(stage):
                raise Damaged(
                    f"{self.path(stage)} is there without its {STAGE}: move it away, and the stage is computed again"
                )
            yield self._progress(stage)
        finally:
            lock.release()

    def put(self, stage: Stage, result: Any) -> Any:
        """Write a result, whole or not at all; the caller holds the claim."""
        self._commit(stage, result)
        self._progress(stage).remove()
        self._remember(stage, result)
        return result

    def nearest(self, stage: Stage, step: int) -> Any | None:
        """Return the finished result of `stage`'s kind and trajectory that stopped last before `step`."""
        there = set(os.listdir(self.folder)) if self.folder.is_dir() else set()
        key = self.keys.at_steps(stage)
        for earlier in range(step - 1, 0, -1):
            # By their keys: to read the metadata of all that a shared store holds takes minutes.
            folder = self.folder / key(earlier)
            if folder.name not in there:
                continue
            try:
                metadata = read_metadata(folder)
            except Damaged:
                continue  # it is named when it is asked for
            if {TICKET, TRAINED, OPTIMIZER} <= set(metadata["kept"]):
                return stored.read(folder, metadata, _never)
        return None

    def _checked(self, stage: Stage, result: Any) -> Any:
        """Return a result computed once more, because what was asked for was not kept; the same bytes, or an error."""
        recorded = self.metadata(stage)["sha256"]
        folder = files.new_folder(self.folder, ".again-")
        try:
            stored.write(result, self.keys(stage), folder, optimizer=OPTIMIZER in recorded)
            for path in folder.iterdir():
                # Where another metric counts now, the early-stop step may be another one.
                if path.name in recorded and path.name != EARLY_STOP and sha256(path) != recorded[path.name]:
                    raise Damaged(
                        f"{self.path(stage) / path.name} was not kept, and computing it again gave other bytes than were recorded; "
                        "was it made by another version of torch, or on another machine?"
                    )
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self._progress(stage).remove()
        return result

    def _progress(self, stage: Stage) -> CheckpointFile:
        path = self.folder / ".progress" / f"{self.keys(stage)}.safetensors"
        return CheckpointFile(path, self.keys(stage), self._checkpoint_every)

    def elsewhere(self, folder: Path, run_id: str) -> Store:
        """Return a store of the same stages in another folder, for another run."""
        other = copy.copy(self)
        other.folder, other._run_id, other._cache = folder, run_id, Cache()
        return other

    def register(self, run: Path, stages: Iterable[Stage]) -> None:
        """Note that the run in the folder `run` needs `stages` and all that they grow from: what is not freed while it is there.

        Raises ValueError for a store of another version.
        """
        found: dict[str, Stage] = {}
        waiting = list(stages)
        while waiting:
            stage = waiting.pop()
            if stage.kept and self.keys(stage) not in found:
                found[self.keys(stage)] = stage
                waiting += stage.parents
        try:
            claim_version(self.folder)
            references.register(self.folder, run, found)
        except OSError as error:
            raise ValueError(f"store.dir={self.folder}: {error.filename}: {error.strerror}") from None

    def link(self, stage: Stage, name: str, target: Path) -> None:
        """Put a file of a finished stage at `target`: a hard link where the file system has them, else a copy.

        Nothing happens where the file was not kept. Raises Damaged naming a file that is not what was written.
        """
        metadata = self.metadata(stage)
        if name not in metadata["kept"]:
            return
        source = check(self.path(stage), name, metadata["sha256"][name])
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):  # no links here
            if not files.there(target):
                os.link(source, target)  # in one step: a kill leaves no other name behind
                return
            if os.path.samefile(source, target):
                return
        temporary = target.with_name(f".{target.name}-{os.getpid()}")
        try:
            shutil.copyfile(source, temporary)
            os.replace(temporary, target)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(target)) from None
        finally:
            temporary.unlink(missing_ok=True)

    def _commit(self, stage: Stage, result: Any) -> None:
        folder = self.path(stage)
        prefix = f".{self.keys(stage)}-"
        for left in self.folder.glob(f"{prefix}*"):  # by a process that was killed: this one has the lock
            shutil.rmtree(left, ignore_errors=True)
        temporary = files.new_folder(self.folder, prefix)
        try:
            optimizer = self._keep == "all" and (self._optimizer or "optimizer" in stage.keeps)
            stored.write(result, self.keys(stage), temporary, optimizer=optimizer)
            hashes = {path.name: sha256(path) for path in sorted(temporary.iterdir())}
            kept = [name for name in hashes if name in KEPT[self._keep] or name == OPTIMIZER]
            for name in hashes.keys() - set(kept):
                (temporary / name).unlink()
            content = text(sealed(self._content(stage, result, hashes, kept)))
            (temporary / STAGE).write_text(content, encoding="utf-8")
            for path in temporary.iterdir():
                files.share(path)
                flush(path)
            flush(temporary)
            os.rename(temporary, folder)
            flush(self.folder)
        except OSError as error:
            raise OSError(error.errno, error.strerror, error.filename or str(folder)) from None
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _grown_from(self, parent: Stage) -> str | None:
        return grown_from(self.metadata(parent)) if self.has(parent) else None

    def _content(self, stage: Stage, result: Any, hashes: Mapping[str, str], kept: list[str]) -> dict[str, Any]:
        told = stored.described(result)
        grown = stage.ended(told["stop"]) if "stop" in told else stage
        return {
            "version": VERSION,
            "key": self.keys(stage),
            "kind": type(stage).__name__,
            "label": stage.label,
            "parents": {self.keys(parent): self._grown_from(parent) for parent in grown.parents if parent.kept},
            "training": self.keys.training,
            "target": stage.pruned_to,
            "control": stage.broken_by,
            "provenance": self._provenance,
            "made": self._made,
            "run_id": self._run_id,
            "kept": kept,
            "sha256": dict(hashes),
            "seconds": result.seconds,
            "result": told,
        }


def _never() -> Any:
    raise AssertionError("all its files are kept")
