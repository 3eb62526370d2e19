"""Ownership of code: whether a class, a function, a module or a file is ltb's, an installed package's, or the user's own."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

Namespace = Mapping[str, Any]  # a module's names

_LTB = os.path.realpath(Path(__file__).parents[1])
_LIBRARIES = {
    folder
    for key in ("purelib", "platlib", "stdlib", "platstdlib")
    for folder in (sysconfig.get_path(key), os.path.realpath(sysconfig.get_path(key)))
}
MAIN = {"__main__", "__mp_main__"}


def owner(piece: Any) -> str:
    """Return "ltb", "library" or "user"."""
    names = namespace(piece)
    module, path = dotted(names), file_of(names)
    if path is None:
        # A class of a C extension may name a module that has no file, or that does not exist.
        written = isinstance(piece, FunctionType | ModuleType) or (
            isinstance(piece, type)
            and (module in MAIN or any(isinstance(each, FunctionType) for each in vars(piece).values()))
        )
        return "user" if written and module.partition(".")[0] not in sys.stdlib_module_names else "library"
    whose = folder_owner(path)
    return "user" if whose == "ltb" and module.partition(".")[0] != "ltb" else whose


@functools.cache
def folder_owner(path: str) -> str:
    """Return the same of a file, by the folder that it is in."""
    real = os.path.realpath(path)
    if real.startswith(_LTB + os.sep):
        return "ltb"
    # Both: an environment may link its packages to a cache elsewhere.
    for each in (path, real):
        if {"site-packages", "dist-packages"} & set(Path(each).parts) or any(
            each.startswith(folder + os.sep) for folder in _LIBRARIES
        ):
            return "library"
    return "user"


def namespace(piece: Any) -> Namespace:
    """Return the names of the module that a class, function or module belongs to; for a wrapper, of what it wraps."""
    if isinstance(piece, ModuleType):
        return vars(piece)
    piece = getattr(piece, "__func__", piece)
    if isinstance(piece, FunctionType):
        return piece.__globals__
    for each in (piece, getattr(piece, "__objclass__", None), getattr(piece, "__self__", None), type(piece)):
        name = getattr(each, "__module__", None)
        if isinstance(name, str):
            names = getattr(sys.modules.get(name), "__dict__", {})
            return names if names.get("__name__") == name else {"__name__": name, **names}
    return {"__name__": "builtins"}


def file_of(names: Namespace) -> str | None:
    """Return the file of a module, or of the nearest package around it where it has none (part of a C extension)."""
    path, module = names.get("__file__"), str(names.get("__name__"))
    if isinstance(path, str):
        # Code in __main__ is the user's own, even where the program is a kernel's or a test runner's.
        return None if module in MAIN and folder_owner(path) == "library" else os.path.abspath(path)
    while "." in module:
        module = module.rpartition(".")[0]
        path = getattr(sys.modules.get(module), "__file__", None)
        if isinstance(path, str):
            return path if folder_owner(path) == "library" else None
    return None


def dotted(names: Namespace) -> str:
    name = str(names.get("__name__"))
    return str(getattr(names.get("__spec__"), "name", name)) if name in MAIN else name


@functools.cache
def package_of(top: str) -> str:
    """Return the distribution that a top-level module comes from, and its version."""
    if top in sys.stdlib_module_names:
        return f"python {sys.version_info.major}.{sys.version_info.minor}"
    try:
        return _version(top)
    except importlib.metadata.PackageNotFoundError:
        names = sorted(set(_distributions().get(top, ())))
        return ", ".join(map(_version, names)) or f"{top} unknown"


def _version(name: str) -> str:
    """Return a distribution's name and version; of one that did not come from an index, a hash of its files as well.

    The same version may be installed from a folder again and again, each time with other code.
    """
    found = importlib.metadata.distribution(name)
    if found.read_text("direct_url.json") is None:
        return f"{name} {found.version}"
    lines = (found.read_text("RECORD") or "").splitlines()
    # Not what names the folder that it came from or goes to: metadata, scripts, files without a hash.
    code = sorted(line for line in lines if "sha256=" in line and ".dist-info/" not in line and line[:2] != "..")
    return f"{name} {found.version} {hashlib.sha256(repr(code).encode()).hexdigest()}"


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()  # half a second
