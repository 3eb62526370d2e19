"""From a resolved configuration (plain dicts) to objects, with errors that name the key, the value and what is allowed."""

from __future__ import annotations

import inspect
import logging
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate

Config = Mapping[str, Any]

logging.getLogger("hydra.utils").setLevel(logging.CRITICAL)  # it logs what it raises as well

LISTS = (list, tuple, Sequence)
PLAIN: Mapping[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list",
    type(None): "null",
}


def build(config: Config, key: str, **given: Any) -> Any:
    """What ``config[key]`` describes, with `given` as further arguments; None where it describes nothing.

    Before anything is called, each ``_target_`` must exist and take the arguments it is given, and plain values must
    have the type that it asks for: a misspelt argument of a partial function would otherwise pass until its first call.
    Raises ValueError.
    """
    node = config.get(key)
    if not node:
        return None
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise ValueError(f"{key}={node!r}: it must have a _target_, the class to make")
    _check(node, key, tuple(given))
    try:
        return instantiate(node, **given, _convert_="all")
    except InstantiationException as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        text = " ".join(str(cause).split())
        if isinstance(cause, ValueError):
            raise ValueError(text) from cause
        raise ValueError(f"{key}: {text}") from cause


def _check(node: Any, path: str, given: tuple[str, ...] = ()) -> None:
    if isinstance(node, list):
        for index, entry in enumerate(node):
            _check(entry, f"{path}[{index}]")
    if not isinstance(node, Mapping):
        return
    arguments = {name: value for name, value in node.items() if not (name.startswith("_") and name.endswith("_"))}
    for name, value in arguments.items():
        _check(value, f"{path}.{name}")
    if "_target_" in node:
        _check_call(node["_target_"], arguments, path, given, partial=bool(node.get("_partial_")))


def _check_call(target: str, arguments: Mapping[str, Any], path: str, given: tuple[str, ...], *, partial: bool) -> None:
    try:
        called = get_object(target)
        signature = inspect.signature(called)
        hints = typing.get_type_hints(called.__init__ if inspect.isclass(called) else called)
    except (InstantiationException, ImportError, AttributeError) as error:
        raise ValueError(f"{path}._target_={target}: {' '.join(str(error).split())}") from None
    except (ValueError, TypeError, NameError):
        return  # a callable that does not tell its arguments
    parameters = signature.parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    names = [name for name, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    short = target.rsplit(".", 1)[-1]
    for name, value in arguments.items():
        if name not in parameters:
            if open_ended:
                continue
            raise ValueError(f"{path}.{name}: {short} has no such setting; it takes {', '.join(names) or 'none'}")
        _check_type(value, hints.get(name), f"{path}.{name}")
    required = [n for n in names if parameters[n].default is inspect.Parameter.empty]
    absent = [name for name in required if name not in arguments and name not in given]
    if absent and not partial:
        raise ValueError(f"{path}: {short} needs {', '.join(absent)}")


def _check_type(value: Any, hint: Any, path: str) -> None:
    allowed = (
        typing.get_args(hint)
        if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
        else (hint,)
    )
    allowed = tuple(list if typing.get_origin(kind) in LISTS else kind for kind in allowed)
    if not all(kind in PLAIN for kind in allowed) or isinstance(value, Mapping):
        return
    fits = type(value) in allowed or (float in allowed and type(value) is int)
    if not fits:
        raise ValueError(f"{path}={value!r}: {' or '.join(dict.fromkeys(PLAIN[kind] for kind in allowed))} is wanted")
