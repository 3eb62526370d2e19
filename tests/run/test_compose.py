"""What a resolved configuration comes to: the device that is there, and arguments that mean the same where they do the same."""

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ltb.run import settings
from ltb.run.compose import check, trainer
from ltb.run.conf import conf

CPU = torch.device("cpu")


def test_the_device_is_the_one_that_is_there():
    given, device = trainer({"accelerator": "cpu", "precision": "32-true"})
    assert (given["accelerator"], given["devices"], device) == ("cpu", 1, CPU)


def test_auto_without_a_gpu_is_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    auto = {"accelerator": "auto", "precision": "32-true", "deterministic": "warn"}
    assert trainer(auto) == trainer({"accelerator": "cpu", "precision": "32-true"})
    with pytest.raises(ValueError, match=r"trainer.accelerator='gpu': torch sees no GPU here"):
        trainer({"accelerator": "gpu"})


def checked(*given):
    with initialize_config_dir(conf(), version_base="1.3"):
        config = OmegaConf.to_container(compose("train", list(given)), resolve=True)
    return check(settings.check(config))


def test_a_number_is_one_setting_however_it_is_written():
    """Stage keys are made of what this gives: 0 and 0.0 are one penalty, 0it and 0ep one step."""
    one = checked(
        "module.l2=0", "protocol.weight_decay=0", "lr.warmup=0ep", "lr=cosine", "lr.base=1", "metric.tolerance=1"
    )
    other = checked(
        "module.l2=0.0", "protocol.weight_decay=0.0", "lr.warmup=0", "lr=cosine", "lr.base=1.0", "metric.tolerance=1.0"
    )
    assert repr(one) == repr(other)


@pytest.mark.parametrize("given", [[], ["task=resnet20_cifar10"], ["task=resnet50_imagenet", "rewind=fine_tune"]])
def test_what_is_shipped_is_written_as_its_types_have_it(given):
    """So that checking changes no key."""
    with initialize_config_dir(conf(), version_base="1.3"):
        config = OmegaConf.to_container(compose("train", given), resolve=True)
    found = checked(*given)
    for name in (
        "data",
        "model",
        "module",
        "optimizer",
        "lr",
        "training",
        "schedule",
        "allocation",
        "rewind",
        "trainer",
        "protocol",
    ):
        assert repr(found[name]) == repr(config[name])
