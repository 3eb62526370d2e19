"""Annotations that say what is allowed: the types and ranges of settings, said once, where constructors and dataclasses take them.

``rate: Annotated[float, Limits("between 0 and 1, both excluded", above=0, below=1)]`` says what `rate` may be, to who builds it
from a configuration and to who calls it. `read` is the one rule. An annotation that is not known here allows anything.
Standard library only: a wrong setting is told before torch is imported.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import inspect
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Union

from ltb.common.hints import hints_of
from ltb.common.step import Step

# (annotation, section of a configuration, key) -> what it stands for: how nested sections are read. `Misfit` where it cannot.
Section = Callable[[Any, Mapping[str, Any], str], Any]


class Misfit(Exception):
    """A value that an annotation does not allow; `read` says it with the key."""


@dataclass(frozen=True)
class Limits:
    """For Annotated: a number, a step's count, or the length of a text or list is `least` or more, above `above` and below
    `below`; messages say `said`."""

    said: str
    least: float = -math.inf
    above: float = -math.inf
    below: float = math.inf

    def hold(self, value: Any) -> bool:
        """Return whether a value of the annotated type is within."""
        match value:
            case int() | float():
                size = value
            case Step():
                size = value.count
            case _:
                size = len(value)
        return self.least <= size < self.below and size > self.above


@dataclass(frozen=True)
class Group:
    """A base of groups of plain settings: a mapping in a configuration, each entry a field, without a ``_target_``."""


@dataclass(frozen=True)
class Later:
    """For Annotated: a section whose entries are read where it is known what they are for, by what its ``_target_`` takes."""


Text = Annotated[str, Limits("not empty", least=1)]
Fraction = Annotated[float, Limits("between 0 and 1, both excluded", above=0, below=1)]
Positive = Annotated[float, Limits("above 0", above=0)]
NotNegative = Annotated[float, Limits("0 or more", least=0)]
Count = Annotated[int, Limits("1 or more and below 2**31", least=1, below=2**31)]
CountFromZero = Annotated[int, Limits("0 or more and below 2**31", least=0, below=2**31)]
Rounds = Annotated[int, Limits("1 to 1000", least=1, below=1001)]
Seed = Annotated[int, Limits("0 or more and below 2**63", least=0, below=2**63)]
Split = Literal["train", "val", "test"]

PLAIN: Mapping[Any, tuple[str, str]] = {
    bool: ("true or false", "true or false"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("a text", "texts"),
    Path: ("a text", "texts"),
    Step: ("iterations as 500it or epochs as 2ep", "steps such as 500it or 80ep"),
    type(None): ("null", "nulls"),
}
LISTS = (list, tuple, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def read(hint: Any, value: Any, key: str, section: Section | None = None) -> Any:
    """Return `value` as its annotation has it: a whole number for a float as a float, a list for a tuple as a tuple, ``2ep`` for
    a Step as one. `section` reads a nested mapping where a class is wanted.

    Raises ValueError, ``key=value: what is allowed``, for another type or a value out of its range.

    >>> read(tuple[float, ...], [1, 0.5], "betas"), read(Step | None, "2ep", "length")
    ((1.0, 0.5), Step(count=2, unit='ep'))
    """
    try:
        return _read(hint, value, key, section)
    except Misfit:
        # A section is known by what it names; what else it holds may be long, or a secret.
        named = isinstance(value, Mapping) and "_target_" in value
        shown = f"{key}._target_={value['_target_']}" if named else f"{key}={value!r}"
        raise ValueError(f"{shown}: {said(hint)}") from None


def settle(instance: Any, group: str) -> None:
    """Read each field of a frozen dataclass by its annotation: for a ``__post_init__``. Raises ValueError, as `read` does."""
    hints = hints_of(type(instance))
    for field in dataclasses.fields(instance):
        value = read(hints[field.name], getattr(instance, field.name), f"{group}.{field.name}")
        object.__setattr__(instance, field.name, value)


def checked(group: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate an ``__init__`` whose arguments are read by their annotations, as `settle` does for a dataclass."""

    def decorate(init: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(init)

        @functools.wraps(init)
        def reading(self: Any, *given: Any, **named: Any) -> None:
            bound, hints = signature.bind(self, *given, **named), hints_of(type(self))
            for name in list(bound.arguments)[1:]:
                bound.arguments[name] = read(hints.get(name, Any), bound.arguments[name], f"{group}.{name}")
            init(*bound.args, **bound.kwargs)

        return reading

    return decorate


def nearest(name: str, known: Iterable[str]) -> str:
    """Return what to say of a name that is not known: the nearest that is, or all."""
    known = list(known)
    found = get_close_matches(name, known, n=1)
    return f"the nearest is {found[0]}" if found else f"there are {', '.join(known) or 'none'}"


def plain(value: Any) -> Any:
    """Return what `read` gave as plain data for a file or a key: steps as texts, tuples as lists, dataclasses as mappings."""
    if isinstance(value, Step | Path):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(entry) for key, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, list | tuple) else value


def said(hint: Any) -> str:
    """Return what an annotation allows, in words.

    >>> said(Fraction | None), said(tuple[int, ...]), said(Literal["max", "min"])
    ('a number, between 0 and 1, both excluded or null', 'a list of whole numbers', 'one of max, min')
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint in PLAIN:
        return PLAIN[hint][0]
    if origin is Annotated:
        words = [extra for extra in inner[1:] if isinstance(extra, str)] or [said(inner[0])]
        return ", ".join([*words, *(extra.said for extra in inner[1:] if isinstance(extra, Limits))])
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(said, sorted(inner, key=lambda one: one is type(None)))))
    if origin is Literal:
        return f"one of {', '.join(map(str, inner))}" if len(inner) > 1 else str(inner[0])
    if origin in LISTS or hint in LISTS:
        return _said_list(inner)
    if origin in MAPPINGS or hint in MAPPINGS:
        return "a section of settings"
    if is_group(hint):
        return f"a section of settings: {', '.join(field.name for field in dataclasses.fields(hint))}"
    if is_class(hint):
        return f"a section with a _target_ that makes {hint.__name__}"
    return "a section with a _target_ that is to be called" if origin is collections.abc.Callable else "a finite value"


def _said_list(inner: tuple[Any, ...]) -> str:
    entries = [one for one in inner if one is not ...]
    count = f"{len(entries)} " if entries and ... not in inner and len(entries) > 1 else ""
    return f"a list of {count}{_several(entries[0])}" if entries and _several(entries[0]) else "a list"


def _several(hint: Any) -> str:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return ", ".join([_several(inner[0]), *(extra.said for extra in inner[1:] if isinstance(extra, Limits))])
    if origin in (Union, types.UnionType):
        return next(filter(None, map(_several, inner)), "")
    return f"{', '.join(map(str, inner))}" if origin is Literal else PLAIN.get(hint, ("", ""))[1]


def _read(hint: Any, value: Any, key: str, section: Section | None) -> Any:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if (hint in PLAIN or origin in LISTS + MAPPINGS) and section and isinstance(value, Mapping) and "_target_" in value:
        return section(origin or hint, value, key)  # what makes the value
    if hint in PLAIN:
        return _plain_value(hint, value)
    if origin is Annotated:
        later = isinstance(value, Mapping) and any(isinstance(extra, Later) for extra in inner[1:])
        found = value if later else _read(inner[0], value, key, section)
        if not all(extra.hold(found) for extra in inner[1:] if isinstance(extra, Limits)):
            raise Misfit
        return found
    if origin in (Union, types.UnionType):
        return _one_of(inner, value, key, section)
    if origin is Literal:
        if not any(type(value) is type(one) and value == one for one in inner):
            raise Misfit
        return value
    if origin in LISTS or hint in LISTS:
        return _list(origin or hint, inner, value, key, section)
    if origin in MAPPINGS or hint in MAPPINGS:
        return _mapping(inner[1] if inner else Any, value, key, section)
    if is_group(hint):
        if not isinstance(value, Mapping):
            raise Misfit
        return read_group(hint, value, key)
    if is_class(hint) or origin is collections.abc.Callable:
        return _instance(hint, value, key, section)
    return _anything(value, key, section)


def _plain_value(kind: Any, value: Any) -> Any:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if kind is Step and value is not None:
        try:
            return Step.parse(value)
        except ValueError:
            raise Misfit from None
    if kind is float and whole:
        try:
            return float(value)
        except OverflowError:
            raise Misfit from None
    fits = whole if kind is int else isinstance(value, str | Path) if kind is Path else type(value) is kind
    if not fits or (isinstance(value, float) and not math.isfinite(value)):
        raise Misfit
    return value


def _one_of(hints: tuple[Any, ...], value: Any, key: str, section: Section | None) -> Any:
    """By the first that takes the value as it is, else by the first that takes it; an empty group or section is null."""
    of_plain = {*PLAIN, *LISTS, *MAPPINGS}
    if value == {} and type(None) in hints and any(is_class(hint) and hint not in of_plain for hint in hints):
        return None
    found = []
    for hint in hints:
        with suppress(Misfit):
            found.append(_read(hint, value, key, section))
        if found and isinstance(value, Mapping):
            break  # reading a section may make something, and that once
    if not found:
        raise Misfit
    return next((one for one in found if type(one) is type(value)), found[0])


def _list(kind: Any, inner: tuple[Any, ...], value: Any, key: str, section: Section | None) -> Any:
    if isinstance(value, str) or not isinstance(value, collections.abc.Sequence):
        raise Misfit
    if kind is tuple and inner and inner[-1] is not ...:
        if len(inner) != len(value):
            raise Misfit
        return tuple(
            _read(hint, entry, f"{key}[{i}]", section) for i, (hint, entry) in enumerate(zip(inner, value, strict=True))
        )
    found = [_read(inner[0] if inner else Any, entry, f"{key}[{i}]", section) for i, entry in enumerate(value)]
    return found if kind is list else tuple(found)


def _mapping(hint: Any, value: Any, key: str, section: Section | None) -> Any:
    if not isinstance(value, Mapping):
        raise Misfit
    return {name: read(hint, entry, f"{key}.{name}", section) for name, entry in value.items()}


def _instance(hint: Any, value: Any, key: str, section: Section | None) -> Any:
    if section is not None and isinstance(value, Mapping):
        return section(hint, value, key)
    kind = typing.get_origin(hint) or hint
    try:
        fits = isinstance(value, kind)
    except TypeError:  # a protocol without methods to look for
        fits = not isinstance(value, bool | int | float | str | list | tuple | None)
    if not fits:
        raise Misfit
    return value


def _anything(value: Any, key: str, section: Section | None) -> Any:
    if isinstance(value, Mapping):
        return section(Any, value, key) if section else _mapping(Any, value, key, None)
    if isinstance(value, list | tuple):
        return type(value)(read(Any, entry, f"{key}[{i}]", section) for i, entry in enumerate(value))
    if isinstance(value, float) and not math.isfinite(value):
        raise Misfit
    return value


def is_class(hint: Any) -> bool:
    """Return whether an annotation is a class that says something of its values."""
    return isinstance(hint, type) and hint not in (object, Any)


def is_group(hint: Any) -> bool:
    """Return whether an annotation is a `Group`."""
    return isinstance(hint, type) and issubclass(hint, Group)


def check_names(kind: type[Any], config: Mapping[Any, Any], key: str) -> None:
    """Raise ValueError for an entry of a section that the `Group` `kind` does not have, and for one that it must have."""
    known, path = {field.name: field for field in dataclasses.fields(kind)}, f"{key}." if key else ""
    for name in config:
        if name not in known:
            raise ValueError(f"{path}{name}={config[name]!r}: there is no such setting; {nearest(str(name), known)}")
    absent = [name for name, one in known.items() if name not in config and one.default is dataclasses.MISSING]
    if absent:
        raise ValueError(f"{path}{absent[0]} is not set; it is {said(hints_of(kind)[absent[0]])}")


def read_group(kind: type[Any], config: Mapping[Any, Any], key: str) -> Any:
    """Return the `Group` `kind` with the settings of a section, each read by its annotation.

    Raises ValueError, as `check_names` does, for a value that is not allowed, and for what the class itself refuses.
    """
    check_names(kind, config, key)
    hints, path = hints_of(kind), f"{key}." if key else ""
    found = {name: read(hints[name], value, path + name) for name, value in config.items()}
    try:
        return kind(**found)
    except ValueError as error:
        raise ValueError(f"{path}{error}") from None
