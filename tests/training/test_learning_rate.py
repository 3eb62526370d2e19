import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ltb.common.step import Clock
from ltb.training import Constant, Cosine, Linear, Milestones, OneCycle, Polynomial

CLOCK = Clock(epoch_length=10, length=100)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Constant(base=0.1), {0: 0.1, 99: 0.1, 100: 0.1, 1000: 0.1}),
        (Constant(base=0.1, after=0.01), {99: 0.1, 100: 0.01, 250: 0.01}),
        (Constant(base=0.1, warmup="4it"), {0: 0.025, 1: 0.05, 3: 0.1, 4: 0.1}),
        (Milestones(base=1.0, milestones=["3ep", "50it"]), {29: 1.0, 30: 0.1, 49: 0.1, 50: 0.01, 100: 0.01}),
        (Milestones(base=1.0, milestones=["3ep"], factor=0.5, warmup="1ep"), {0: 0.1, 9: 1.0, 30: 0.5}),
        (Cosine(base=1.0), {0: 1.0, 50: 0.5, 100: (1 + math.cos(math.pi * 0.99)) / 2}),
        (Cosine(base=1.0, final=0.2, warmup="20it"), {20: 1.0, 60: 0.6, 9: 0.5}),
        (Linear(base=1.0), {0: 1.0, 25: 0.75, 99: 0.01, 100: 0.01}),
        (Linear(base=1.0, final=0.2, warmup="20it"), {9: 0.5, 20: 1.0, 60: 0.6}),
        (Polynomial(base=1.0, power=2.0), {0: 1.0, 50: 0.25, 90: 0.01}),
        (OneCycle(base=1.0, rise=0.3, div_factor=10.0), {0: 0.1, 29: 1.0, 99: 1e-5, 100: 1e-5}),
    ],
)
def test_literal_rates(schedule, expected):
    assert {step: schedule(step, CLOCK) for step in expected} == pytest.approx(expected)


@given(st.integers(0, 200), st.sampled_from([0.1, 0.5]))
def test_step_decay_and_cosine_are_those_of_torch(step, factor):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    theirs = torch.optim.lr_scheduler.MultiStepLR(optimizer, [30, 60], factor)
    for _ in range(step):
        optimizer.step()
        theirs.step()
    ours = Milestones(base=0.3, milestones=["3ep", "6ep"], factor=factor)
    assert ours(step, Clock(10, 201)) == pytest.approx(optimizer.param_groups[0]["lr"])
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 201)
    for _ in range(step):
        optimizer.step()
        cosine.step()
    assert Cosine(base=0.3)(step, Clock(10, 201)) == pytest.approx(optimizer.param_groups[0]["lr"])


@pytest.mark.parametrize("rise", [0.3, 0.07])
def test_one_cycle_line_and_power_are_those_of_torch(rise):
    optimizers = [torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3) for _ in range(3)]
    theirs = [
        torch.optim.lr_scheduler.OneCycleLR(optimizers[0], 0.3, total_steps=57, pct_start=rise, cycle_momentum=False),
        torch.optim.lr_scheduler.LinearLR(optimizers[1], 1.0, 0.0, total_iters=57),
        torch.optim.lr_scheduler.PolynomialLR(optimizers[2], 57, power=1.5),
    ]
    ours = [OneCycle(base=0.3, rise=rise), Linear(base=0.3), Polynomial(base=0.3, power=1.5)]
    for step in range(57):
        rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
        assert [one(step, Clock(10, 57)) for one in ours] == pytest.approx(rates, abs=1e-9)
        for one in (*optimizers, *(theirs if step < 56 else [])):
            one.step()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constant(base=0.0), "lr.base=0.0: a number, above 0"),
        (lambda: Constant(base="fast"), "lr.base='fast'"),
        (lambda: Constant(base=0.1, warmup="5"), "lr.warmup='5': iterations as"),
        (lambda: Constant(base=0.1, after=0.0), "lr.after=0.0"),
        (lambda: Milestones(base=0.1, milestones=["6ep", "3ep"]), r"lr.milestones=\['6ep', '3ep'\]: must rise"),
        (lambda: Milestones(base=0.1, milestones=["soon"]), "lr.milestones=.*'soon'.*: a list of steps"),
        (lambda: Linear(base=0.1, final=0.2), "lr.final=0.2: between 0 and lr.base=0.1"),
        (lambda: OneCycle(base=0.1, rise=1.0), "lr.rise=1.0: "),
        (lambda: Cosine(base=0.1, final=0.2), "lr.final=0.2: between 0 and lr.base=0.1"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (OneCycle(base=0.1, warmup="1it"), r"lr.warmup=1it: 0it, for one cycle rises by itself, over lr.rise=0.3"),
        (Constant(base=0.1, warmup="11ep"), r"lr.warmup=11ep: at most the length of the run, 100it"),
        (
            Milestones(base=0.1, milestones=["50it", "10ep"]),
            r"lr.milestones=\['50it', '10ep'\]: before the end of the run, 100it",
        ),
        (
            Milestones(base=0.1, milestones=["50it", "2ep"]),
            r"lr.milestones=\['50it', '2ep'\]: must rise; .* \[50, 20\]",
        ),
    ],
)
def test_what_lies_beyond_the_run_is_refused(schedule, message):
    with pytest.raises(ValueError, match=message):
        schedule.check(CLOCK)
    Constant(base=0.1, warmup="10ep").check(CLOCK)
    Milestones(base=0.1, milestones=["3ep", "99it"]).check(CLOCK)
