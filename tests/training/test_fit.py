"""The laws of training, on real Trainers: same in same out, the clock, and agreement with a plain loop."""

import itertools
import signal
import threading
from unittest import mock

import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from ltb.core import tensors
from ltb.core.contracts import Listener
from ltb.core.loop import levels
from ltb.core.points import Fit, Point
from ltb.core.recipe import Recipe
from ltb.core.rewind import LearningRate, Weights
from ltb.core.schedules import Geometric
from ltb.core.seeds import derive
from ltb.store.checkpoint import CheckpointFile
from ltb.training import Classification, Constant, Cosine, Milestones, Training
from ltb.training import feed as feed_module
from tests.training.small import OPTIMIZERS, Numbers, Regression, dense, digest, metrics, network, source, training


@settings(max_examples=8, deadline=None)
@given(st.sampled_from(list(OPTIMIZERS)), st.integers(0, 100), st.integers(2, 24), st.integers(1, 45))
def test_same_bytes_twice_with_and_without_observers_in_any_chunks_and_in_two_parts(name, seed, k, chunk):
    one = training(seed, optimizer=name)
    whole = one.fit(dense(one))
    told = []

    class Told(Listener):
        def on_row(self, row):
            told.append(row)

    watched = training(
        seed,
        optimizer=name,
        evaluate_every="3it",
        observers=lambda: [pl.Callback()],
    )
    with mock.patch.object(feed_module, "CHUNK", chunk):
        observed = watched.fit(dense(watched), snapshots=[k], listener=Told())
    assert digest(observed) == digest(whole)
    assert [row["step"] for row in told] == [3, 6, 9, 12, 15, 18, 21, 24, 25]
    blind = one.fit(dense(one), evaluate=False)
    assert digest(blind) == digest(whole)
    # Up to k and on from there, the optimizer's state kept: the clock makes two parts one whole, dropout included.
    first = one.fit(dense(one, stop=k), evaluate=False)
    assert tensors.digest(observed.snapshots[k].weights) == tensors.digest(first.point.weights)
    second = one.fit(dense(one, k, weights=first.point.weights, optimizer=first.point.optimizer))
    assert digest(second) == digest(whole)


class Killed(Exception):
    """Stands for a signal."""


class Kept:
    """Checkpoints that die after `left` of them were kept in a file."""

    def __init__(self, path, left):
        self.file, self.left = CheckpointFile(path, "k", 0), left

    def load(self):
        return self.file.load()

    def offer(self, progress):
        self.file.offer(progress)
        self.left -= 1
        if not self.left:
            raise Killed


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_fit_that_is_killed_at_any_evaluation_goes_on_to_the_same_bytes(tmp_path, name):
    one = training(2, optimizer=name, evaluate_every="3it", length="24it")
    whole = one.fit(dense(one), snapshots=[4, 11])
    for left in (1, 3, 7, 8):  # the last at the end: all that is left is to say so
        path, done = tmp_path / f"{left}.safetensors", []
        with pytest.raises(Killed):
            one.fit(dense(one), snapshots=[4, 11], checkpoints=Kept(path, left))
        told = []
        listener = mock.Mock(on_step=done.append, on_row=told.append)
        rest = one.fit(dense(one), snapshots=[4, 11], checkpoints=Kept(path, -1), listener=listener)
        assert digest(rest) == digest(whole)
        assert sum(done) == 24
        assert told == rest.history  # those from before the kill, too: a live curve begins where the fit did
        assert metrics(one, rest) == metrics(one, whole)
        assert rest.origin.step == 0
        assert [{**row, "seconds": 0} for row in rest.history] == [{**row, "seconds": 0} for row in whole.history]
        for step in (4, 11):
            assert tensors.digest(rest.snapshots[step].weights) == tensors.digest(whole.snapshots[step].weights)
            assert tensors.digest(rest.snapshots[step].optimizer) == tensors.digest(whole.snapshots[step].optimizer)


def test_a_damaged_checkpoint_is_named_and_the_fit_begins_anew(tmp_path, caplog):
    one, path = training(), tmp_path / "p.safetensors"
    with pytest.raises(Killed):
        one.fit(dense(one), checkpoints=Kept(path, 2))
    path.write_bytes(path.read_bytes()[:-5])
    found = one.fit(dense(one), checkpoints=Kept(path, -1))
    assert "p.safetensors is damaged" in caplog.text
    assert digest(found) == digest(one.fit(dense(one)))


def test_passing_points_do_not_alias_the_live_weights():
    one = training()
    trained = one.fit(dense(one), snapshots=[5, 6])
    kept = [trained.snapshots[5], trained.snapshots[6], trained.point]
    pointers = [{w.data_ptr() for w in [*point.weights.values(), *point.optimizer.values()]} for point in kept]
    assert not pointers[0] & pointers[1]
    assert not pointers[1] & pointers[2]
    assert len({tensors.digest(point.weights) for point in kept}) == 3


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "64-true"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_fit_is_bit_for_bit_the_plain_loop(name, precision):
    """Our own loop: batches by id, one optimizer step each, masks by multiplication, the schedule by hand."""
    one = training(
        3, optimizer=name, lr=Milestones(base=0.1, milestones=["10it", "2ep"]), trainer={"precision": precision}
    )
    weights = one.initial()
    generator = torch.Generator().manual_seed(0)
    masks = {key: torch.rand(weights[key].shape, generator=generator) < 0.6 for key in one.prunable}
    trained = one.fit(Fit.of(masks, Point(weights, 4), 25))

    net = network()
    net = net.double() if precision == "64-true" else net
    net.load_state_dict({key: w * masks[key] if key in masks else w for key, w in weights.items()})
    x, y = (torch.cat(parts) for parts in zip(*one.source.evaluation("train"), strict=True))
    if precision == "64-true":
        x = x.double()
    optimizer = OPTIMIZERS[name](net.parameters())
    for step in range(4, 25):
        ids = torch.randperm(70, generator=torch.Generator().manual_seed(derive(3, "order", step // 7)))
        ids = ids[step % 7 * 10 :][:10]
        optimizer.param_groups[0]["lr"] = 0.1 * 0.1 ** ((step >= 10) + (step >= 14))
        torch.manual_seed(derive(3, "step", step))
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
            loss = functional.cross_entropy(net(x[ids]), y[ids])
        loss.backward()
        parameters = dict(net.named_parameters())
        for key, mask in masks.items():
            parameters[key].grad.mul_(mask)
        optimizer.step()
        with torch.no_grad():
            for key, mask in masks.items():
                parameters[key].mul_(mask)
    for key, value in net.state_dict().items():
        assert torch.equal(trained.point.weights[key], value), key
    with torch.no_grad():
        test_x, test_y = (torch.cat(parts) for parts in zip(*one.source.evaluation("test"), strict=True))
        logits = net.eval()(test_x.to(x.dtype))
    assert precision == "bf16-mixed" or metrics(one, trained)["test/accuracy"] == pytest.approx(
        float((logits.argmax(1) == test_y).float().mean())
    )


class Recording:
    """A source that remembers which examples each step saw."""

    def __init__(self, of):
        self._of, self.seen = of, {}
        self.epoch_length, self.fingerprint, self.device = of.epoch_length, of.fingerprint, of.device

    def stream(self, seed, start, stop):
        for step, batch in zip(range(start, stop), self._of.stream(seed, start, stop), strict=True):
            self.seen.setdefault(step, []).append(batch[0].clone())
            yield batch

    def evaluation(self, split):
        return self._of.evaluation(split)


@settings(max_examples=6, deadline=None)
@given(
    st.sampled_from(
        [Constant(base=0.1), Cosine(base=0.1, warmup="5it"), Milestones(base=0.1, milestones=["1ep", "20it"])]
    ),
    st.integers(1, 20),
    st.sampled_from([Weights(), LearningRate()]),
)
def test_the_clock_rewinds_rates_and_batches_are_the_dense_runs(lr, k, rewind):
    recording, rates = Recording(source()), []
    one = training(of=recording, lr=lr)
    recipe = Recipe(schedule=Geometric(0.3, 4), rewind_step=f"{k}it", rewind=rewind)
    one.check_one_step(recipe)  # once: its rates and batches are not looked at
    recording.seen.clear()
    step = torch.optim.SGD.step

    def recorded(optimizer, *given, **named):
        rates.append(optimizer.param_groups[0]["lr"])
        return step(optimizer, *given, **named)

    with mock.patch.object(torch.optim.SGD, "step", recorded):
        list(levels(recipe, one))
    dense_rates, rest = rates[:25], rates[25:]
    assert dense_rates == [lr(step, one.clock) for step in range(25)]
    assert rest == dense_rates[k:] * 4
    for at, batches in recording.seen.items():
        assert len(batches) == (5 if at >= k else 1)
        assert all(torch.equal(batches[0], batch) for batch in batches)


def test_the_nth_rewind_is_exact_with_batch_norm_after_real_training():
    one = training(5)
    reference = one.fit(dense(one, stop=6), evaluate=False).point.weights
    for level in itertools.islice(levels(Recipe(schedule=Geometric(0.3, 4), rewind_step="6it"), one), 1, None):
        assert level.trained.origin.step == 6
        for name, weight in level.trained.origin.weights.items():
            mask = level.trained.masks.get(name, torch.ones_like(weight, dtype=torch.bool))
            assert torch.equal(weight[mask], reference[name][mask])
        assert int(level.trained.origin.weights["1.num_batches_tracked"]) == 6
        assert int(level.trained.point.weights["1.num_batches_tracked"]) == 25


def test_the_early_stop_step_is_the_first_minimum_and_training_goes_on_to_the_end():
    one = training(length="60it", lr=Constant(base=0.5), evaluate_every="2it")
    trained = one.fit(dense(one))
    losses = [row["val/loss"] for row in trained.history]
    first = losses.index(min(losses))
    found = metrics(one, trained)
    assert found["early_stop_step"] == trained.history[first]["step"] < 60
    assert trained.point.step == 60
    assert found["val/loss"] == losses[-1]
    assert not found["early_stop_is_last"]
    stopped = one.fit(dense(one, stop=int(trained.history[first]["step"])))
    assert found["test/accuracy_at_early_stop"] == metrics(one, stopped)["test/accuracy"]
    assert found["test/loss_at_early_stop"] == metrics(one, stopped)["test/loss"]


def test_history_has_the_training_loss_since_the_last_evaluation():
    one = training(length="14it", evaluate_every="7it", dropout=0.0, lr=Constant(base=1e-9))
    rows = one.fit(dense(one)).history
    net = network(0.0)
    net.load_state_dict(one.initial())
    x, y = next(iter(one.source.evaluation("train")))
    expected = [
        sum(
            float(functional.cross_entropy(net(x[ids]), y[ids]).detach())
            for ids in (one.source.ids(0, s) for s in steps)
        )
        / 7
        for steps in (range(7), range(7, 14))
    ]
    assert [row["train/loss"] for row in rows] == pytest.approx(expected, rel=1e-5)
    assert [row["epoch"] for row in rows] == [1.0, 2.0]


def test_a_network_that_diverged_is_said_to_have():
    one = training(lr=Constant(base=1e30), optimizer="nesterov")
    with pytest.raises(ValueError, match="diverged"):
        list(levels(Recipe(schedule=Geometric(0.5, 2), rewind=LearningRate()), one))


def test_ctrl_c_stops_a_fit_at_once():
    one = training(length="200000it")
    main = threading.main_thread().ident
    timer = threading.Timer(1.0, lambda: signal.pthread_kill(main, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        one.fit(dense(one))
    timer.join()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"length": "0it"}, "training.length=0it: length must be at least 1"),
        ({"length": "ten"}, "training.length=ten: 'ten' is not a step"),
        ({"evaluate_every": "0it"}, "training.evaluate_every=0it: from 1it to the run's length, 25it"),
        ({"evaluate_every": "4ep"}, "training.evaluate_every=4ep"),
        ({"direction": "up"}, "metric.direction='up': max or min"),
        ({"exclude": ["5.*"]}, "prunable.exclude: '5.*' matches no parameter; there are 0.weight, 4.weight"),
    ],
)
def test_what_cannot_be_is_refused(given, message):
    with pytest.raises(ValueError, match=message.replace("*", r"\*")):
        training(**given)


def test_the_flops_of_a_step_are_those_of_its_matrix_products_counted_by_hand():
    # batch 10; Linear(6, 9): forward and weight gradient; Linear(9, 3): the input's gradient as well
    by_hand = 2 * 10 * (2 * 6 * 9 + 3 * 9 * 3)
    assert training().step_flops() == by_hand
    assert training(module={"accumulate": 2}).step_flops() == by_hand
    own = Training(Regression, Numbers(), "25it", 0, metric="mse", direction="min")
    assert own.step_flops() == by_hand + 2 * 10 * 3 * 3 * 1


class Recurrent(nn.Module):
    """An LSTM over three pairs of numbers."""

    def __init__(self):
        super().__init__()
        self.recurrent, self.output = nn.LSTM(2, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x):
        return self.output(self.recurrent(x.reshape(-1, 3, 2))[0][:, -1])


def test_the_flops_of_a_step_hold_those_of_recurrent_layers():
    def make():
        return Classification(Recurrent(), torch.optim.SGD, Constant(base=0.05))

    enabled = torch.backends.mkldnn.enabled
    found = Training(make, source(), "5it", 0).step_flops()
    recurrent = 2 * 10 * 3 * 4 * 4 * (2 + 4)  # batch 10, 3 places, 4 gates of 4
    assert found >= 2 * recurrent + 3 * 2 * 10 * 4 * 3  # forward, the weights' gradients, and the output layer
    assert torch.backends.mkldnn.enabled == enabled
