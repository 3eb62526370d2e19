"""The files of a finished stage and the fields of its metadata, for writers and readers. Needs no torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ltb.core.errors import Damaged

VERSION = 2  # of stage keys and metadata; raise it when the same settings give other results than before
STAGE = "stage.json"
TICKET, TRAINED = "ticket.safetensors", "trained.safetensors"
OPTIMIZER, EARLY_STOP, MEASURED = "optimizer.safetensors", "early_stop.safetensors", "measured.safetensors"
FIELDS = (
    "key", "kind", "label", "parents", "training", "target", "control", "provenance", "made", "run_id", "kept", "sha256",
    "seconds", "result",
)  # fmt: skip
# The further fields: of a fit's result, or of a measure's.
TRAINED_FIELDS, MEASURED_FIELDS = ("start", "stop", "counts", "early_stop_step", "history"), ("values",)


def read_metadata(folder: Path) -> dict[str, Any]:
    """Return the metadata of a stage. Raises Damaged naming the file when it is not what this version of ltb writes."""
    path = folder / STAGE
    try:
        metadata: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = metadata["version"]
        missing = [name for name in FIELDS if name not in metadata] if version == VERSION else []
        if version == VERSION and not missing:
            wanted = MEASURED_FIELDS if "values" in metadata["result"] else TRAINED_FIELDS
            missing = [name for name in wanted if name not in metadata["result"]]
    except (OSError, ValueError, KeyError, TypeError):
        raise Damaged(f"{path} is damaged") from None
    if version != VERSION:
        raise Damaged(
            f"{path} has version {version}; this version of ltb reads version {VERSION}: use another store.dir, or remove this one"
        )
    if missing:
        raise Damaged(f"{path} is damaged: it lacks {', '.join(missing)}")
    return metadata


def check(folder: Path, name: str, expected: str) -> Path:
    """Return the file `name` of a stage, once its SHA-256 is found to be the expected one. Raises Damaged naming it."""
    path = folder / name
    if not path.exists():
        raise Damaged(f"{path} is missing")
    if sha256(path) != expected:
        raise Damaged(f"{path} is damaged: its SHA-256 is not the one that was recorded when it was written")
    return path


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
