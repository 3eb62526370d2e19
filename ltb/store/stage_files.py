"""The files of a finished stage and the fields of its metadata, for writers and readers. Needs no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ltb.common import files
from ltb.common.errors import Damaged
from ltb.store.finite import as_numbers, as_texts

VERSION = 2  # of stage keys and metadata; raise it when the same settings give other results than before
STAGE = "stage.json"
STORE_VERSION = ".version"  # in a store's folder
TICKET, TRAINED = "ticket.safetensors", "trained.safetensors"
OPTIMIZER, EARLY_STOP, MEASURED = "optimizer.safetensors", "early_stop.safetensors", "measured.safetensors"
FIELDS = (
    "version", "key", "kind", "label", "parents", "training", "target", "control", "provenance", "made", "run_id", "kept", "sha256",
    "seconds", "result", "digest",
)  # fmt: skip


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata with a digest of all but what is kept, for files are freed later on."""
    plain: dict[str, Any] = json.loads(json.dumps(content))
    return {**plain, "digest": _seal(plain)}


def grown_from(metadata: Mapping[str, Any]) -> str:
    """Return the digest of what a stage's children grew from: its tensors' hashes, its values; not when or by whom it was made.

    A stage that is computed once more has the same. Without the optimizer's state and the early-stop point, for whether
    they are there depends on who asked.
    """
    hashes = {name: metadata["sha256"][name] for name in (TICKET, TRAINED, MEASURED) if name in metadata["sha256"]}
    return digest_of([hashes, metadata["result"].get("values")])


def _seal(content: Mapping[str, Any]) -> str:
    return digest_of({name: value for name, value in content.items() if name not in ("kept", "digest")})


def digest_of(value: Any) -> str:
    """Return the SHA-256 of plain data, their order included."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def claim_version(store: Path) -> None:
    """Write this version into a store that has none. Raises ValueError for a store of another version.

    One that was written before stores said theirs has that of any of its stages.
    """
    path = store / STORE_VERSION
    found = files.text(path, "store's version").strip() if files.there(path) else next(_versions(store), str(VERSION))
    if found != str(VERSION):
        raise ValueError(
            f"store.dir={store} ({path.name}): it has version {' '.join(found.split()):.20}, "
            f"and this version of ltb has {VERSION}: use another store.dir"
        )
    if not files.there(path):
        store.mkdir(parents=True, exist_ok=True)
        files.write(path, f"{VERSION}\n")


def _versions(store: Path) -> Iterator[str]:
    for path in store.glob(f"[!.]*/{STAGE}"):
        with suppress(Damaged):  # it is named when it is asked for
            if "version" in (found := files.plain(path, "stage's metadata")):
                yield str(found["version"])


def read_metadata(folder: Path) -> dict[str, Any]:
    """Return the metadata of a stage. Raises Damaged naming the file when it is not what was written, of this stage."""
    path = folder / STAGE
    try:
        metadata = files.plain(path, "stage's metadata")
    except Damaged as error:
        raise Damaged(f"{path} is damaged{str(error).removeprefix(str(path))}") from None
    if metadata.get("version", VERSION) != VERSION:
        raise Damaged(
            f"{path} has version {metadata['version']!r:.20}; this version of ltb reads version {VERSION}: "
            "use another store.dir, or remove this one"
        )
    missing = [name for name in FIELDS if name not in metadata]
    if missing:
        raise Damaged(f"{path} is damaged: it lacks {', '.join(missing)}")
    _read_numbers(metadata["result"])
    if metadata["digest"] != _seal(metadata):
        raise Damaged(f"{path} is damaged: its digest is not the one that was recorded when it was written")
    kept = metadata["kept"]
    if not isinstance(kept, list) or any(name not in list(metadata["sha256"]) for name in kept):
        raise Damaged(f"{path} is damaged: kept names files that it has no hashes of")
    if metadata["key"] != folder.name:
        raise Damaged(
            f"{path} is damaged: it is of stage {metadata['key']}, not of the one that its folder is named by"
        )
    return metadata


def _read_numbers(result: Any) -> None:
    """Put floats in the place of texts that stand for them; stages from before have NaN itself, which is no JSON.

    The digest is of the floats, so that it is the same for either.
    """
    with suppress(AttributeError, KeyError, TypeError):  # what is damaged is not what was sealed
        if "values" in result:
            result["values"] = as_numbers(result["values"])
        else:
            result["history"] = [as_numbers(row) for row in result["history"]]


def text(metadata: Mapping[str, Any]) -> str:
    """Return the metadata of a stage as JSON, for `read_metadata` and any other reader."""
    return json.dumps(as_texts(metadata), indent=1, allow_nan=False)


def check_parents(folder: Path, metadata: Mapping[str, Any]) -> None:
    """Raise Damaged, naming both stages, unless those that a stage grew from and that are there are what they were then."""
    for key, digest in metadata["parents"].items():
        parent = folder.with_name(key)
        if digest is not None and files.there(parent / STAGE) and grown_from(read_metadata(parent)) != digest:
            raise Damaged(
                f"{folder / STAGE}: it did not grow from what is in {parent} now; "
                "was one of them made by another version of torch, or on another machine?"
            )


def check(folder: Path, name: str, expected: str) -> Path:
    """Return the file `name` of a stage, once its SHA-256 is found to be the expected one. Raises Damaged naming it."""
    path = folder / name
    if not files.there(path):
        raise Damaged(f"{path} is missing")
    if not path.is_file():
        raise Damaged(f"{path} is damaged: it is not a regular file")
    if sha256(path) != expected:
        raise Damaged(f"{path} is damaged: its SHA-256 is not the one that was recorded when it was written")
    return path


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
