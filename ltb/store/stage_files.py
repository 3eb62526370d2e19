"""The files of a finished stage and what its metadata says, for who writes and who reads them. Needs no torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ltb.core.errors import Damaged

VERSION = 1  # of stage keys and metadata; raise it when the same settings come to give other results
TICKET, TRAINED, STAGE = "ticket.safetensors", "trained.safetensors", "stage.json"
FIELDS = (
    "key", "kind", "parents", "target", "control", "provenance", "run_id", "kept", "sha256", "start", "stop", "counts",
    "metrics", "history", "seconds",
)  # fmt: skip


def read_about(folder: Path) -> dict[str, Any]:
    """The metadata of a stage. Raises Damaged naming the file when it is not what this version of ltb writes."""
    path = folder / STAGE
    try:
        about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = about["version"]
        missing = [name for name in FIELDS if name not in about] if version == VERSION else []
    except (OSError, ValueError, KeyError, TypeError):
        raise Damaged(f"{path} is damaged") from None
    if version != VERSION:
        raise Damaged(f"{path} has version {version}; this version of ltb reads version {VERSION}")
    if missing:
        raise Damaged(f"{path} is damaged: it lacks {', '.join(missing)}")
    return about


def check(folder: Path, name: str, expected: str) -> Path:
    """The file `name` of a stage, once its SHA-256 is found to be the expected one. Raises Damaged naming it."""
    path = folder / name
    if not path.exists():
        raise Damaged(f"{path} is missing")
    if sha256(path) != expected:
        raise Damaged(f"{path} is damaged: its SHA-256 is not the one that was recorded when it was written")
    return path


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
