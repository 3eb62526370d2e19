"""Each plain setting refuses another type, a number that is none, and a name that is nearly its own, in one line."""

import copy
import math
import subprocess
import sys

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ltb.core.step import Step
from ltb.run.settings import Logger, Metric, Settings, Store, check
from ltb.train import conf

with initialize_config_dir(conf(), version_base="1.3"):
    CONFIG = OmegaConf.to_container(compose("train", ["control=reinit"]), resolve=True)

SECTION = "a section of settings"
BOOL = "true or false"
STEP = "iterations as 500it or epochs as 2ep"
PATTERNS = "a list of glob patterns of parameter names"
# Key -> what is allowed. Every value below that is not of this kind is refused with these words.
SAID = {
    "method": "a text",
    "study": "a text or null",
    "seed": "a whole number, 0 or more and below 2**63",
    "salt": "a text or null",
    "measure": SECTION,
    "rewind_step": STEP,
    "prune_from": "one of previous, dense, start",
    "training": "a section of settings: length, evaluate_every",
    "training.length": f"{STEP}, at least 1",
    "training.evaluate_every": f"{STEP}, at least 1 or null",
    "prunable": "a section of settings: include, exclude, embeddings",
    "prunable.include": f"{PATTERNS} or null",
    "prunable.exclude": PATTERNS,
    "prunable.embeddings": BOOL,
    "metric": "a section of settings: name, direction, tolerance",
    "metric.name": "a text",
    "metric.direction": "one of max, min",
    "metric.tolerance": "a number, 0 or more",
    "runs": "a text",
    "store": "a section of settings: dir, keep, checkpoint_every",
    "store.dir": "a text",
    "store.keep": "one of all, tickets, ledger",
    "store.checkpoint_every": "a number, 0 or more seconds",
    "fresh": BOOL,
    "threads": "a whole number, 1 or more",
    "progress": BOOL,
    "plan": BOOL,
    "logger": "a section of settings: mode, project, entity, tags, artifacts",
    "logger.mode": "one of auto, online, offline",
    "logger.project": "a text",
    "logger.entity": "a text or null",
    "logger.tags": "a list of texts",
    "logger.artifacts": BOOL,
    "trainer": SECTION,
    "protocol": "a section of settings: batch_size, augment, learning_rate, milestones, warmup, momentum, weight_decay, rate, "
    "layer_rates, rewind_step",
    "protocol.batch_size": "a whole number, 1 or more",
    "protocol.augment": BOOL,
    "protocol.learning_rate": "a number, above 0",
    "protocol.milestones": "a list of steps such as [500it] or [80ep, 120ep]",
    "protocol.warmup": STEP,
    "protocol.momentum": "a number, 0 or more and below 1",
    "protocol.weight_decay": "a number, 0 or more",
    "protocol.rate": "a number, between 0 and 1, both excluded",
    "protocol.layer_rates": SECTION,
    "protocol.rewind_step": STEP,
    "data": SECTION,
    "module": SECTION,
    **dict.fromkeys(
        ("model", "optimizer", "lr", "schedule", "criterion", "allocation", "rewind", "control", "execution"),
        f"{SECTION} or null",
    ),
}


def having(key, value, name=None):
    """The configuration with one key changed, or with another of this `name` beside it."""
    config = copy.deepcopy(CONFIG)
    *above, last = key.split(".")
    section = config
    for part in above:
        section = section[part]
    section[name or last] = value
    return config


def refused(config):
    with pytest.raises(ValueError, match="=") as told:
        check(config)
    (line,) = str(told.value).splitlines()
    return line


def test_the_table_has_every_key():
    sections = ("training", "prunable", "metric", "store", "logger", "protocol")
    assert set(SAID) == {*CONFIG, *(f"{section}.{key}" for section in sections for key in CONFIG[section])}


NOTHING = (object, 1.5 + 2j, math.nan, math.inf, -math.inf, -1, -0.5, ["x", 1])


@pytest.mark.parametrize("key", SAID)
def test_no_key_takes_what_is_nothing(key):
    for value in NOTHING:
        assert refused(having(key, value)) == f"{key}={value!r}: {SAID[key]}"


# Value -> a word in what is said of the keys that it is of the type of.
TYPES = ((True, BOOL), (5, "number"), ("a", "a text"), ("", "no key"), ([5], "no key"), ({}, SECTION), (None, "null"))


@pytest.mark.parametrize("key", SAID)
def test_no_key_takes_another_type(key):
    for value, word in TYPES:
        if word not in SAID[key] and not (key == "logger" and value is None):
            assert refused(having(key, value)) == f"{key}={value!r}: {SAID[key]}"


@pytest.mark.parametrize("key", SAID)
def test_a_key_that_is_nearly_right_is_told_what_it_would_be(key):
    *above, last = key.split(".")
    wrong = f"{last[:-1]}{last[-1] * 2}"
    line = refused(having(key, 1, wrong))
    assert line == f"{'.'.join([*above, wrong])}=1: there is no such setting; the nearest is {last}"


def test_a_key_that_is_nothing_like_one_is_told_all():
    assert refused(having("metric.name", 1, "qqq")).endswith(
        "there is no such setting; there are name, direction, tolerance"
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 2**63), ("threads", 0), ("protocol.batch_size", 0), ("protocol.learning_rate", 0), ("protocol.rate", 0),
        ("protocol.rate", 1), ("protocol.momentum", 1), ("training.length", "0it"), ("training.length", 0),
        ("training.evaluate_every", "0ep"), ("rewind_step", "5"), ("protocol.milestones", ["80ep", "ten"]),
        ("logger.tags", ["a", ""]), ("logger.tags", "a"), ("prunable.exclude", None), ("logger", 0), ("logger", []),
    ],
)  # fmt: skip
def test_just_outside(key, value):
    assert refused(having(key, value)) == f"{key}={value!r}: {SAID[key]}"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 0), ("seed", 2**63 - 1), ("threads", 1), ("metric.tolerance", 0), ("store.checkpoint_every", 0), ("study", None),
        ("protocol.momentum", 0), ("protocol.rate", 0.999), ("rewind_step", 0), ("rewind_step", "2ep"), ("prunable.include", None),
        ("prunable.include", ["*.weight"]), ("training.evaluate_every", None), ("trainer", {"max_time": None}), ("control", None),
        ("protocol.layer_rates", {"a": "half"}), ("protocol.learning_rate", 10**400),
    ],
)  # fmt: skip
def test_just_inside(key, value):
    assert check(having(key, value))


def test_the_values_are_read():
    found = check(having("protocol.milestones", ["80ep", "120ep"]))
    assert isinstance(found, Settings)
    assert (found.seed, found.rewind_step, found.training.length, found.study) == (0, Step(0), Step(2000), None)
    assert found.metric == Metric("accuracy", "max", 0.01)
    assert found.store == Store("runs/store", "all", 60)
    assert found.logger == Logger("auto", "ltb", None, (), artifacts=False)
    assert found.protocol.milestones == (Step(80, "ep"), Step(120, "ep"))


@pytest.mark.parametrize("none", [None, {}])
def test_no_logger(none):
    assert check(having("logger", none)).logger is None


def test_a_key_that_is_missing_is_named():
    config = copy.deepcopy(CONFIG)
    del config["metric"]["tolerance"]
    with pytest.raises(ValueError, match=r"^metric.tolerance is not set$"):
        check(config)


def test_what_is_allowed_is_what_the_parts_take():
    from ltb.core.recipe import SOURCES
    from ltb.store.store import KEPT
    from ltb.tracking.wandb_mirror import MODES
    from ltb.training.fit import DIRECTIONS

    for key, allowed in {
        "prune_from": SOURCES,
        "store.keep": KEPT,
        "logger.mode": MODES,
        "metric.direction": DIRECTIONS,
    }.items():
        assert SAID[key] == f"one of {', '.join(allowed)}"


def test_it_is_checked_without_torch():
    code = "import sys, ltb.run.settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
