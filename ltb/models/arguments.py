"""Checks of the arguments of models; each raises a ``ValueError`` of one line that names ``model.<field>``."""

from __future__ import annotations

from collections.abc import Iterable


def whole(field: str, value: object) -> int:
    """Return ``value``, if it is a whole number of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"model.{field} must be a whole number of at least 1, not {value!r}")
    return value


def wholes(field: str, values: Iterable[object]) -> tuple[int, ...]:
    """Return ``values`` as a tuple, if they are whole numbers of at least 1 (there may be none)."""
    return tuple(whole(field, value) for value in values)


def image_shape(values: Iterable[object], least: int = 1) -> tuple[int, int, int]:
    """Return ``values``, if they are (channels, height, width) with at least ``least`` pixels each way."""
    shape = wholes("shape", values)
    if len(shape) != 3 or min(shape[1:]) < least:
        raise ValueError(
            f"model.shape must be [channels, height, width], height and width at least {least}, not {list(shape)}"
        )
    return shape[0], shape[1], shape[2]


def one_of(field: str, value: int, allowed: Iterable[int]) -> int:
    """Return ``value``, if it is among those allowed."""
    allowed = tuple(allowed)
    if value not in allowed:
        raise ValueError(f"model.{field} must be one of {', '.join(map(str, allowed))}, not {value!r}")
    return value
