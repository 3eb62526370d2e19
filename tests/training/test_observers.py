"""What watches a fit: counts, copies and notes, and nothing of it changes a number."""

from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch

from ltb.common.step import Clock
from ltb.core.contracts import Listener, Progress
from ltb.core.points import Point
from ltb.training.observers import Checkpoint, History, Snapshots, Steps, plain

CLOCK = Clock(epoch_length=4, length=20)


class Told(Listener):
    def __init__(self):
        self.steps, self.rows = [], []

    def on_step(self, count):
        self.steps.append(count)

    def on_row(self, row):
        self.rows.append(row)


class Body:
    """Points that say at which step they were taken."""

    masks: ClassVar = {}

    def point(self, step, optimizer=True):
        return Point({"w": torch.tensor(float(step))}, step, {"o": torch.tensor(1.0)} if optimizer else None)

    def state(self):
        return {}


def batches(callback, count):
    for _ in range(count):
        callback.on_train_batch_end(None, None, None, "minibatch", 0)


def evaluation(logged, fn="fit", sanity=False):
    values = {name: torch.tensor(value) for name, value in logged.items()}
    return SimpleNamespace(sanity_checking=sanity, callback_metrics=values, state=SimpleNamespace(fn=fn))


def noted(history, counter, *rows):
    for step, logged in rows:
        counter.step = step
        history.on_validation_end(evaluation(logged), None)


def test_iterations_are_counted_from_the_fits_start_on():
    told = Told()
    counter = Steps(3, told)
    batches(counter, 4)
    assert (counter.step, told.steps) == (7, [1, 1, 1, 1])


def test_a_snapshot_is_taken_once_and_those_of_before_stay():
    counter = Steps(3, Told())
    before = {2: Body().point(2)}
    snapshots = Snapshots([2, 5, 6, 9], counter, Body(), before)
    for _ in range(5):
        batches(counter, 1)
        batches(snapshots, 2)
    assert {step: point.step for step, point in snapshots.points.items()} == {2: 2, 5: 5, 6: 6}
    assert snapshots.points[2] is before[2]
    assert set(before) == {2}


@pytest.mark.parametrize(
    ("judge", "rows", "best"),
    [
        (("accuracy", "max"), [(4, {"val/loss": 3.0}), (8, {"val/loss": 1.0}), (12, {"val/loss": 1.0})], 8),
        (("mse", "min"), [(4, {"val/mse": 3.0}), (8, {"val/mse": 1.0}), (12, {"val/mse": 2.0})], 8),
        (("accuracy", "max"), [(4, {"val/accuracy": 0.5}), (8, {"val/accuracy": 0.5}), (12, {"val/accuracy": 0.4})], 4),
        (("accuracy", "max"), [(4, {"val/loss": float("nan")}), (8, {"val/loss": 9.0})], 8),
    ],
)
def test_the_best_is_the_first_of_its_kind_and_its_point_has_no_optimizer(judge, rows, best):
    told, counter = Told(), Steps(0, Told())
    history = History(CLOCK, counter, Body(), judge, told)
    noted(history, counter, *rows)
    assert (history.best.step, history.best.optimizer) == (best, None)
    assert [(row["step"], row["epoch"]) for row in history.rows] == [(step, step / 4) for step, _ in rows]
    assert told.rows == history.rows


def test_a_row_has_what_was_validated_and_the_training_loss_alone():
    counter = Steps(4, Told())
    history = History(CLOCK, counter, Body(), ("accuracy", "max"), Told(), also=lambda: {"density": 0.5})
    logged = {"val/loss": 0.69, "train/loss": 0.1, "train/accuracy": 0.9, "lr": 1.0}
    history.on_validation_end(evaluation(logged, sanity=True), None)
    assert history.rows == []
    history.on_validation_end(evaluation(logged), None)
    (row,) = history.rows
    assert row.pop("seconds") >= 0
    assert row == {"step": 4, "epoch": 1.0, "density": 0.5, "train/loss": 0.1, "val/loss": 0.69}


def test_a_history_that_goes_on_is_the_whole_one():
    rows = [(4, {"val/loss": 3.0}), (8, {"val/loss": 1.0}), (12, {"val/loss": 2.0}), (16, {"val/loss": 0.5})]
    for cut in range(1, 4):
        counter = Steps(0, Told())
        first = History(CLOCK, counter, Body(), ("accuracy", "max"), Told())
        noted(first, counter, *rows[:cut])
        done = Progress(Body().point(counter.step), first.rows, first.best, seconds=100.0)
        history = History(CLOCK, counter, Body(), ("accuracy", "max"), Told(), done)
        noted(history, counter, *rows[cut:])
        assert [(row["step"], row["val/loss"]) for row in history.rows] == [
            (s, logged["val/loss"]) for s, logged in rows
        ]
        assert history.best.step == 16
        assert history.seconds() >= 100
        assert len(first.rows) == cut


@pytest.mark.parametrize(("evaluates", "offered"), [(True, [4]), (False, [1, 2, 3, 4, 4])])
def test_progress_is_offered_after_evaluations_or_where_there_are_none_after_minibatches(evaluates, offered):
    found = []
    checkpoints = SimpleNamespace(offer=lambda progress: found.append(progress().point.step))
    counter, body = Steps(0, Told()), Body()
    history = History(CLOCK, counter, body, ("accuracy", "max"), Told())
    callback = Checkpoint(checkpoints, counter, body, Snapshots([], counter, body, {}), history, evaluates)
    callback.on_validation_end(evaluation({}), None)  # nothing was seen yet
    for _ in range(4):
        batches(counter, 1)
        batches(callback, 1)
    history.on_validation_end(evaluation({"val/loss": 1.0}), None)
    callback.on_validation_end(evaluation({}), None)
    callback.on_validation_end(evaluation({}, fn="validate"), None)  # the last one, after the fit
    assert found == offered


@pytest.mark.parametrize(("value", "number"), [(torch.tensor(0.69), 0.69), (1, 1.0), (torch.tensor(1e-30), 1e-30)])
def test_a_float32_is_the_number_that_it_stands_for(value, number):
    assert plain(value) == number
