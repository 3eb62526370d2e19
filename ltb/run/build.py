"""From a resolved configuration (plain dicts) to objects, with errors that name the key, the value and what is allowed."""

from __future__ import annotations

import dataclasses
import inspect
import logging
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from types import ModuleType
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from ltb.common.allowed import Misfit, is_class, nearest, plain, read
from ltb.common.hints import hints_of
from ltb.run.settings import Settings

Config = Mapping[str, Any]

logging.getLogger("hydra.utils").setLevel(logging.CRITICAL)  # it logs what it raises as well

SECTIONS = tuple(field.name for field in dataclasses.fields(Settings))
OWN = ("_target_", "_partial_")  # Hydra's own entries of a section


class Late(partial[Any]):
    """A partial function, as ``_partial_`` makes one, whose errors name its section."""

    key: str

    def __call__(self, /, *given: Any, **named: Any) -> Any:
        with _named(self.key, self.keywords):
            return super().__call__(*given, **named)


def check(node: Any, key: str, kind: Any = Any) -> Any:
    """Return a section as the constructors that its ``_target_``s name have its values, in plain data; makes nothing.

    Every ``_target_`` must exist, take what it is given and need no more, and be a `kind`. Raises ValueError, for one line.
    """
    return plain(read(kind, node, key, _checked)) if _described(node, key) else None


def build(config: Config, key: str, kind: Any = Any) -> Any:
    """Return what ``config[key]`` describes, a `kind`; None where it describes nothing. Raises ValueError, as `check` does,
    and for what the class itself refuses."""
    node = config.get(key)
    if not _described(node, key):
        return None
    check(node, key, kind)  # all of it, before anything is called
    return read(kind, node, key, partial(_made, config))


def _described(node: Any, key: str) -> bool:
    if not node and node in (None, {}):
        return False
    if not isinstance(node, Mapping) or "_target_" not in node:
        none = f"; {key}=none takes no settings" if isinstance(node, Mapping) else ""
        raise ValueError(f"{key}={node!r}: it must have a _target_, the class to make{none}")
    return True


def _checked(hint: Any, node: Mapping[str, Any], key: str) -> Any:
    _, arguments = _call(hint, node, key, _checked)
    return {**{name: node[name] for name in OWN if name in node}, **arguments}


def _made(config: Config, hint: Any, node: Mapping[str, Any], key: str) -> Any:
    called, arguments = _call(hint, node, key, partial(_made, config))
    # What the module is given was written in a section of its own.
    key = next((name for name in SECTIONS if config.get(name) == node), key)
    if called is None:
        return arguments
    if node.get("_partial_"):
        made = Late(called, **arguments)
        made.key = key
        return made
    if getattr(getattr(called, "__dataclass_params__", None), "frozen", False):  # its fields are compared and hashed
        arguments = {name: _tuples(value) for name, value in arguments.items()}
    with _named(key, arguments):
        return called(**arguments)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _call(hint: Any, node: Mapping[str, Any], key: str, section: Any) -> tuple[Any, dict[str, Any]]:
    """Return what a section calls, None for one without a ``_target_``, and its arguments, as annotations have them."""
    given = {name: value for name, value in node.items() if name not in OWN}
    if "_target_" not in node:
        if hint is not Any:
            raise Misfit
        return None, {name: read(Any, value, f"{key}.{name}", section) for name, value in given.items()}
    called = target(node["_target_"], key)
    partially = read(bool, node.get("_partial_", False), f"{key}._partial_")
    if is_class(hint) and inspect.isclass(called) and not partially and not issubclass(called, hint):
        raise Misfit
    name = getattr(called, "__name__", str(node["_target_"]))
    try:
        parameters = inspect.signature(called).parameters
    except (ValueError, TypeError):  # one that does not tell its arguments
        return called, {one: read(Any, value, f"{key}.{one}", section) for one, value in given.items()}
    known = [one for one, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    further = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for one, value in given.items():
        if one not in known and not further:
            raise ValueError(f"{key}.{one}={value!r}: {name} has no such setting; {nearest(one, known)}")
    absent = [one for one in known if parameters[one].default is inspect.Parameter.empty and one not in given]
    if absent and not partially:
        raise ValueError(f"{key}: {name} needs {', '.join(absent)}")
    hints = hints_of(called)
    return called, {one: read(hints.get(one, Any), value, f"{key}.{one}", section) for one, value in given.items()}


@cache
def _located(target: str, module: ModuleType | None) -> Callable[..., Any]:
    """Return what `target` names, as its module, of that name, stands now."""
    # Hydra's own way from a name to what it names: it refuses those that run commands.
    found: partial[Any] = instantiate({"_target_": target, "_partial_": True})
    return found if found.args or found.keywords else found.func  # what it names may be a partial function itself


def target(named: Any, key: str) -> Callable[..., Any]:
    """Return what a ``_target_`` names. Raises ValueError, with the key of its section, where there is no such thing."""
    try:
        module = sys.modules.get(str(named).rpartition(".")[0])
        return _located(named, module) if module else _located.__wrapped__(named, None)
    except Exception as error:  # noqa: BLE001 - whatever importing a module may raise
        cause: BaseException = (
            error.__cause__ if isinstance(error, InstantiationException) and error.__cause__ else error
        )
        raise ValueError(f"{key}._target_={named}: {' '.join(str(cause).split())}") from None


@contextmanager
def _named(key: str, arguments: Mapping[str, Any]) -> Iterator[None]:
    """Turn whatever a class raises into a ValueError of one line with the key of its section before it, if it has none."""
    try:
        yield
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        said = re.match(r"(\w+)[.=:\[]", text)
        if isinstance(error, ValueError) and said and said[1] in (*SECTIONS, key.partition(".")[0]):
            if text == str(error):
                raise
            raise ValueError(text) from error
        meant = [name for name in arguments if re.search(rf"\b{name}\b", text)]
        where = f"{key}.{meant[0]}={arguments[meant[0]]!r}" if meant else key
        raise ValueError(f"{where}: {text}") from error
