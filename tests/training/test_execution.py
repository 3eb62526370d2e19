"""Executions and noise, on real Trainers: a new execution is one class, and noise changes order and dropout alone."""

from dataclasses import dataclass, replace
from functools import partial

import pytest
import torch

from ltb.core import masks as m
from ltb.core import tensors
from ltb.core.execution import Execution, Masked
from ltb.core.loop import levels
from ltb.core.objectives import Objective
from ltb.core.points import Fit, Point
from ltb.core.recipe import Recipe
from ltb.core.schedules import Geometric
from ltb.store.checkpoint import CheckpointFile
from ltb.training import Classification, Constant, Training
from tests.training.small import Numbers, Regression, dense, digest, network, source, training
from tests.training.test_fit import Kept, Killed


class Recording:
    """A body that notes what is asked of it, around another."""

    def __init__(self, body, calls):
        self._body, self._calls = body, calls

    def __getattr__(self, name):
        self._calls.append(name)
        return getattr(self._body, name)


@dataclass(frozen=True)
class Noted(Execution):
    """Runs the masked network and notes it."""

    def enter(self, module, masks):
        calls = CALLS.setdefault("calls", [])
        return Recording(Masked().enter(module, masks), calls)


CALLS: dict[str, list[str]] = {}


def test_another_execution_is_entered_with_points_and_left_with_points():
    one = training(optimizer="adamw")
    masks = {name: torch.rand(w.shape) < 0.4 for name, w in one.initial().items() if name in one.prunable}
    fit = Fit.of(masks, Point(one.initial(), 0), 25)
    expected = one.fit(fit)
    CALLS.clear()
    found = one.fit(replace(fit, execution=Noted()))
    assert digest(found) == digest(expected)
    calls = [call for call in CALLS["calls"] if call not in ("masks", "row", "state")]
    assert calls[:2] == ["load", "watch"]
    assert calls[-1] == "point"
    assert "release" in calls
    evaluated = [one.evaluate(found.point, masks, ["test"], execution) for execution in (None, Noted())]
    assert evaluated[0] == evaluated[1]


def test_masks_that_change_under_way_are_held_from_then_on():
    one = training()
    weights = one.initial()
    body = Masked().enter(module := one._build("init"), m.ones(weights, one.prunable))
    body.load(Point(weights, 0))
    optimizer = torch.optim.SGD(module.network.parameters(), lr=0.1, momentum=0.9)
    body.watch([optimizer])

    def step():
        module.network(torch.randn(8, 6)).square().mean().backward()
        optimizer.step()

    step()
    halves = {
        name: torch.arange(w.numel()).reshape(w.shape) % 2 == 0 for name, w in weights.items() if name in one.prunable
    }
    body.change(halves)
    for _ in range(3):
        step()
        point = body.point(1)
        for name, mask in halves.items():
            assert not torch.count_nonzero(point.weights[name][~mask])
            assert not torch.count_nonzero(point.optimizer[f"{name}/momentum_buffer"][~mask])
            assert torch.count_nonzero(point.weights[name][mask]) == mask.sum()
    body.release()
    step()
    assert torch.count_nonzero(module.network[0].weight) > halves["0.weight"].sum()


def test_noise_changes_the_order_and_dropout_and_nothing_else():
    one = training(dropout=0.0)
    fit = dense(one)
    noisy = [replace(fit, noise=noise) for noise in (0, 1)]
    found = [one.fit(each) for each in (fit, *noisy)]
    assert len({digest(each) for each in found}) == 3
    assert len({tensors.digest(each.origin.weights) for each in found}) == 1
    assert digest(one.fit(noisy[1])) == digest(found[2])
    # A full batch has no order: without dropout noise has nothing left to change.
    whole = training(dropout=0.0, of=full_batch())
    assert digest(whole.fit(dense(whole))) == digest(whole.fit(replace(dense(whole), noise=1)))
    # With dropout the draws are other ones.
    dropped = training(dropout=0.5, of=full_batch())
    assert digest(dropped.fit(dense(dropped))) != digest(dropped.fit(replace(dense(dropped), noise=1)))


def full_batch():
    """One example, 10 times: the order of a minibatch cannot matter, not even for the rounding of its sums."""
    from ltb.data.source import TensorSource

    x, y = torch.ones(10, 6) * torch.linspace(-1, 1, 6), torch.zeros(10, dtype=torch.long)
    splits = {"train": (x, y), "val": (x, y), "test": (x, y)}
    return TensorSource(splits, classes=3, batch_size=10, mean=[0.0], std=[1.0])


@dataclass(frozen=True)
class Ridge(Objective):
    """strength / 2 times the sum of squares of all linear weights."""

    strength: float

    def __call__(self, module, batch):
        return self.strength / 2 * sum(w.square().sum() for w in module.parameters() if w.ndim == 2)


@pytest.mark.parametrize("own", [False, True])
def test_an_objective_is_added_to_the_loss_of_the_fit_that_has_it(own):
    """Plain SGD: the penalty's gradient is that of an equal weight decay of the matrices."""

    def make(decay):
        class Module(Regression):
            def configure_optimizers(self):
                groups = [{"params": [p for p in self.parameters() if p.ndim == 2], "weight_decay": decay}]
                groups += [{"params": [p for p in self.parameters() if p.ndim != 2]}]
                return torch.optim.SGD(groups, lr=0.05)

        class Classes(Classification):
            def configure_optimizers(self):
                groups = [{"params": [p for p in self.parameters() if p.ndim == 2], "weight_decay": decay}]
                groups += [{"params": [p for p in self.parameters() if p.ndim != 2]}]
                return torch.optim.SGD(groups)

        if own:
            return Training(Module, Numbers(), "20it", metric="mse", direction="min")
        return Training(lambda: Classes(network(0.0), partial(torch.optim.SGD), Constant(base=0.05)), source(), "20it")

    plain, decayed = make(0.0), make(0.1)
    expected = decayed.fit(dense(decayed))
    found = plain.fit(replace(dense(plain), objective=Ridge(0.1)))
    without = plain.fit(dense(plain))
    for name, weight in expected.point.weights.items():
        assert torch.allclose(found.point.weights[name], weight, rtol=1e-4, atol=1e-6), name
    assert not torch.allclose(
        found.point.weights[plain.prunable[0]], without.point.weights[plain.prunable[0]], rtol=1e-3
    )


def test_what_a_recipe_cannot_do_is_refused_before_the_dense_network_is_trained():
    """In one step that is thrown away."""

    class Manual(Regression):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch, index):
            self.optimizers().step()

    one = Training(Manual, Numbers(), "20it", metric="mse", direction="min")
    fitted = []
    one.fit = lambda *given, **how: fitted.append(given)
    with pytest.raises(ValueError, match="objective: Manual steps its optimizer itself"):
        next(levels(Recipe(objective=Ridge(0.1)), one))
    with pytest.raises(ValueError, match="objective=Ridge: the schedule has the dense level alone"):
        Recipe(schedule=Geometric(0.2, 0), objective=Ridge(0.1))
    assert fitted == []


def test_a_replayed_start_that_is_killed_goes_on_to_the_same_bytes(tmp_path):
    """It is evaluated nowhere, so its progress is offered after each chunk, or minibatch of a module of one's own."""
    ones = training(optimizer="adam"), Training(Regression, Numbers(), "40it", metric="mse", direction="min")
    for number, one in enumerate(ones):
        whole = one.fit(dense(one, stop=21), evaluate=False)
        path = tmp_path / f"{number}.safetensors"
        done = CheckpointFile(path, "k", 0)
        with pytest.raises(Killed):
            one.fit(dense(one, stop=21), evaluate=False, snapshots=[6, 11], checkpoints=Kept(path, 2))
        assert 0 < done.load().point.step < 21
        rest = one.fit(dense(one, stop=21), evaluate=False, snapshots=[6, 11], checkpoints=done)
        assert digest(rest) == digest(whole)
        assert rest.best is None
        assert set(rest.snapshots) == {6, 11}
