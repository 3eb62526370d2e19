"""Source files of the user's own: each one's hash without comments and layout, and all that they import from the user's folders."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from ltb.store.ownership import MAIN, Namespace, dotted, file_of, folder_owner

_NOT_CODE = {"ctx", "kind", "type_comment", "type_ignores"}
UNPARSABLE = (SyntaxError, ValueError, RecursionError, MemoryError)


@dataclass(frozen=True)
class _File:
    """The hash of a file; if it could be parsed, its imports (level, module, names) and the names in `__all__`."""

    digest: str
    parsed: bool = False
    imports: tuple[tuple[int, str, tuple[str, ...]], ...] = ()
    exports: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Place:
    """The place of a module: its file if it has one, and the folders of its submodules if it is a package."""

    path: str | None = None
    folders: tuple[str, ...] | None = None


_NOWHERE = _Place()


def imported(roots: Iterable[Namespace], names: Iterable[str]) -> dict[str, str]:
    """Return the user's own files among modules and their imports, each with its module's name ("" for the first)."""
    known: dict[str, _Place] = {}
    found: dict[str, str] = {}
    todo: list[tuple[str, str, str]] = []  # path, name, the package that its relative imports start from

    def add(name: str) -> _Place:
        """Take up a module and the packages around it; return where it lies, nowhere if it is not the user's own."""
        if name not in known:
            package = name.rpartition(".")[0]
            place = _find(name, add(package).folders if package else None)
            owned = place.path is None or folder_owner(place.path) == "user"
            known[name] = place if owned else _NOWHERE
            if owned and place.path is not None:
                todo.append((place.path, name, package if place.folders is None else name))
        return known[name]

    for root in roots:
        module, path = dotted(root), file_of(root)
        package = root.get("__package__") or (module if "__path__" in root else module.rpartition(".")[0])
        if path is not None:
            todo.append((path, "" if not todo or module in MAIN else module, package))
    for _, _, package in tuple(todo):
        add(package)
    for name in names:
        add(name)
    while todo:
        path, name, package = todo.pop(0)
        real = os.path.realpath(path)
        if real in found:
            continue
        found[real] = name
        for level, module, members in read(real).imports:
            try:
                base = importlib.util.resolve_name("." * level + module, package)
            except ImportError:  # beyond the top: it fails when it is run, too
                continue
            place = add(base)
            if place.folders is not None:
                exports = read(place.path).exports if "*" in members and place.path else ()
                for member in (*members, *exports):
                    add(f"{base}.{member}")
    return found


def _find(name: str, around: tuple[str, ...] | None) -> _Place:
    """Find a module without importing anything, `around` being the folders of its package."""
    package, _, child = name.rpartition(".")
    try:
        if name in sys.modules:
            module = sys.modules[name]
            path, folders = getattr(module, "__file__", None), getattr(module, "__path__", None)
            return _Place(path and os.path.abspath(path), None if folders is None else tuple(folders))
        if package and around is None:
            return _NOWHERE
        spec = PathFinder.find_spec(name, list(around or ())) if package else importlib.util.find_spec(name)
        if spec is None:
            return _NOWHERE
        folders = spec.submodule_search_locations
        return _Place(spec.origin if spec.has_location else None, None if folders is None else tuple(folders))
    except KeyError:  # a package without __init__.py, within one that is not in sys.modules
        return _Place(None, tuple(os.path.join(folder, child) for folder in around or ()))
    except Exception:  # noqa: BLE001 (whatever a finder on sys.meta_path raises)
        return _NOWHERE


def read(path: str) -> _File:
    """Return a file as it is now; one that cannot be read is as if empty."""
    try:
        status = os.stat(path)
        return _parse(path, status.st_mtime_ns, status.st_size)
    except OSError:
        return _File("")


@functools.cache
def _parse(path: str, mtime_ns: int, size: int) -> _File:
    content = Path(path).read_bytes()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(content)
        content_shape = shape(tree)
    except UNPARSABLE:
        return _File(hashlib.sha256(content).hexdigest())
    imports: list[tuple[int, str, tuple[str, ...]]] = []
    exports: list[str] = []
    for node in ast.walk(tree):
        match node:
            case ast.Import(names):
                imports += [(0, alias.name, ()) for alias in names]
            case ast.ImportFrom(module, names, level):
                imports.append((level or 0, module or "", tuple(alias.name for alias in names)))
            case ast.Call(
                ast.Name("import_module" | "__import__") | ast.Attribute(_, "import_module"),
                [ast.Constant(str(name)), *_],
            ):
                imports.append((len(name) - len(name.lstrip(".")), name.lstrip("."), ()))
            case (
                ast.Assign([ast.Name("__all__")], ast.List(entries) | ast.Tuple(entries))
                | ast.AugAssign(ast.Name("__all__"), _, ast.List(entries) | ast.Tuple(entries))
                | ast.AnnAssign(ast.Name("__all__"), _, ast.List(entries) | ast.Tuple(entries))
            ):
                exports += [str(each.value) for each in entries if isinstance(each, ast.Constant)]
    return _File(
        hashlib.sha256(content_shape.encode("utf-8", "surrogatepass")).hexdigest(), True, tuple(imports), tuple(exports)
    )


def shape(node: object) -> str:
    """Return a syntax tree as text, the same in every version of Python, without strings that stand alone."""
    if isinstance(node, ast.AST):
        parts = ((name, getattr(node, name, None)) for name in node._fields if name not in _NOT_CODE)
        # An absent part is not written: later versions of Python add parts of their own.
        written = [f"{name}={text}" for name, part in parts if part is not None and (text := shape(part)) != "[]"]
        return f"{type(node).__name__}({','.join(written)})"
    if isinstance(node, list):
        return f"[{','.join([shape(each) for each in node if not _is_text(each)])}]"
    return repr(node)


def _is_text(node: object) -> bool:
    """Return whether a statement is a docstring, of a definition or of an attribute."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
