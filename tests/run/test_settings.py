"""Plain settings: what is said of a wrong one, what is just inside and outside, and what is read."""

import copy
import subprocess
import sys

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ltb.run.settings import beside, check
from ltb.train import conf

with initialize_config_dir(conf(), version_base="1.3"):
    CONFIG = OmegaConf.to_container(compose("train", ["control=reinit"]), resolve=True)


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


STEP = "iterations as 500it or epochs as 2ep"


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("seed", "a", "a whole number, 0 or more and below 2**63"),
        ("seed", 2**63, "a whole number, 0 or more and below 2**63"),
        ("study", "", "a text, not empty or null"),
        ("study", {"a": 1}, "a text, not empty or null"),
        ("threads", 100_000, "a whole number, 1 to 1024"),
        ("prune_from", "here", "one of previous, dense, start"),
        ("training", 3, "a section of settings: length, evaluate_every, on_divergence"),
        ("training.on_divergence", "ignore", "one of mark, stop"),
        ("training.length", "0it", f"{STEP}, at least 1"),
        ("training.evaluate_every", 0, f"{STEP}, at least 1 or null"),
        ("rewind_step", "5", STEP),
        ("prunable.include", [3], "a list of glob patterns of parameter names or null"),
        ("prunable.exclude", "output.weight", "a list of glob patterns of parameter names"),
        ("metric.tolerance", float("nan"), "a number, 0 or more or std"),
        ("store.dir", "", "a text, not empty"),
        ("store.checkpoint_every", float("inf"), "a number, 0 or more seconds"),
        ("logger", 0, "a section of settings: mode, project, entity, tags, notes, artifacts or null"),
        ("logger.tags", ["a", ""], "a list of texts, not empty"),
        ("protocol.learning_rate", 10**400, "a number, above 0"),
        ("protocol.rate", 1, "a number, between 0 and 1, both excluded"),
        ("protocol.milestones", ["80ep", "ten"], "a list of steps such as 500it or 80ep"),
        ("control", 3, "a section of settings or null"),
    ],
)
def test_what_is_said(key, value, said):
    assert refused(having(key, value)) == f"{key}={value!r}: {said}"


def test_a_key_that_is_nothing_like_one_is_told_all():
    line = refused(having("metric.name", 1, "qqq"))
    assert line.endswith("there is no such setting; there are name, direction, tolerance, tolerance_reason")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 0), ("seed", 2**63 - 1), ("threads", 1), ("metric.tolerance", 0), ("study", None),
        ("metric.tolerance", "std"), ("store.checkpoint_every", 0),
        ("protocol.momentum", 0), ("protocol.rate", 0.999), ("rewind_step", 0), ("rewind_step", "2ep"), ("prunable.include", None),
        ("prunable.include", ["*.weight"]), ("training.evaluate_every", None), ("trainer", {"benchmark": None}), ("control", None),
        ("protocol.layer_rates", {"a": "half"}), ("logger", None), ("logger", {}),
    ],
)  # fmt: skip
def test_just_inside(key, value):
    assert check(having(key, value))


def test_values_are_as_their_types_have_them():
    """So that 0 and 0.0, and 0ep and 0it, are one key of a stage."""
    given = having("protocol.weight_decay", 0)
    given["rewind_step"], given["logger"] = "0ep", {}
    found = check(given)
    assert repr(found["protocol"]["weight_decay"]) == "0.0"
    assert (found["rewind_step"], found["logger"], list(found)) == ("0it", None, list(CONFIG))
    assert check(CONFIG) == CONFIG
    assert check(found) is found  # once is enough


def test_a_key_that_is_missing_is_named():
    config = copy.deepcopy(CONFIG)
    del config["metric"]["tolerance"]
    with pytest.raises(ValueError, match=r"^metric.tolerance is not set; it is a number, 0 or more or std$"):
        check(config)


def test_a_loss_is_better_where_it_is_lower():
    config = having("metric.name", "loss")
    assert refused(config) == "metric.direction='max': a loss is better where it is lower; min with name=loss"


def test_what_is_allowed_is_what_the_parts_take():
    from ltb.core.recipe import SOURCES
    from ltb.store.store import KEPT
    from ltb.tracking.wandb_mirror import MODES
    from ltb.training.bench import DIRECTIONS

    for key, allowed in {
        "prune_from": SOURCES,
        "store.keep": KEPT,
        "logger.mode": MODES,
        "metric.direction": DIRECTIONS,
    }.items():
        assert refused(having(key, "?")) == f"{key}='?': one of {', '.join(allowed)}"


def test_what_is_beside_a_run():
    assert [key for key in CONFIG if beside(key)] == [
        "label", "study", "metric", "measure", "callbacks", "mirrors", "store", "fresh", "progress", "plan", "logger"
    ]  # fmt: skip
    assert beside("store.keep")
    assert beside("training.on_divergence")
    assert not beside("training.length")
    assert not beside("nope")


def test_it_is_checked_without_torch():
    code = "import sys, ltb.run.settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
