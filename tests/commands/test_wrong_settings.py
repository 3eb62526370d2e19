"""Generated wrong settings as a person types them: one line, exit code 2, nothing trained, nothing left behind.

Which values are wrong is what `tests.run.test_keys` says of the annotations; here they go through the whole command.
"""

import copy
import functools
import math
import os
import random

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.hydra import Hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException
from hydra.types import RunMode
from omegaconf.errors import OmegaConfBaseException

from tests.run.test_keys import NEEDED, OPTIONS, VALUES, cases, right

SECTIONS = sorted(set(OPTIONS.values()))


@functools.cache
def wrong(option):
    """Every wrong value of the keys of an option, and of each key a neighbour."""
    config, found = cases(option, OPTIONS[option])
    every = []
    for key, hint in found:
        holds = isinstance(config.get(key), dict) or key.endswith("initialiser")
        values = [value for value in VALUES if not (holds and isinstance(value, dict)) and not right(hint, value)]
        every += [f"{key}={typed(value)}" for value in values] + [f"+{key}{key[-1]}=1"]
    return every


def drawn(draw, count):
    """(option, override), of each group of options alike."""
    for _ in range(count):
        section = draw.choice(SECTIONS)
        option = draw.choice([option for option, filled in OPTIONS.items() if filled == section])
        yield option, draw.choice(wrong(option) or ["+nothing=1"])


def typed(value):
    """A value in Hydra's grammar."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case float() if not math.isfinite(value):
            return str(value)
        case str():
            return f"'{value}'"
        case list():
            return f"[{','.join(map(typed, value))}]"
        case dict():
            return f"{{{','.join(f'{name}: {typed(entry)}' for name, entry in value.items())}}}"
    return repr(value)


@pytest.fixture
def quick(monkeypatch):
    """Hydra composes everything anew, and twice, to learn `hydra.mode` first: half a second. Here once for each option, and
    Hydra applies the wrong setting to a copy of that."""
    load, kept = ConfigLoaderImpl.load_configuration, {}

    def load_configuration(self, config_name, overrides, run_mode, **given):
        *option, setting = overrides or [""]
        if "." not in setting.partition("=")[0]:  # it may name an option
            kept[tuple(overrides)] = load(self, config_name, overrides, run_mode, **given)
            return copy.deepcopy(kept[tuple(overrides)])
        if tuple(option) not in kept:
            kept[tuple(option)] = load(self, config_name, option, run_mode)
        config = copy.deepcopy(kept[tuple(option)])
        try:
            self._apply_overrides_to_config(OverridesParser.create().parse_overrides([setting]), config)
        except OmegaConfBaseException as error:
            raise ConfigCompositionException from error
        config.hydra.overrides.task.append(setting)
        return config

    monkeypatch.setattr(ConfigLoaderImpl, "load_configuration", load_configuration)
    monkeypatch.setattr(Hydra, "get_mode", lambda self, **given: RunMode.RUN)


# LTB_SETTINGS=1000 takes six minutes of a core.
MANY = int(os.environ.get("LTB_SETTINGS", "200"))


@pytest.mark.parametrize("count", [25, pytest.param(MANY, marks=pytest.mark.slow)])
def test_wrong_settings_through_the_whole_command(command, quick, monkeypatch, capsys, count):
    monkeypatch.setattr("ltb.training.fit.Training.fit", None)
    swallowed = []
    for option, override in drawn(random.Random(count), count):
        try:
            result = command(*filter(None, [option]), *NEEDED.get(option, []), override)
            assert (result.code, result.out) == (2, "")
            assert [path for path in command.folder.rglob("*") if path.name != "data"] == []
            # By the very key, or an entry of it.
            assert result.line.startswith(f"ltb: {override.lstrip('+').partition('=')[0]}")
        except Exception as error:  # noqa: BLE001 - all are told, once
            swallowed.append(f"{option} {override}: {error!r}")
    assert not swallowed, "\n".join(swallowed)
    with capsys.disabled():
        print(f"\n{count} wrong settings refused, drawn with the seed {count}")
