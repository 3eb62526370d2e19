"""Pieces of code: the classes and functions that something is put together from, takes from around it, or brings in."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from types import FunctionType, MethodType, ModuleType
from typing import Any

from ltb.store.typed_code import names_in

_NOT_PARTS = {
    "__module__",
    "__doc__",
    "__dict__",
    "__weakref__",
    "__annotations__",
    "__firstlineno__",
    "__static_attributes__",
}


def pieces(thing: Any) -> list[Any]:
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


def parts(piece: Any) -> dict[str, Any]:
    """Return what a function takes from around it, or what a class holds, by name."""
    if isinstance(piece, type):
        return {name: value for name, value in vars(piece).items() if name not in _NOT_PARTS}
    if not isinstance(piece, FunctionType):
        return {}
    given = {"__defaults__": piece.__defaults__, "__kwdefaults__": piece.__kwdefaults__}
    loaded = names_in(piece.__code__, "LOAD_GLOBAL", "LOAD_NAME")
    return given | {name: piece.__globals__[name] for name in loaded if name in piece.__globals__}


def reached(value: Any) -> list[Any]:
    """Return the classes, functions or modules that a value brings in: itself, what it wraps, or its class."""
    if isinstance(value, ModuleType):
        return [value]
    if isinstance(value, property):
        return [function for function in (value.fget, value.fset, value.fdel) if function is not None]
    if isinstance(value, functools.cached_property | functools.partialmethod):
        value = value.func
    return pieces(getattr(value, "__func__", value)) or pieces(type(value))
