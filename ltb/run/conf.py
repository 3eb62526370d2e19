"""The place of the configuration: inside the installed package, or beside it in a checkout."""

from __future__ import annotations

from pathlib import Path


def conf() -> str:
    """Return the folder of the configuration."""
    package = Path(__file__).resolve().parents[1]
    return str(next(folder for folder in (package / "conf", package.parent / "conf") if folder.is_dir()))
