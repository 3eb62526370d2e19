"""Callbacks that are chosen: what they note stands beside each evaluation, and no number of the training changes."""

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint

from ltb.training.callbacks import GradientNorms, LearningRate, Timer, check
from tests.training.small import dense, training


def fitted(*observers):
    one = training(1, evaluate_every="2it", observers=lambda: list(observers))
    return one.fit(dense(one, stop=6))


def test_their_numbers_are_in_the_history_and_nothing_else_changes():
    plain, noted = fitted(), fitted(LearningRate(), GradientNorms(each=True), Timer())
    added = {"train/learning_rate", "train/gradient_norm", "train/steps_per_second"}
    for before, after in zip(plain.history, noted.history, strict=True):
        assert {name for name in set(after) - set(before) if "norm/" not in name} == added
        assert {name: after[name] for name in before if name != "seconds"} == {
            name: value for name, value in before.items() if name != "seconds"
        }
        single = [value**2 for name, value in after.items() if name.startswith("train/gradient_norm/")]
        assert after["train/gradient_norm"] == pytest.approx(sum(single) ** 0.5)
        assert after["train/steps_per_second"] > 0
    assert all(torch.equal(value, noted.point.weights[name]) for name, value in plain.point.weights.items())


@pytest.mark.parametrize(
    ("callback", "said"),
    [
        (EarlyStopping("val/loss"), "EarlyStopping decides"),
        (ModelCheckpoint(), "ModelCheckpoint decides"),
        (LearningRateMonitor(), "LearningRateMonitor needs a Trainer's logger"),
        (torch.nn.ReLU(), "ReLU is not a Lightning Callback"),
    ],
)
def test_one_that_does_more_than_look_on_is_refused(callback, said):
    with pytest.raises(ValueError, match=f"^callbacks=mine: {said}"):
        check("mine", callback)


def test_any_other_may_look_on():
    callback = pl.Callback()
    assert check("mine", callback) is callback
