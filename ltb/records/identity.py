"""What decides a run's numbers, as its keys know it: written beside its ledger, so that a report compares what was compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ltb.core import files

IDENTITY = "identity.json"


def write(folder: Path, settings: Mapping[str, Any]) -> None:
    files.write(folder / IDENTITY, json.dumps({"settings": settings}, indent=1) + "\n")
