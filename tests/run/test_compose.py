"""The settings that stage keys are made of: all that decides a number, and nothing else."""

import pytest
import torch

from ltb.run.compose import settings, trainer

CPU = torch.device("cpu")
CONFIG = {
    "data": {"_target_": "mine.Data", "root": "a", "workers": 2, "batch_size": 10},
    "module": {}, "training": {"length": "5it"}, "prunable": {},
    "metric": {"name": "accuracy", "direction": "max", "tolerance": 0.1},
    "trainer": {"accelerator": "cpu", "precision": "32-true"}, "threads": 1, "seed": 0,
}  # fmt: skip


def changed(section, **values):
    return {**CONFIG, section: {**CONFIG[section], **values}}


def test_where_files_are_is_left_out_only_when_their_contents_are_known():
    moved = changed("data", root="b", workers=9)
    assert settings(CONFIG, CPU, "fingerprint") == settings(moved, CPU, "fingerprint")
    assert settings(CONFIG, CPU, "") != settings(moved, CPU, "")
    assert settings(CONFIG, CPU, "") == settings(changed("data", workers=9), CPU, "")


def test_threads_count_on_a_cpu_precision_always_and_a_tolerance_never():
    assert settings(CONFIG, CPU, "f") != settings({**CONFIG, "threads": 2}, CPU, "f")
    gpu = torch.device("cuda:0")
    assert settings(CONFIG, gpu, "f") == settings({**CONFIG, "threads": 2}, gpu, "f") != settings(CONFIG, CPU, "f")
    assert settings(CONFIG, CPU, "f") != settings(changed("trainer", precision="64-true"), CPU, "f")
    assert settings(CONFIG, CPU, "f") == settings(changed("metric", tolerance=0.2), CPU, "f")


def test_the_device_is_the_one_that_is_there():
    given, device = trainer({"accelerator": "cpu", "precision": "32-true"})
    assert (given["accelerator"], given["devices"], device) == ("cpu", 1, CPU)
    with pytest.raises(ValueError, match=r"trainer.accelerator='tpu': one of cpu, gpu, auto"):
        trainer({"accelerator": "tpu"})
