"""Every key of every option of conf/ refuses every value that its annotation does not allow, in one line that names it.

Nothing is listed here: keys come from conf/, what is right for each from the annotations of the dataclasses and constructors that
take it, as the small judge below reads them; values are the same for all.
"""

import copy
import dataclasses
import inspect
import math
import types
import typing
from collections import abc
from functools import cache
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ltb.common.allowed import Group, Limits
from ltb.common.step import Step
from ltb.run.build import target
from ltb.run.compose import check as check_sections
from ltb.run.settings import Settings, check
from ltb.train import conf
from ltb.training.lightning import HINTS

VALUES = (
    None, True, 0, 1, -1, 10**30, -(10**30), 0.5, -0.5, math.nan, math.inf, -math.inf, "", "abc", "müller", "1e-3", "5", "0it",
    "3ep", [], [None], [0], ["abc"], [-1, 2], [0.5, 0.75], {}, {"abc": 1},
)  # fmt: skip
# What they set are keys of other groups; a structure is one of allocation=structured, teacher and hints of objective=distil.
BUNDLES = ("task", "method", "experiment", "hydra", "structure", "normalisation", "teacher", "hints")
NEEDED = {f"student={name}": ["student.density=0.1"] for name in ("equal_bytes", "equal_flops")}  # what has no default
TAKEN_AS_GIVEN = ("_target_", "_partial_")


def options():
    """Each option of a group of conf/, and the section that it fills."""
    yield "", ""
    for folder in sorted(Path(conf()).iterdir()):
        if folder.is_dir() and folder.name not in BUNDLES:
            for file in sorted(folder.glob("*.yaml")):
                yield f"{folder.name}={file.stem}", folder.name


@cache
def composed(option):
    with initialize_config_dir(conf(), version_base="1.3"):
        return OmegaConf.to_container(
            compose("train", [option, *NEEDED.get(option, [])] if option else []), resolve=True
        )


def keys(section, hints):
    """(key, annotation) of each entry of a section, as deep as there are annotations."""
    for name, value in section.items():
        if name not in TAKEN_AS_GIVEN:
            hint = hints[name]
            yield name, hint
            below = hints_below(hint, value)
            if isinstance(value, dict) and below:
                yield from ((f"{name}.{key}", found) for key, found in keys(value, below))


def hints_below(hint, value):
    if isinstance(value, dict) and "_target_" in value:
        return hints_of(target(value["_target_"], ""))
    inner = [one for one in (hint, *typing.get_args(hint)) if isinstance(one, type) and issubclass(one, Group)]
    return hints_of(inner[0]) if inner else {}


def hints_of(called):
    if dataclasses.is_dataclass(called):
        return typing.get_type_hints(called, include_extras=True)
    return typing.get_type_hints(inspect.unwrap(called.__init__), include_extras=True)


def right(hint, value):
    """Whether an annotation allows a value, read as plainly as can be."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        limits = [extra for extra in inner[1:] if isinstance(extra, Limits)]
        return right(inner[0], value) and all(within(one, inner[0], value) for one in limits)
    if origin in (typing.Union, types.UnionType):
        sections = [
            one for one in inner if isinstance(one, type) and (issubclass(one, Group) or inspect.isabstract(one))
        ]
        empty = value == {} and type(None) in inner and bool(sections)
        return empty or any(right(one, value) for one in inner)
    if origin is typing.Literal:
        return any(value == one and type(value) is type(one) for one in inner)
    if origin in (tuple, list, abc.Sequence, abc.Iterable):
        if not isinstance(value, list):
            return False
        fixed = origin is tuple and inner[-1] is not ...
        each = inner if fixed else [inner[0]] * len(value)
        return len(each) == len(value) and all(map(right, each, value))
    if origin is abc.Mapping:
        return isinstance(value, dict) and all(right(inner[1], entry) for entry in value.values())
    if hint is typing.Any:
        return not isinstance(value, float) or math.isfinite(value)
    if hint is Step:
        return (value == 0 and type(value) is int) or (
            isinstance(value, str) and value.endswith(("it", "ep")) and value[0].isdigit()
        )
    if hint is float:
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is hint if hint in (int, str, bool, type(None)) else False


def within(limits, kind, value):
    if kind is Step:
        value = int(value[:-2]) if isinstance(value, str) else value
    size = value if isinstance(value, int | float) else len(value)
    return limits.least <= size < limits.below and size > limits.above


def changed(config, key, value, *, remove=False, name=None):
    config = copy.deepcopy(config)
    *above, last = key.split(".")
    section = config
    for part in above:
        section = section[part]
    if remove:
        del section[last]
    else:
        section[name or last] = value
    return config


def line(config):
    """What is said of a configuration; None where nothing is wrong with it."""
    try:
        check_sections(check(config))
    except ValueError as error:
        (said,) = str(error).splitlines()
        return said
    return None


def cases(option, section):
    config = composed(option)
    if section == "trainer":
        found = [(f"trainer.{name}", HINTS[name]) for name in config["trainer"]]
    elif section == "measure":
        (measure,) = config["measure"]
        found = list(keys({"measure": config["measure"]}, {"measure": None}))[1:]
        below = hints_below(None, config["measure"][measure])
        found = [(f"measure.{measure}.{key}", hint) for key, hint in keys(config["measure"][measure], below)]
    else:
        every = keys(config, hints_of(Settings))
        found = [(key, hint) for key, hint in every if not section or key.startswith(f"{section}.")]
    return config, found


OPTIONS = dict(options())


@pytest.mark.parametrize("option", OPTIONS)
def test_each_key_takes_what_its_annotation_allows_and_nothing_else(option):
    config, found = cases(option, OPTIONS[option])
    assert line(config) is None
    for key, hint in found:
        assert hint not in (typing.Any, object), f"{key} says nothing of what it takes"
        section = isinstance(config.get(key), dict) or key.split(".")[-1] in ("initialiser", "normalisation")
        for value in VALUES:
            if section and isinstance(value, dict):
                continue  # what a section holds has keys of its own
            said = line(changed(config, key, value))
            if right(hint, value) and said is None:
                continue
            assert said is not None, f"{option} {key}={value!r} was taken"
            assert said.startswith(f"{key}"), said
            assert repr(value) in said or (not right(hint, value) and str(value) in said), said


@pytest.mark.parametrize("option", OPTIONS)
def test_each_key_is_told_from_its_misspelt_neighbour(option):
    config, found = cases(option, OPTIONS[option])
    for key, _ in found:
        last = key.rpartition(".")[2]
        wrong = f"{last}{last[-1]}"
        said = line(changed(config, key, 1, name=wrong))
        assert said is not None, f"{key}{last[-1]} was taken"
        assert said.startswith(f"{key}{last[-1]}=1: "), said
        assert last in said
