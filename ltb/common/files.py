"""Files that are written whole or not at all, and read whole or named as damaged. Needs no torch.

What is read may have been written by anyone: it is a regular file of a bounded size, parsed to plain data of a bounded depth,
or a `Damaged` names it. Modes follow the user's umask, for groups share stores.
"""

from __future__ import annotations

import csv
import io
import json
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ltb.common.errors import Damaged

LARGEST = 64 * 2**20  # bytes of a file of text or plain data
DEEPEST = 100  # levels of nesting in plain data


def write(path: Path, content: str | bytes) -> Path:
    """Put a file in the place of what was there: under another name first, flushed to the disk, then renamed.

    Who reads it meanwhile sees the old one. Raises OSError naming `path`, as on a full disk.
    """
    temporary = path.parent / f".{path.name}-{secrets.token_hex(4)}"
    try:
        # With the mode that the umask leaves, unlike those of `tempfile`.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content.encode("utf-8") if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)  # an interruption may come right behind the renaming
            raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    return path


def new_folder(parent: Path, prefix: str) -> Path:
    """Make a new folder with a name of its own that begins with `prefix`; its mode is what the umask leaves."""
    while True:
        folder = parent / f"{prefix}{secrets.token_hex(4)}"
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder


def open_up(path: Path) -> None:
    """Give a file that a library wrote for its user alone the mode of any new one."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)


def share(path: Path) -> None:
    """Give a file the mode that the umask left to the folder that it is in."""
    path.chmod(path.parent.stat().st_mode & 0o666)


def flush(path: Path) -> None:
    """Make sure that a file, or the names in a folder, are on the disk. Raises OSError naming it when they cannot be."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        os.close(descriptor)


def there(path: Path) -> bool:
    """Return whether anything has this name, a link that leads nowhere as well."""
    return os.path.lexists(path)


def read(path: Path, kind: str, largest: int = LARGEST) -> bytes:
    """Return the contents of a file. `Damaged` names one that cannot be read, is no regular file or is too large to be a `kind`."""
    try:
        # A named pipe would keep us waiting for someone who writes.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        try:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode):
                raise Damaged(f"{path}: not a {kind} (not a regular file)")
            if about.st_size > largest:
                raise Damaged(f"{path}: not a {kind} ({about.st_size:,} bytes)")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read()
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Damaged(f"{path}: not a {kind} ({error.strerror})") from None


def text(path: Path, kind: str) -> str:
    """Return a text in UTF-8. `Damaged` names a file that is none."""
    try:
        return read(path, kind).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Damaged(f"{path}: not a {kind} ({error})") from None


def plain(path: Path, kind: str) -> dict[str, Any]:
    """Return an object of JSON. `Damaged` names a file that holds something else, or nests too deep."""
    content = text(path, kind)
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{path}: not a {kind} ({str(error).splitlines()[0]})") from None
    return bounded(path, kind, found, len(content))


def bounded(path: Path, kind: str, found: Any, size: int) -> dict[str, Any]:
    """Return a mapping that was parsed from `size` characters, once it is found to be one and to be no larger than they are.

    What is written without aliases has fewer parts than characters: aliases of aliases unfold to billions.
    """
    if not isinstance(found, dict):
        raise Damaged(f"{path}: not a {kind} (not an object)")
    parts, count = [found], 0
    for _ in range(DEEPEST):
        parts = [part for part in parts if isinstance(part, dict | list)]
        count += sum(map(len, parts))
        if count > size:
            raise Damaged(f"{path}: not a {kind} (its aliases unfold to more than {size:,} parts)")
        if not parts:
            return found
        parts = [inner for part in parts for inner in (part.values() if isinstance(part, Mapping) else part)]
    raise Damaged(f"{path}: not a {kind} (nested more than {DEEPEST} deep)")


def rows(path: Path, kind: str) -> tuple[list[str], list[list[str]]]:
    """The header and the lines of a CSV file. `Damaged` names a file that is no CSV or ends inside a line; it is no `kind`."""
    content = text(path, kind)
    try:
        header, *lines = csv.reader(io.StringIO(content, newline=""), strict=True)
    except (csv.Error, ValueError) as error:
        raise Damaged(f"{path}: not a {kind} ({error or 'empty'})") from error
    if not content.endswith("\n"):
        raise Damaged(f"{path}: ends in the middle of line {len(lines) + 1} (truncated?)")
    return header, lines
