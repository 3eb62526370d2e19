"""The settings that stage keys are made of: all that decides a number, and nothing else."""

import importlib
import sys
from importlib.metadata import version

import pytest

from ltb.run.identity import readable, settings
from tests.training.small import training

CONFIG = {
    "data": {"_target_": "ltb.data.Digits", "root": "a", "workers": 2, "batch_size": 10},
    "module": {"_target_": "ltb.training.Classification", "optimizer": {"_target_": "torch.optim.SGD", "momentum": 0.9}},
    "training": {"length": "5it"}, "prunable": {"include": None, "exclude": [], "embeddings": False},
    "metric": {"name": "accuracy", "direction": "max", "tolerance": 0.1}, "salt": None, "seed": 0,
}  # fmt: skip
CPU = {"accelerator": "cpu", "devices": 1, "precision": "32-true"}


def changed(section, **values):
    return {**CONFIG, section: {**CONFIG[section], **values}}


@pytest.mark.parametrize(
    ("config", "trainer", "same"),
    [
        (changed("data", root="b", workers=9), CPU, True),
        (changed("metric", name="loss", tolerance=0.2), CPU, True),
        (changed("prunable", exclude=[], embeddings=False), CPU, True),
        (changed("training", on_divergence="stop"), CPU, True),
        (changed("data", batch_size=20), CPU, False),
        (changed("training", length="6it"), CPU, False),
        (changed("prunable", embeddings=True), CPU, False),
        (changed("module", _target_="pytorch_lightning.LightningModule"), CPU, False),
        ({**CONFIG, "salt": "2026-11"}, CPU, False),
        ({**CONFIG, "seed": 1}, CPU, False),
        (CONFIG, {**CPU, "precision": "64-true"}, False),
        (CONFIG, {**CPU, "devices": 2}, False),
    ],
)
def test_what_decides_a_number_and_nothing_else(config, trainer, same):
    one = training()
    assert (settings(config, one, trainer) == settings(CONFIG, one, CPU)) is same


@pytest.mark.parametrize("model", ["ltb.models.VGG", "ltb.models.vgg.VGG", "ltb.models.ConvN"])
def test_a_width_that_was_there_before_it_could_be_set_is_in_no_key(model):
    node = {"_target_": model, "depth": 2}
    before, usual, narrow = (
        settings(changed("module", network={**node, **width}), training(), CPU)
        for width in ({}, {"width": 64}, {"width": 32})
    )
    assert before == usual != narrow


def test_the_initialisation_and_the_data_as_served_are_in_it():
    one, other = training(0), training(1)
    assert settings(CONFIG, one, CPU)["initialisation"] != settings(CONFIG, other, CPU)["initialisation"]
    assert settings(CONFIG, one, CPU)["fingerprint"] == one.source.fingerprint != ""


def test_classes_go_by_what_they_are():
    found = settings(CONFIG, training(), CPU)
    assert found["data"]["_target_"] == {"name": "Digits"}
    assert found["module"]["_target_"] == {"name": "Classification"}
    assert found["module"]["optimizer"]["_target_"]["package"] == f"torch {version('torch')}"
    assert found["numerics"] == {"precision": "32-true", "device": "cpu", "devices": 1, "threads": 1}


def test_a_setting_called_as_a_digest_of_ours_tells_runs_apart():
    """Seeds of two settings of a person's own model must not be averaged."""
    found = [
        readable({**settings(changed("module", network={"initialisation": x}), training(), CPU)}) for x in ("a", "b")
    ]
    assert found[0] != found[1]
    assert found[0]["module"]["network"] == {"initialisation": "a"}


def test_code_that_is_named_by_its_path_is_in_it(tmp_path, monkeypatch):
    """``hydra.utils.get_method`` names a function of the user's own as a ``_target_`` does."""
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for body in ("x", "-x"):
        (tmp_path / "acts.py").write_text(f"def act(x):\n    return {body}\n")
        importlib.invalidate_caches()
        monkeypatch.delitem(sys.modules, "acts", raising=False)
        module = {**CONFIG["module"], "act": {"_target_": "hydra.utils.get_method", "path": "acts.act"}}
        found.append(settings({**CONFIG, "module": module}, training(), CPU))
    assert found[0] != found[1]
    monkeypatch.delitem(sys.modules, "acts")
