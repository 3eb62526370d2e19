"""Identities of classes and functions: the code behind a name, as plain data from which stage keys are made.

A stage key must cover code that the configuration does not show. ltb's own code is named; a package's is named with its
version; the user's own is read, with every file of theirs that it imports. Comments, docstrings and layout do not
count, nor does the folder that the code lies in.

What is not seen: modules imported by a name that is computed (`importlib.import_module(name)`), data files, remote
services, the values in a closure or a partial. Files are read as they are on disk: one that was edited after its import
has to be imported again.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
from collections.abc import Iterable
from types import FunctionType, ModuleType
from typing import Any

from ltb.store.ownership import Namespace, file_of, namespace, owner, package_of
from ltb.store.pieces import parts, pieces, reached
from ltb.store.source_files import imported, read
from ltb.store.typed_code import names_in, token, written


def identity(thing: Any) -> dict[str, str]:
    """Return the identity of a class or a function; that of a partial function is that of what it calls.

    - ltb's own: `{"name": "MLP"}`, so that moving a file of ltb's changes nothing.
    - an installed package's: `{"name": "torch.nn.modules.activation.ReLU", "package": "torch 2.9.0"}`.
    - anything else, and whatever derives from it or wraps it, is the user's own: `{"name": "Net", "source": SHA-256}`.

    Code typed in a notebook or a prompt, or from a file that can no longer be read or parsed, is identified by its
    source where Python still has it, otherwise by its bytecode (which differs between versions of Python), and by the
    functions, classes, modules and plain values that it takes from around it. Raises ValueError for an instance.
    """
    return _identity(thing)


def identities(targets: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the identity of each dotted name, as in Hydra's `_target_`; a module that only passes it on counts too.

    Raises ValueError for a name that cannot be found, and for one that is neither a class nor a function.
    """
    return {target: _identity(*_resolve(target), f"_target_={target}: ") for target in targets}


def _identity(thing: Any, module: ModuleType | None = None, where: str = "") -> dict[str, str]:
    if isinstance(thing, functools.partial):
        return _identity(thing.func, module, where)
    bound = inspect.ismethod(thing) and not inspect.isclass(thing.__self__)
    if bound or not (inspect.isclass(thing) or (callable(thing) and hasattr(thing, "__qualname__"))):
        raise ValueError(f"{where}a class or a function, not {thing!r:.80}")
    own = [each for each in (*pieces(thing), module) if each is not None and owner(each) == "user"]
    name = _name(thing)
    if own:
        return {"name": name, "source": _digest(own)}
    inner = inspect.unwrap(thing)  # a decorator from elsewhere does not change whose it is
    if owner(inner) == "ltb":
        return {"name": name}
    library = str(getattr(inner, "__module__", None) or namespace(inner)["__name__"])
    return {"name": f"{library}.{name}", "package": package_of(library.partition(".")[0])}


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


def _digest(own: Iterable[Any]) -> str:
    """Return the hash of the user's own classes, functions and modules, and of all of theirs that these import."""
    roots: list[Namespace] = []
    typed: list[str] = []
    names: set[str] = set()
    seen: set[int] = set()
    todo = list(own)
    while todo:
        piece = todo.pop(0)
        if id(piece) in seen:
            continue
        seen.add(id(piece))
        path, code = file_of(namespace(piece)), piece.__code__ if isinstance(piece, FunctionType) else None
        if path is not None:
            roots.append(namespace(piece))
            if isinstance(piece, ModuleType) or (read(path).parsed and not (code and code.co_filename[:1] == "<")):
                continue
        around = parts(piece)
        tokens = sorted((name, token(value)) for name, value in around.items())
        typed.append(repr((getattr(piece, "__qualname__", ""), written(code) if code else "", tokens)))
        names |= names_in(code, "IMPORT_NAME") if code else set()
        todo += [each for value in around.values() for each in reached(value) if owner(each) == "user"]
    files = sorted((name, read(path).digest) for path, name in imported(roots, sorted(names)).items())
    return hashlib.sha256(repr((files, sorted(typed))).encode()).hexdigest()
