"""Each file of conf/measure makes the measure of its name, with every field, and says what Python says by default."""

import dataclasses
import importlib
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from ltb import measures
from ltb.core.measure import Evaluate

CONF = Path(__file__).parents[2] / "conf" / "measure"
CLASSES = {cls().name: cls for cls in (Evaluate, *(getattr(measures, name) for name in measures.__all__))}


def test_every_measure_has_a_file():
    assert {file.stem for file in CONF.glob("*.yaml")} >= set(CLASSES)


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_the_file_and_the_class_agree(name):
    metric = {"name": "accuracy", "direction": "max"}
    conf = OmegaConf.create({"measure": OmegaConf.load(CONF / f"{name}.yaml"), "metric": metric})
    fields = OmegaConf.to_container(conf, resolve=True)["measure"]
    module, _, target = fields.pop("_target_").rpartition(".")
    assert getattr(importlib.import_module(module), target) is CLASSES[name]
    assert set(fields) == {field.name for field in dataclasses.fields(CLASSES[name])}
    assert CLASSES[name](**fields) == CLASSES[name]()
    assert hash(CLASSES[name](**fields)) == hash(CLASSES[name]())


@pytest.mark.parametrize("name", sorted(set(CLASSES) - {"evaluate"}))
def test_one_measure_a_file(name):
    assert CLASSES[name].__module__ == f"ltb.measures.{name}"
