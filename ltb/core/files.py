"""Files that are written whole or not at all, and tables that are read whole or named as damaged. Needs no torch."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from pathlib import Path

from ltb.core.errors import Damaged


def write(path: Path, content: str | bytes) -> Path:
    """Put a file in the place of what was there: under another name first, flushed to the disk, then renamed.

    Who reads it meanwhile sees the old one. Raises OSError naming `path`, as on a full disk.
    """
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content.encode("utf-8") if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    return path


def flush(path: Path) -> None:
    """Make sure that a file, or the names in a folder, are on the disk. Raises OSError naming it when they cannot be."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        os.close(descriptor)


def rows(path: Path, kind: str) -> tuple[list[str], list[list[str]]]:
    """The header and the lines of a CSV file. `Damaged` names a file that is no CSV or ends inside a line; it is no `kind`."""
    try:
        text = path.read_bytes().decode("utf-8")
        header, *lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        raise Damaged(f"{path}: not a {kind} ({error or 'empty'})") from error
    if not text.endswith("\n"):
        raise Damaged(f"{path}: ends in the middle of line {len(lines) + 1} (truncated?)")
    return header, lines
