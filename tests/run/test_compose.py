"""What a resolved configuration comes to: the device that is there, and arguments that mean the same where they do the same."""

import pytest
import torch

from ltb.run.compose import trainer

CPU = torch.device("cpu")


def test_the_device_is_the_one_that_is_there():
    given, device = trainer({"accelerator": "cpu", "precision": "32-true"})
    assert (given["accelerator"], given["devices"], device) == ("cpu", 1, CPU)
    with pytest.raises(ValueError, match=r"trainer.accelerator='tpu': one of cpu, gpu, auto"):
        trainer({"accelerator": "tpu"})


def test_auto_without_a_gpu_is_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    auto = {"accelerator": "auto", "precision": "32-true", "deterministic": "warn"}
    assert trainer(auto) == trainer({"accelerator": "cpu", "precision": "32-true"})
    with pytest.raises(ValueError, match=r"trainer=gpu: torch sees no GPU here"):
        trainer({"accelerator": "gpu"})
