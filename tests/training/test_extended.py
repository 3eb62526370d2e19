"""Trainings several times as long as the dense network's, by a clock that is stretched."""

from unittest import mock

import pytest
import pytorch_lightning as pl
import torch

from ltb.common.step import Step
from ltb.core.allocation import Layerwise
from ltb.core.criteria import Random
from ltb.core.dynamics import SET
from ltb.core.loop import levels
from ltb.core.points import Fit
from ltb.core.recipe import Recipe
from ltb.core.rewind import Extended
from ltb.core.schedules import Explicit
from ltb.training import Cosine, Milestones, Training
from ltb.training import feed as feed_module
from tests.training.small import Numbers, Regression, digest, training


def recipe(**given):
    return Recipe(schedule=Explicit((0.6,)), criterion=Random(), allocation=Layerwise(), prune_from="start", **given)


class Rates(pl.Callback):
    """The learning rate of each step of a fit, fit by fit."""

    def __init__(self):
        self.fits = []

    def on_train_start(self, trainer, pl_module):
        self.fits.append([])

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if len(batch):
            self.fits[-1].append(trainer.optimizers[0].param_groups[0]["lr"])


@pytest.mark.parametrize(
    ("rewind_step", "expected"),
    [
        ("0it", [0.2, 0.4, 0.6, 0.8] + [0.8] * 6 + [0.08] * 6),  # warm-up over 4, a tenth from 10 on, 16 in all
        ("3it", [0.8] * 4 + [0.08] * 6),
    ],
)
def test_warm_up_and_milestones_are_as_much_later(rewind_step, expected):
    rates, lr = Rates(), Milestones(base=0.8, milestones=[Step(5)], warmup=Step(2))
    one = training(0, "8it", lr=lr, observers=lambda: [rates], evaluate_every="1it")
    with mock.patch.object(feed_module, "CHUNK", 1):
        *_, level = levels(recipe(rewind=Extended(times=2), rewind_step=rewind_step), one)
    _rehearsed, dense, *_ = rates.fits
    assert dense == pytest.approx([0.4, 0.8, 0.8, 0.8, 0.8, 0.08, 0.08, 0.08])
    assert rates.fits[-1] == pytest.approx(expected)
    assert level.trained.history[-1]["step"] == 16


def test_a_cosine_ends_with_the_extended_training():
    lr, clock = Cosine(base=1.0), training(0, "8it").clock.stretched(5)
    assert [lr(step, clock) for step in (0, 20, 40)] == pytest.approx([1.0, 0.5, lr(39, clock)])


def test_masks_change_to_three_quarters_of_the_extended_training():
    one = training(3, "12it", evaluate_every="1it")
    *_, level = levels(recipe(rewind=Extended(), dynamics=SET(every="4it")), one)
    regrown = [0, *(row["regrown"] for row in level.trained.history)]
    changed = [step for step in range(1, 61) if regrown[step] != regrown[step - 1]]
    assert changed == [*range(4, 45, 4)]  # three quarters of 60 are 45
    assert {row["density"] for row in level.trained.history} == {level.density}


def test_a_constant_rate_and_masks_that_stand_make_the_usual_training_as_far_as_it_goes():
    one = training(4, "10it")
    short, long = (list(levels(recipe(**given), one))[-1] for given in ({}, {"rewind": Extended(times=2)}))
    assert digest(training(4, "20it").fit(Fit.of(long.trained.masks, long.trained.origin, 20))) == digest(long.trained)
    assert short.trained.stop * 2 == long.trained.stop == 20


def test_a_module_that_steps_its_own_schedulers_is_refused_before_anything_is_trained():
    one = Training(Regression, Numbers(), "21it", 0, metric="mse", direction="min")
    with pytest.raises(ValueError, match=r"^rewind.times=5: Regression steps schedulers of its own"):
        next(levels(recipe(rewind=Extended()), one))


class Unscheduled(Regression):
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


def test_a_module_of_ones_own_without_schedulers_is_trained_as_long():
    one = Training(Unscheduled, Numbers(), "21it", 0, metric="mse", direction="min")
    dense, level = levels(recipe(rewind=Extended(times=2)), one)
    assert (dense.trained.stop, level.trained.stop) == (21, 42)
