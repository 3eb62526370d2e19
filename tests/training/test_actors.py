"""The clock that a fit starts at: schedules, generators and the epoch are those of the dense run's step."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ltb.common.step import Clock
from ltb.training.actors import Executed, StartClock

CLOCK = Clock(epoch_length=5, length=20)
SCHEDULES = {
    "step": lambda o: torch.optim.lr_scheduler.StepLR(o, 3, 0.5),
    "exponential": lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9),
    "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 20),
}


def scheduled(name, interval, frequency=1):
    optimizer = torch.optim.SGD(nn.Linear(2, 1).parameters(), lr=0.1)
    config = SimpleNamespace(scheduler=SCHEDULES[name](optimizer), interval=interval, frequency=frequency)
    return optimizer, config


def begun(start, config, clock=CLOCK):
    trainer = SimpleNamespace(lr_scheduler_configs=[config], strategy=SimpleNamespace(lr_scheduler_configs=[config]))
    StartClock(start, clock, 0).on_train_start(trainer, nn.Linear(2, 1))
    return trainer


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(("interval", "frequency"), [("step", 1), ("step", 4), ("epoch", 1)])
@given(start=st.integers(0, 30))
def test_the_rate_is_that_of_the_dense_run_at_that_step_and_the_last_one_from_its_end_on(
    name, interval, frequency, start
):
    optimizer, config = scheduled(name, interval, frequency)
    trainer = begun(start, config)
    dense, plain = scheduled(name, interval, frequency)
    for step in range(1, min(start, CLOCK.length - 1) + 1):  # as a Trainer steps it
        if step % (frequency if interval == "step" else CLOCK.epoch_length * frequency) == 0:
            dense.step()
            plain.scheduler.step()
    assert optimizer.param_groups[0]["lr"] == dense.param_groups[0]["lr"]
    assert bool(trainer.strategy.lr_scheduler_configs) == (start < CLOCK.length)


def test_a_schedule_that_follows_results_is_refused():
    optimizer, config = scheduled("step", "epoch")
    config.scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
    with pytest.raises(ValueError, match="ReduceLROnPlateau depends on the history of a run"):
        begun(0, config)


@given(seed=st.integers(0, 2**31), start=st.integers(0, 15), steps=st.integers(1, 4))
def test_draws_are_a_function_of_seed_and_step_whatever_was_drawn_before(seed, start, steps):
    def draws(first, spoil):
        clock, found = StartClock(first, CLOCK, seed), {}
        for step in range(first, start + steps):
            torch.manual_seed(spoil)
            clock.on_train_batch_start(None, SimpleNamespace(device=torch.device("cpu")), None, 0)
            found[step] = tuple(torch.rand(4).tolist())
        return found

    whole, part = draws(0, 1), draws(start, 2)
    assert part == {step: whole[step] for step in part}
    assert len(set(whole.values())) == len(whole)


@pytest.mark.parametrize("count", [0, 2])
def test_a_clock_counts_the_steps_of_one_optimizer(count):
    watched = []
    body = SimpleNamespace(watch=watched.append, release=lambda: watched.append("released"))
    trainer = SimpleNamespace(optimizers=["o"] * count)
    with pytest.raises(ValueError, match=f"it has {count} optimizers; the clock counts the steps of one"):
        Executed(body).on_train_start(trainer, None)
    assert watched == []


@pytest.mark.parametrize("end", ["teardown", "on_exception"])
def test_a_body_watches_the_optimizers_and_is_released_however_the_fit_ends(end):
    seen = []
    callback = Executed(SimpleNamespace(watch=seen.append, release=lambda: seen.append("released")))
    callback.on_train_start(SimpleNamespace(optimizers=["o"]), None)
    getattr(callback, end)(None, None, None)
    assert seen == [["o"], "released"]
