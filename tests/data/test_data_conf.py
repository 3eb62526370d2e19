"""Each file of conf/data makes the dataset of its name, with every field, and says what Python says by default."""

import dataclasses
import importlib
from pathlib import Path

import pytest
from omegaconf import OmegaConf

CONF = Path(__file__).parents[2] / "conf" / "data"
NAMES = {"mnist1d", "digits", "fashion_mnist", "mnist", "kmnist", "cifar10", "cifar100", "imagenet", "noise"}


def test_there_is_a_file_for_each_dataset():
    assert {file.stem for file in CONF.glob("*.yaml")} == NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_the_file_and_the_class_agree(name, monkeypatch):
    monkeypatch.delenv("LTB_DATA", raising=False)
    protocol = {"batch_size": 30, "augment": True, "normalisation": None}
    conf = OmegaConf.create({"data": OmegaConf.load(CONF / f"{name}.yaml"), "protocol": protocol})
    fields = OmegaConf.to_container(conf, resolve=True)["data"]
    module, _, target = fields.pop("_target_").rpartition(".")
    dataset = getattr(importlib.import_module(module), target)
    assert set(fields) == {field.name for field in dataclasses.fields(dataset)}
    # The protocol says how large a minibatch is; and noise has no shape of its own.
    given = {"shape", "classes", "batch_size"} if name == "noise" else {"batch_size"}
    assert dataset(**fields) == dataset(**{field: fields[field] for field in given})
