"""A run's identity: every setting that decides its numbers, resolved, under dotted keys, as the run itself wrote them.

Two runs with equal identities measure the same; those that differ in the seed alone are averaged. It is written into
the run's folder as `schema.IDENTITY`; a study's committed rows have none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ltb.common import files
from ltb.common.errors import Damaged
from ltb.records.schema import IDENTITY
from ltb.records.variants import flatten


def write(folder: Path, settings: Mapping[str, Any]) -> str:
    """Write the identity with the key that its settings come to, and return the key; nested settings become dotted."""
    plain = json.loads(json.dumps(flatten(settings), default=str))
    key = hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:20]
    files.write(folder / IDENTITY, json.dumps({"settings": plain, "key": key}, indent=2) + "\n")
    return key


def read(folder: Path) -> dict[str, Any] | None:
    """Return the settings of a run's `folder`, with the seed; None if it has no identity; `Damaged` if it is none."""
    path = folder / IDENTITY
    if not files.there(path):
        return None
    found = files.plain(path, "run's identity").get("settings")
    if not isinstance(found, dict):
        raise Damaged(f"{path}: not a run's identity (settings is {json.dumps(found)[:60]})")
    return found
