"""Trainers as ltb makes them: nothing but what they are given, and no question about GPUs at each step."""

import os
from contextlib import suppress

import pytest
import pytorch_lightning as pl
import torch

from ltb.training.lightning import NVML, QUIET, own_processes, quick_steps, quiet, trainer_of
from tests.training.small import dense, training

PLUGIN = """
import pytorch_lightning as pl


class Foreign(pl.Callback):
    pass


def callbacks():
    return Foreign()
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """An installed package that registers a callback for every Trainer."""
    (tmp_path / "foreign_callbacks.py").write_text(PLUGIN)
    metadata = tmp_path / "foreign_callbacks-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign-callbacks\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[pytorch_lightning.callbacks_factory]\nforeign = foreign_callbacks:callbacks\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


def names(trainer):
    return [type(callback).__name__ for callback in trainer.callbacks]


def test_a_trainer_has_no_callbacks_but_those_that_it_is_given_and_other_trainers_are_left_alone(plugin):
    with quiet():
        assert "Foreign" in names(pl.Trainer(**QUIET, **own_processes()))
        assert "Foreign" not in names(trainer_of(**own_processes(), callbacks=[pl.Callback()]))
        with pytest.raises(TypeError):
            trainer_of(no_such_argument=1)
        assert "Foreign" in names(pl.Trainer(**QUIET, **own_processes()))


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize("before", [None, "1", "0"])
def test_without_a_gpu_nvml_is_not_asked_within_the_block_and_again_after_it(monkeypatch, gpu, before):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setenv(NVML, "1")
    if before is None:
        del os.environ[NVML]
    else:
        os.environ[NVML] = before
    with suppress(KeyError), quick_steps():
        assert os.environ.get(NVML) == (before if gpu else None)
        raise KeyError
    assert os.environ.get(NVML) == before


def test_a_fit_asks_nvml_as_often_for_two_steps_as_for_twenty(monkeypatch):
    asked = []
    real = torch.cuda._device_count_nvml
    monkeypatch.setattr(torch.cuda, "_device_count_nvml", lambda: asked.append(1) or real())
    one = training(optimizer="adam")
    found = []
    for steps in (2, 20):
        asked.clear()
        one.fit(dense(one, stop=steps), evaluate=False)
        found.append(len(asked))
    assert found[0] == found[1]
