"""Files that a dataset needs, downloaded once, also when several processes ask for them at the same time."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path

from filelock import FileLock

from ltb.common.errors import Unavailable


def ensure(
    root: Path, files: Sequence[str], download: Callable[[Path], object], *, name: str, advice: str = ""
) -> None:
    """Return once all ``files``, paths below ``root``, exist; if they do not, ``download`` is asked to make them.

    ``download`` is given an empty folder and leaves the files there, at the same paths below it. They are
    moved into ``root`` when all are complete, so that nobody meets half a file. Nothing is written if the
    files exist. Raises ``Unavailable`` if they cannot be had; ``advice`` is then another way to get them.
    """
    if not _missing(root, files):
        return
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{name}.lock"):
            if _missing(root, files):  # still, now that no other process downloads them
                _download_and_move(root, files, download, root / f".{name}.partial")
    except (OSError, RuntimeError, HTTPException) as error:
        reason = str(error).partition("\n")[0].rstrip(":") or type(error).__name__
        raise Unavailable(
            f"data.root: {name} is not in {root.absolute()} and could not be downloaded ({reason}): connect once,"
            f" so that torchvision downloads it there{advice}; mnist1d and digits need no download"
        ) from error


def _missing(root: Path, files: Sequence[str]) -> list[str]:
    return [file for file in files if not (root / file).is_file()]


def _download_and_move(root: Path, files: Sequence[str], download: Callable[[Path], object], partial: Path) -> None:
    shutil.rmtree(partial, ignore_errors=True)  # what a killed process left may be half a file
    partial.mkdir()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            download(partial)
        for file in files:
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (partial / file).replace(root / file)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
