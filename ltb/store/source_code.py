"""Identities of classes and functions: the code behind a name, as plain data from which stage keys are made.

A stage key must cover code that the configuration does not show. ltb's own code is named; a package's is named with its
version; the user's own is read, with every file of theirs that it imports. Comments, docstrings and layout do not
count, nor does the folder that the code lies in.

What is not seen: modules imported otherwise than by an import statement (`importlib.import_module(name)`), data files,
remote services, the values in a closure or a partial. Files are read as they are on disk: one that was edited after its
import has to be imported again.
"""

from __future__ import annotations

import ast
import dis
import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import os
import sys
import sysconfig
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

Namespace = Mapping[str, Any]  # a module's names

_LTB = os.path.realpath(Path(__file__).parents[1])
_LIBRARIES = {
    folder
    for key in ("purelib", "platlib", "stdlib", "platstdlib")
    for folder in (sysconfig.get_path(key), os.path.realpath(sysconfig.get_path(key)))
}
_MAIN = {"__main__", "__mp_main__"}
_NOT_CODE = {"ctx", "kind", "type_comment", "type_ignores"}
_NOT_PARTS = {
    "__module__",
    "__doc__",
    "__dict__",
    "__weakref__",
    "__annotations__",
    "__firstlineno__",
    "__static_attributes__",
}
_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...))
_UNPARSABLE = (SyntaxError, ValueError, RecursionError, MemoryError)


def identity(thing: Any) -> dict[str, str]:
    """Return the identity of a class or a function; that of a partial function is that of what it calls.

    - ltb's own: `{"name": "MLP"}`, so that moving a file of ltb's changes nothing.
    - an installed package's: `{"name": "torch.nn.modules.activation.ReLU", "package": "torch 2.9.0"}`.
    - anything else, and whatever derives from it or wraps it, is the user's own: `{"name": "Net", "source": SHA-256}`.

    Code typed in a notebook or a prompt, or from a file that can no longer be read or parsed, is identified by its
    source where Python still has it, otherwise by its bytecode (which differs between versions of Python), and by the
    functions, classes, modules and plain values that it takes from around it. Raises TypeError for an instance.
    """
    return _identity(thing)


def identities(targets: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the identity of each dotted name, as in Hydra's `_target_`; a module that only passes it on counts too.

    Raises ValueError for a name that cannot be found, TypeError for one that is neither a class nor a function.
    """
    return {target: _identity(*_resolve(target), f"_target_={target}: ") for target in targets}


def _identity(thing: Any, module: ModuleType | None = None, where: str = "") -> dict[str, str]:
    if isinstance(thing, functools.partial):
        return _identity(thing.func, module, where)
    bound = inspect.ismethod(thing) and not inspect.isclass(thing.__self__)
    if bound or not (inspect.isclass(thing) or (callable(thing) and hasattr(thing, "__qualname__"))):
        raise TypeError(f"{where}a class or a function, not {thing!r:.80}")
    pieces = [each for each in (*_pieces(thing), module) if each is not None and _owner(each) == "user"]
    name = _name(thing)
    if pieces:
        return {"name": name, "source": _digest(pieces)}
    inner = inspect.unwrap(thing)  # a decorator from elsewhere does not change whose it is
    if _owner(inner) == "ltb":
        return {"name": name}
    library = str(getattr(inner, "__module__", None) or _namespace(inner)["__name__"])
    return {"name": f"{library}.{name}", "package": _package(library.partition(".")[0])}


def _name(thing: Any) -> str:
    return f"{_name(thing.__self__)}.{thing.__name__}" if inspect.ismethod(thing) else str(thing.__qualname__)


def _resolve(target: str) -> tuple[Any, ModuleType]:
    """Return what a dotted name stands for and the module in which it is found."""
    first, *rest = target.split(".")
    try:
        thing: Any = importlib.import_module(first)
        module, name = thing, first
        for part in rest:
            name = f"{name}.{part}"
            if isinstance(thing, ModuleType) and not hasattr(thing, part):
                importlib.import_module(name)
            thing = getattr(thing, part)
            module = thing if isinstance(thing, ModuleType) else module
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"_target_={target}: a class or a function that can be imported ({error})") from error
    return thing, module


def _pieces(thing: Any) -> list[Any]:
    """Return the classes and functions that something is put together from: its bases, and what it wraps."""
    found: dict[int, Any] = {}
    todo = [thing]
    while todo:
        piece = todo.pop(0)
        if id(piece) in found:
            continue
        if isinstance(piece, functools.partial):
            todo.append(piece.func)
        elif isinstance(piece, MethodType):
            todo += [piece.__func__, piece.__self__]
        elif inspect.isclass(piece) or inspect.isroutine(piece) or hasattr(piece, "__wrapped__"):
            found[id(piece)] = piece
            todo += [*piece.__mro__, *type(piece).__mro__] if inspect.isclass(piece) else [type(piece)]
            todo += [vars(piece)["__wrapped__"]] if "__wrapped__" in getattr(piece, "__dict__", {}) else []
            todo += _closure(piece)
    return list(found.values())


def _closure(piece: Any) -> Iterator[Any]:
    for cell in piece.__closure__ or () if isinstance(piece, FunctionType) else ():
        try:
            value = cell.cell_contents
        except ValueError:  # not yet set
            continue
        if inspect.isclass(value) or inspect.isfunction(value):
            yield value


# --- whose code it is


def _namespace(piece: Any) -> Namespace:
    """Return the names of the module that a class, function or module belongs to; for a wrapper, of what it wraps."""
    if isinstance(piece, ModuleType):
        return vars(piece)
    piece = getattr(piece, "__func__", piece)
    if isinstance(piece, FunctionType):
        return piece.__globals__
    for each in (piece, getattr(piece, "__objclass__", None), getattr(piece, "__self__", None), type(piece)):
        name = getattr(each, "__module__", None)
        if isinstance(name, str):
            return {"__name__": name, **getattr(sys.modules.get(name), "__dict__", {})}
    return {"__name__": "builtins"}


def _file(names: Namespace) -> str | None:
    """Return the file of a module, or of the nearest package around it where it has none (part of a C extension)."""
    path, module = names.get("__file__"), str(names.get("__name__"))
    if isinstance(path, str):
        # Code in __main__ is the user's own, even where the program is a kernel's or a test runner's.
        return None if module in _MAIN and _folder_owner(path) == "library" else os.path.abspath(path)
    while "." in module:
        module = module.rpartition(".")[0]
        path = getattr(sys.modules.get(module), "__file__", None)
        if isinstance(path, str):
            return path if _folder_owner(path) == "library" else None
    return None


def _owner(piece: Any) -> str:
    """Return "ltb", "library" or "user"."""
    names = _namespace(piece)
    module, path = _dotted(names), _file(names)
    if path is None:
        # A class of a C extension may name a module that has no file, or that does not exist.
        written = isinstance(piece, FunctionType | ModuleType) or (
            isinstance(piece, type)
            and (module in _MAIN or any(isinstance(each, FunctionType) for each in vars(piece).values()))
        )
        return "user" if written and module.partition(".")[0] not in sys.stdlib_module_names else "library"
    owner = _folder_owner(path)
    return "user" if owner == "ltb" and module.partition(".")[0] != "ltb" else owner


@functools.cache
def _folder_owner(path: str) -> str:
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


@functools.cache
def _package(top: str) -> str:
    """Return the distribution that a top-level module comes from, and its version."""
    if top in sys.stdlib_module_names:
        return f"python {sys.version_info.major}.{sys.version_info.minor}"
    try:
        return f"{top} {importlib.metadata.version(top)}"
    except importlib.metadata.PackageNotFoundError:
        names = sorted(set(_distributions().get(top, ())))
        return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names) or f"{top} unknown"


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()  # half a second


# --- the user's own code


@dataclass(frozen=True)
class _File:
    """The hash of a file; if it could be parsed, its imports (level, module, names) and the names in `__all__`."""

    digest: str
    parsed: bool = False
    imports: tuple[tuple[int, str, tuple[str, ...]], ...] = ()
    exports: tuple[str, ...] = ()


def _digest(pieces: Iterable[Any]) -> str:
    """Return the hash of the user's own classes, functions and modules, and of all of theirs that these import."""
    roots: list[Namespace] = []
    typed: list[str] = []
    names: set[str] = set()
    seen: set[int] = set()
    todo = list(pieces)
    while todo:
        piece = todo.pop(0)
        if id(piece) in seen:
            continue
        seen.add(id(piece))
        path, code = _file(_namespace(piece)), piece.__code__ if isinstance(piece, FunctionType) else None
        if path is not None:
            roots.append(_namespace(piece))
            if isinstance(piece, ModuleType) or (_read(path).parsed and not (code and code.co_filename[:1] == "<")):
                continue
        parts = _parts(piece)
        tokens = sorted((name, _token(value)) for name, value in parts.items())
        typed.append(repr((getattr(piece, "__qualname__", ""), _written(code) if code else "", tokens)))
        names |= _names(code, "IMPORT_NAME") if code else set()
        todo += [each for value in parts.values() for each in _reached(value) if _owner(each) == "user"]
    files = sorted((name, _read(path).digest) for path, name in _imported(roots, sorted(names)).items())
    return hashlib.sha256(repr((files, sorted(typed))).encode()).hexdigest()


def _imported(roots: Iterable[Namespace], names: Iterable[str]) -> dict[str, str]:
    """Return the user's own files among modules and their imports, each with its module's name ("" for the first)."""
    known: dict[str, _Place] = {}
    found: dict[str, str] = {}
    todo: list[tuple[str, str, str]] = []  # path, name, the package that its relative imports start from

    def add(name: str) -> _Place:
        """Take up a module and the packages around it; return where it lies, nowhere if it is not the user's own."""
        if name not in known:
            package = name.rpartition(".")[0]
            place = _find(name, add(package).folders if package else None)
            owned = place.path is None or _folder_owner(place.path) == "user"
            known[name] = place if owned else _NOWHERE
            if owned and place.path is not None:
                todo.append((place.path, name, package if place.folders is None else name))
        return known[name]

    for root in roots:
        module, path = _dotted(root), _file(root)
        package = root.get("__package__") or (module if "__path__" in root else module.rpartition(".")[0])
        if path is not None:
            todo.append((path, "" if not todo or module in _MAIN else module, package))
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
        for level, module, members in _read(real).imports:
            try:
                base = importlib.util.resolve_name("." * level + module, package)
            except ImportError:  # beyond the top: it fails when it is run, too
                continue
            place = add(base)
            if place.folders is not None:
                exports = _read(place.path).exports if "*" in members and place.path else ()
                for member in (*members, *exports):
                    add(f"{base}.{member}")
    return found


@dataclass(frozen=True)
class _Place:
    """The place of a module: its file if it has one, and the folders of its submodules if it is a package."""

    path: str | None = None
    folders: tuple[str, ...] | None = None


_NOWHERE = _Place()


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


def _dotted(names: Namespace) -> str:
    name = str(names.get("__name__"))
    return str(getattr(names.get("__spec__"), "name", name)) if name in _MAIN else name


def _read(path: str) -> _File:
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
        shape = _shape(tree)
    except _UNPARSABLE:
        return _File(hashlib.sha256(content).hexdigest())
    imports: list[tuple[int, str, tuple[str, ...]]] = []
    exports: list[str] = []
    for node in ast.walk(tree):
        match node:
            case ast.Import(names):
                imports += [(0, alias.name, ()) for alias in names]
            case ast.ImportFrom(module, names, level):
                imports.append((level or 0, module or "", tuple(alias.name for alias in names)))
            case (
                ast.Assign([ast.Name("__all__")], ast.List(entries) | ast.Tuple(entries))
                | ast.AugAssign(ast.Name("__all__"), _, ast.List(entries) | ast.Tuple(entries))
                | ast.AnnAssign(ast.Name("__all__"), _, ast.List(entries) | ast.Tuple(entries))
            ):
                exports += [str(each.value) for each in entries if isinstance(each, ast.Constant)]
    return _File(
        hashlib.sha256(shape.encode("utf-8", "surrogatepass")).hexdigest(), True, tuple(imports), tuple(exports)
    )


def _shape(node: object) -> str:
    """Return a syntax tree as text, the same in every version of Python, without strings that stand alone."""
    if isinstance(node, ast.AST):
        parts = ((name, getattr(node, name, None)) for name in node._fields if name not in _NOT_CODE)
        # An absent part is not written: later versions of Python add parts of their own.
        written = [f"{name}={shape}" for name, part in parts if part is not None and (shape := _shape(part)) != "[]"]
        return f"{type(node).__name__}({','.join(written)})"
    if isinstance(node, list):
        return f"[{','.join([_shape(each) for each in node if not _is_text(each)])}]"
    return repr(node)


def _is_text(node: object) -> bool:
    """Return whether a statement is a docstring, of a definition or of an attribute."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


# --- code that was typed, and has no file


def _parts(piece: Any) -> dict[str, Any]:
    """Return what a function takes from around it, or what a class holds, by name."""
    if isinstance(piece, type):
        return {name: value for name, value in vars(piece).items() if name not in _NOT_PARTS}
    if not isinstance(piece, FunctionType):
        return {}
    given = {"__defaults__": piece.__defaults__, "__kwdefaults__": piece.__kwdefaults__}
    loaded = _names(piece.__code__, "LOAD_GLOBAL", "LOAD_NAME")
    return given | {name: piece.__globals__[name] for name in loaded if name in piece.__globals__}


def _reached(value: Any) -> list[Any]:
    """Return the classes, functions or modules that a value brings in: itself, what it wraps, or its class."""
    if isinstance(value, ModuleType):
        return [value]
    if isinstance(value, property):
        return [function for function in (value.fget, value.fset, value.fdel) if function is not None]
    if isinstance(value, functools.cached_property | functools.partialmethod):
        value = value.func
    return _pieces(getattr(value, "__func__", value)) or _pieces(type(value))


def _token(value: Any) -> str:
    """Return a value as text: plain values by what they are, the rest by its name or that of its class."""
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, list | tuple | dict):
        entries = value.items() if isinstance(value, dict) else value
        try:
            return f"{type(value).__name__}[{','.join([_token(each) for each in entries])}]"
        except RecursionError:  # it holds itself
            return type(value).__name__
    if isinstance(value, ModuleType):
        return value.__name__
    named = value if isinstance(value, type) or inspect.isroutine(value) else type(value)
    module = f"{_namespace(named)['__name__']}." if _owner(named) == "library" else ""
    return f"{module}{getattr(named, '__qualname__', '')}"


def _written(code: CodeType) -> str:
    """Return the syntax tree of a function's source where Python has it without a file, otherwise its bytecode."""
    if not os.path.isfile(code.co_filename):  # a file that is there does not say what was loaded from it
        try:
            return _shape(ast.parse(textwrap.dedent(inspect.getsource(code))))
        except (OSError, TypeError, *_UNPARSABLE):
            pass
    return repr(_bytecode(code))


def _bytecode(value: Any) -> Any:
    if isinstance(value, CodeType):
        names = (value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars)
        counts = (value.co_argcount, value.co_posonlyargcount, value.co_kwonlyargcount, value.co_flags)
        return value.co_code, names, counts, [_bytecode(each) for each in value.co_consts]
    return sorted(map(repr, value)) if isinstance(value, frozenset) else value


def _names(code: CodeType, *operations: str) -> set[str]:
    """Return the names in a function's instructions of some kinds, and in those of functions inside it."""
    found = {str(step.argval) for step in dis.get_instructions(code) if step.opname in operations}
    return found.union(*(_names(each, *operations) for each in code.co_consts if isinstance(each, CodeType)))
