"""What the annotations of a class or function say, read in the names of the modules that they were written in."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
import types
import typing
from collections.abc import Mapping
from typing import Any


def hints_of(called: Any) -> Mapping[str, Any]:
    """Return the annotation of each argument of a class or function; Any for one that cannot be read where it was written."""
    return _hints(called)


@functools.cache
def _hints(called: Any) -> Mapping[str, Any]:
    if not (isinstance(called, type) and dataclasses.is_dataclass(called)):
        function = inspect.unwrap(getattr(called, "__init__") if isinstance(called, type) else called)  # noqa: B009
        written, module = getattr(function, "__annotations__", {}), getattr(function, "__module__", "")
        return {name: _evaluated(hint, module)[0] for name, hint in written.items()}
    found: dict[str, Any] = {}
    # Class by class: each in the names of its own module, which a subclass elsewhere has not imported.
    for base in reversed(called.__mro__):
        for name, written in vars(base).get("__annotations__", {}).items():
            hint, bare = _evaluated(written, base.__module__)
            kept = found.get(name)
            # A subclass that gives a field another default, and says its type again, keeps the base's range.
            if hint is Any or bare != hint or kept is None or _bare(kept) != bare:
                found[name] = hint
    return found


def _evaluated(hint: Any, module: str) -> tuple[Any, Any]:
    """An annotation as written in a module, and without what is `Annotated`; Any where it cannot be read."""
    holder = types.SimpleNamespace(__annotations__={"it": hint})
    names = vars(sys.modules[module]) if module in sys.modules else {}
    try:
        found = typing.get_type_hints(holder, names, include_extras=True)["it"]
    except Exception:  # noqa: BLE001 - a name that only type checkers import, or anything else that an annotation may hold
        return Any, Any
    return found, _bare(found)


def _bare(hint: Any) -> Any:
    return typing.get_type_hints(types.SimpleNamespace(__annotations__={"it": hint}), {})["it"]
