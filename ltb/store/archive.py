"""A run with all that it needs in one tar file: its folder, its stages, what they grew from and what was measured on them.

    manifest.json          the run's name, the SHA-256 of each file of its folder, a digest of this
    stages/<key>/<name>    the files of each stage, as in the store
    run/<path>             the files of the run's folder, those apart that are files of stages

An archive is of unknown origin until every file of it is checked, so nothing is put in its place before, and nothing that exists
is overwritten. Needs no torch.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from ltb.common import files
from ltb.common.errors import Damaged
from ltb.records.schema import LEDGER
from ltb.store import catalogue, references
from ltb.store.catalogue import Entry
from ltb.store.stage_files import STAGE, check, check_parents, digest_of, grown_from, read_metadata, sha256

IMPORT = ".import-"  # how the names of unfinished folders begin
MANIFEST, STAGES, RUN = "manifest.json", "stages", "run"


def pack(store: Path, run: Path, file: Path) -> tuple[int, int]:
    """Write the run in the folder `run` to `file`; return how many stages and how many files of the run's own are in it.

    Raises ValueError where `file` exists or a level is not in the store, and Damaged, naming it, for a file that is not whole.
    """
    if files.there(file):
        raise ValueError(f"{file}: it exists, and nothing is overwritten")
    wanted = references.ledger_stages(run / LEDGER)
    found = catalogue.entries(store)
    absent = set(wanted) - {entry.key for entry in found}
    if absent:
        raise ValueError(
            f"{len(absent)} of {len(wanted)} levels of {run} are not in the store {store}; --dir says which store"
        )
    needed = catalogue.closure(found, wanted)
    stages = [entry for entry in found if entry.key in needed]
    hashes = {_checked(entry, name): f"{entry.key}/{name}" for entry in stages for name in entry.metadata["kept"]}
    own = {path.relative_to(run).as_posix(): path for path in _files(run, store)}
    manifest: dict[str, Any] = {"run": run.resolve().name, "files": {name: sha256(path) for name, path in own.items()}}
    manifest["digest"] = digest_of(manifest)
    temporary = file.with_name(f".{file.name}-{os.getpid()}")
    try:
        temporary.touch()
    except OSError as error:
        raise ValueError(f"{file}: it cannot be written ({error.strerror})") from None
    try:
        with tarfile.open(temporary, "w", dereference=True) as tar:
            content = json.dumps(manifest, indent=1).encode()
            head = tarfile.TarInfo(MANIFEST)
            head.size = len(content)
            tar.addfile(head, io.BytesIO(content))
            for entry in stages:
                for name in (*entry.metadata["kept"], STAGE):
                    tar.add(entry.folder / name, f"{STAGES}/{entry.key}/{name}", recursive=False)
            stored = [name for name in own if manifest["files"][name] not in hashes]
            for name in stored:
                tar.add(own[name], f"{RUN}/{name}", recursive=False)
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
    return len(stages), len(stored)


def _checked(entry: Entry, name: str) -> str:
    expected: str = entry.metadata["sha256"][name]
    check(entry.folder, name, expected)
    check_parents(entry.folder, entry.metadata)
    return expected


def _files(run: Path, store: Path) -> Iterator[Path]:
    """The files of a run's folder, a store within it and unfinished ones apart."""
    for path in sorted(run.rglob("*")):
        inside = path.is_relative_to(store) or any(part.startswith(".") for part in path.relative_to(run).parts)
        if inside or path.is_dir():
            continue
        if path.is_symlink() or not path.is_file():
            raise Damaged(f"{path}: not a regular file, and not taken along")
        yield path


def unpack(store: Path, runs: Path, file: Path) -> tuple[Path, int, int]:
    """Put the run in `file` below `runs` and its stages into `store`; return its folder, and how many stages came and were there.

    Raises ValueError where the run's folder exists, and Damaged, naming it, for an archive or a file in it that is not whole.
    """
    with _folders(store, runs), _unfinished(store) as temporary, _named(file, store, runs):
        _extract(file, temporary)
        manifest = files.plain(temporary / MANIFEST, "list of a run's files")
        name, listed = manifest.get("run"), manifest.get("files")
        if manifest.pop("digest", None) != digest_of(manifest):
            raise Damaged(f"{file}: its {MANIFEST} is damaged")
        if (
            not isinstance(name, str)
            or not isinstance(listed, dict)
            or not all(map(_safe, [name, *listed]))
            or "/" in name
        ):
            raise Damaged(f"{file}: its {MANIFEST} names no run and files within it")
        target = runs / name
        if files.there(target):
            raise ValueError(f"{target}: it exists, and nothing is overwritten")
        stages = sorted((temporary / STAGES).glob("*"))
        hashes = {digest: path for folder in stages for digest, path in _stage(folder, store).items()}
        with _unfinished(runs) as run:
            for path, digest in listed.items():
                source = temporary / RUN / path
                _copy(source if source.exists() else hashes.get(digest, source), run / path)
                check(run, path, digest)
            wanted = references.ledger_stages(run / LEDGER)
            absent = [key for key in wanted if key not in {folder.name for folder in stages}]
            if absent:
                raise Damaged(f"{file}: it lacks {len(absent)} of the {len(wanted)} stages of the run's ledger")
            came = [folder for folder in stages if not files.there(store / folder.name)]
            for folder in came:
                for path in folder.iterdir():
                    files.flush(path)
                os.rename(folder, store / folder.name)
            references.register(store, target, [folder.name for folder in stages])
            os.rename(run, target)
    return target, len(came), len(stages) - len(came)


@contextmanager
def _folders(*folders: Path) -> Iterator[None]:
    """Folders that are made where they are not there, and do not stay where nothing came into them."""
    new = [path for folder in folders for path in (folder, *folder.parents) if not files.there(path)]
    try:
        for folder in folders:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ValueError(f"{folder}: not a folder that can be written ({error.strerror})") from None
        yield
    finally:
        for path in sorted(new, key=lambda one: len(one.parts), reverse=True):
            with suppress(OSError):
                path.rmdir()


@contextmanager
def _named(file: Path, *folders: Path) -> Iterator[None]:
    """Name the archive where one of its files is damaged, whose copy in an unfinished folder nobody finds any more."""
    try:
        yield
    except Damaged as error:
        told = str(error)
        for folder in folders:
            told = re.sub(rf"{re.escape(str(folder))}/{re.escape(IMPORT)}[^/]*/", "", told)
        raise Damaged(told if told.startswith(str(file)) else f"{file}: {told}") from None


@contextmanager
def _unfinished(parent: Path) -> Iterator[Path]:
    folder = files.new_folder(parent, IMPORT)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _safe(name: object) -> bool:
    """Return whether it is a relative path that stays where it is put, without hidden parts."""
    return (
        isinstance(name, str)
        and PurePosixPath(name).as_posix() == name
        and not any(part.startswith((".", "/")) or "\0" in part for part in PurePosixPath(name).parts)
    )


def _extract(file: Path, folder: Path) -> None:
    """Write the regular files of an archive below `folder`. Raises Damaged for anything else in it."""
    if not file.is_file():
        raise Damaged(f"{file}: not a run's archive (not a regular file)")
    try:
        with file.open("rb") as source, tarfile.open(fileobj=source, mode="r:") as tar:
            for member in tar:
                if not member.isreg() or not _safe(member.name) or files.there(folder / member.name):
                    raise Damaged(f"{file}: {member.name!r:.80} is no regular file within it, or is there twice")
                target = folder / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as copy:
                    shutil.copyfileobj(tar.extractfile(member), copy)  # type: ignore[arg-type]  # regular: never None
                if target.stat().st_size != member.size:
                    raise Damaged(f"{file}: it ends within {member.name}")
    except (tarfile.TarError, OSError, EOFError, UnicodeError) as error:
        raise Damaged(f"{file}: not a run's archive ({error})") from None


def _stage(folder: Path, store: Path) -> dict[str, Path]:
    """Check a stage that arrived, and that the store's own of this key, if it has one, is the same; hash -> file."""
    metadata = read_metadata(folder)
    found = {metadata["sha256"][name]: check(folder, name, metadata["sha256"][name]) for name in metadata["kept"]}
    for path in folder.iterdir():
        if path.name not in (*metadata["kept"], STAGE):
            raise Damaged(f"{path} is no file of the stage")
    check_parents(folder, metadata)
    if not catalogue.KEY.fullmatch(folder.name):
        raise Damaged(f"{folder.name!r} is no key of a stage")
    if files.there(store / folder.name) and grown_from(read_metadata(store / folder.name)) != grown_from(metadata):
        raise Damaged(
            f"{store / folder.name}: the stage of this key that is there has other contents than the one that arrives"
        )
    return found


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)  # to a stage's file, as in the run that was exported
    except FileNotFoundError:
        return  # `check` names it
    except OSError:
        shutil.copyfile(source, target)
