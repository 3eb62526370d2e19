"""The width of a student, found: the configuration of an ordinary narrower model takes the place of what asked for one."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import torch

from ltb.common.allowed import nearest
from ltb.run import compose, settings
from ltb.run.build import build, target
from ltb.run.settings import Checked
from ltb.run.students import Student
from ltb.training import Training

if TYPE_CHECKING:
    from omegaconf import DictConfig

Width = int | list[int]
ARGUMENTS = ("width", "widths")  # what a width is called, unless `student.argument` names it


def settled(composed: DictConfig, config: Checked) -> tuple[Checked, str]:
    """Return a configuration with its model as wide as the student may be, and the line that says so; "" where none is asked for.

    `config` is `composed` resolved; what is returned has no student, and is what the same width, typed, would come to. The width
    of the widest layer is the largest whose network is within the budget while that of the next is not, up to the task's own; other
    layers of a list are narrower in proportion, see `scaled`. Sizes are taken to grow with the width. Raises
    ValueError for a model without a width and a budget below the narrowest network.
    """
    if not config.get("student"):
        return config, ""
    student = build(compose.check(config), "student", Student)
    argument, own = _argument(config, student.argument)

    def at(width: Width) -> Checked:
        return _with(composed, argument, width)

    torch.set_num_threads(config["threads"])
    usual = _training(at(own))
    budget, taken = student.budget(usual)

    @cache
    def size(units: int) -> float:
        width = scaled(own, units, student.multiple)
        try:
            return student.size(_training(at(width), usual))
        except ValueError as error:
            raise ValueError(
                f"student.multiple={student.multiple}: one whose multiples the model takes; model.{argument}={width}: {error}"
            ) from error

    most = max(_listed(own))
    if student.multiple > most:
        raise ValueError(f"student.multiple={student.multiple}: up to {most}, as model.{argument}={own}")
    units = largest(lambda units: size(units) <= budget, most // student.multiple)
    narrow = scaled(own, max(units, 1), student.multiple)
    said = f"model.{argument}={narrow}"
    if not units:
        raise ValueError(
            f"student.density={student.density}: the narrowest network, {said}, takes {size(1):,.0f} {student.unit}, and the "
            f"pruned one {budget:,.0f}; a higher density"
        )
    found = f"{said}, {size(units):,.0f} of at most {budget:,.0f} {student.unit}"
    pruned = f"what model.{argument}={own} takes {taken}at density {student.density:g}"
    return at(narrow), f"student: {found}, {pruned}"


def scaled(width: Width, units: int, multiple: int = 1) -> Width:
    """Return a width, or those of several layers in proportion, of which the largest is so many `units` of `multiple`.

    The others are rounded to whole units, halves up, and have one at least.

    >>> scaled([300, 100], 50), scaled(16, 5), scaled([300, 100], 6, 8)
    ([50, 17], 5, [48, 16])
    """
    if isinstance(width, int):
        return units * multiple
    most = max(width)
    return [multiple * max(1, (2 * one * units + most) // (2 * most)) for one in width]


def largest(fits: Callable[[int], bool], most: int) -> int:
    """Return a number that fits while the next does not, or `most`, which is not exceeded; 0 where 1 does not fit.

    >>> largest(lambda n: n * n <= 50, 100), largest(lambda n: True, 100), largest(lambda n: False, 100)
    (7, 100, 0)
    """
    low, high = 0, most + 1  # low fits, high does not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _with(composed: DictConfig, argument: str, width: Width) -> Checked:
    """Return a composed configuration resolved, with another width and no student."""
    from omegaconf import OmegaConf, open_dict

    other = copy.deepcopy(composed)
    with open_dict(other):
        other.student = None
        OmegaConf.update(other, f"model.{argument}", width, merge=False)
    return compose.check(settings.resolve(other))


def _training(config: Checked, like: Training | None = None) -> Training:
    """Return the training of a configuration, on the data of another where that is there."""
    arguments, device = compose.trainer(config["trainer"])
    return compose.training(config, like.source if like else compose.source(config, device), arguments, device)


def _argument(config: Checked, named: str | None) -> tuple[str, Width]:
    """Return the name of the model's width, and its value."""
    model = config.get("model")
    if not model:
        raise ValueError("student: it needs a model, whose width is an argument; the module makes its own network")
    called = target(model["_target_"], "model")
    known = {name: one.default for name, one in inspect.signature(called).parameters.items()} | model
    known = {name: value for name, value in known.items() if name != "_target_"}
    found = [name for name in ARGUMENTS if name in known] if named is None else [named]
    name = getattr(called, "__name__", model["_target_"])
    if len(found) != 1:
        there = ", ".join(known)
        lacks = "both of" if found else "neither of"
        raise ValueError(
            f"student.argument=null: {name} has {lacks} {' and '.join(ARGUMENTS)}; the argument that is its width: {there}"
        )
    (argument,) = found
    if argument not in known:
        raise ValueError(f"student.argument={argument!r}: {name} has no such argument; {nearest(argument, known)}")
    value = list(known[argument]) if isinstance(known[argument], tuple) else known[argument]
    if not _listed(value) or not all(type(one) is int and one > 0 for one in _listed(value)):
        raise ValueError(
            f"student.argument={argument!r}: a whole number or a list of them, 1 or more; model.{argument}={value!r}"
        )
    return argument, value


def _listed(width: Width) -> list[int]:
    return width if isinstance(width, list) else [width]
