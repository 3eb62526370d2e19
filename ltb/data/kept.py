"""Data that take seconds to make: made once, and kept in a file that is checked when it is read."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from safetensors.torch import load, save
from torch import Tensor

from ltb.common import files
from ltb.common.errors import Unavailable


def kept(folder: Path, packages: Mapping[str, str], make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return what `make` gives, read from `folder` where it is there.

    The file is named by the `packages` that decide it to the last bit, with their versions, and opens with the SHA-256 of the rest:
    one that is not whole is made anew, with a line. Where it cannot be written there is none. `packages` -> what is said where one
    is not installed, which raises `Unavailable`.
    """
    path = folder / f"{'-'.join(_installed(name, needed) for name, needed in packages.items())}.bin"
    content = None
    with suppress(OSError):
        content = path.read_bytes()
    if content is None or hashlib.sha256(content[32:]).digest() != content[:32]:
        if content is not None:
            print(f"ltb: {path}: damaged; it is made again", file=sys.stderr)
        content = save(make())
        content = hashlib.sha256(content).digest() + content
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write(path, content)
    return load(content[32:])


def _installed(name: str, needed: str) -> str:
    try:
        return f"{name}-{version(name)}"
    except PackageNotFoundError as error:
        raise Unavailable(f"{needed}: pip install {name} ({error})") from error
