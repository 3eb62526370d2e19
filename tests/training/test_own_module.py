"""A person's own LightningModule and LightningDataModule under the laws, and what of them is refused before training."""

import itertools
from dataclasses import dataclass

import numpy
import pytest
import pytorch_lightning as pl
import torch
from torch.nn import functional

from ltb.core import masks as m
from ltb.core import tensors
from ltb.core.criteria import Criterion, Gradient
from ltb.core.loop import levels
from ltb.core.points import Point
from ltb.core.recipe import Recipe
from ltb.core.rewind import LearningRate
from ltb.core.schedules import Geometric
from ltb.training import Training
from tests.training.small import OPTIMIZERS, Numbers, Regression, dense, digest, metrics


@pytest.mark.parametrize("interval", ["epoch", "step"])
def test_a_module_of_ones_own_finds_its_schedule_epochs_and_batches_at_step_k(interval):
    made = []

    def make():
        made.append(Regression(interval))
        return made[-1]

    one = Training(make, Numbers(), "25it", 0, metric="mse", direction="min", evaluate_every="5it")
    whole = one.fit(dense(one))
    seen = made[-1].seen
    assert len(seen) == 25
    assert [epoch for epoch, *_ in seen] == [step // 7 for step in range(25)]
    passed = one.fit(dense(one, stop=9), evaluate=False)
    rest = one.fit(dense(one, 9, weights=passed.point.weights, optimizer=passed.point.optimizer))
    for before, after in zip(seen[9:], made[-1].seen, strict=True):
        assert before[:2] == pytest.approx(after[:2], rel=1e-12)
        assert torch.equal(before[2], after[2])
    assert [row["step"] for row in rest.history] == [10, 15, 20, 25]
    for name, weight in whole.point.weights.items():
        assert torch.allclose(weight, rest.point.weights[name], rtol=1e-5, atol=1e-6), name
    assert metrics(one, whole)["early_stop_step"] == min(whole.history, key=lambda row: row["val/mse"])["step"]
    assert set(metrics(one, whole)) >= {"test/mse", "val/mse", "test/mse_at_early_stop"}


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("trainer", [{}, {"gradient_clip_val": 0.1}, {"precision": "bf16-mixed"}])
def test_dead_is_dead_in_a_module_of_ones_own(optimizer, trainer):
    one = Training(
        lambda: Regression(optimizer=optimizer), Numbers(), "15it", metric="mse", direction="min", trainer=trainer
    )
    for level in levels(Recipe(schedule=Geometric(0.5, 2)), one):
        for name, mask in level.trained.masks.items():
            assert torch.count_nonzero(level.trained.point.weights[name][~mask]) == 0
            for key, state in level.trained.point.optimizer.items():
                if key.startswith(name + "/") and state.shape == mask.shape:
                    assert torch.count_nonzero(state[~mask]) == 0


def test_a_schedule_that_depends_on_history_is_refused():
    class Plateau(Regression):
        def configure_optimizers(self):
            optimizer = OPTIMIZERS["sgd"](self.parameters())
            scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "val/mse"}}

    one = Training(Plateau, Numbers(), "10it", metric="mse", direction="min")
    with pytest.raises(ValueError, match="ReduceLROnPlateau depends on the history"):
        one.fit(dense(one))


def test_a_metric_that_is_not_logged_is_named():
    one = Training(Regression, Numbers(), "8it", metric="accuracy")
    with pytest.raises(ValueError, match=r"metric.name='accuracy': the module logs test/mse"):
        one.check_one_step(Recipe())
    with pytest.raises(ValueError, match=r"metric.name='accuracy': the module logs test/mse"):
        metrics(one, one.fit(dense(one)))


class WithoutValidation(Regression):
    validation_step = pl.LightningModule.validation_step


def serving(**loaders):
    """Data whose loaders of the given splits are replaced."""
    data = Numbers()
    for name, loader in loaders.items():
        setattr(data, f"{name}_dataloader", lambda loader=loader: loader)
    return data


EMPTY = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.zeros(0, 6), torch.zeros(0)))
SERVED = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(20, 6), torch.ones(20)), 10)


@pytest.mark.parametrize(
    ("module", "data", "line"),
    [
        (WithoutValidation, {}, "module: WithoutValidation has no validation_step"),
        (Regression, {"test": None}, "data: test_dataloader returns None; a dataloader is wanted"),
        (Regression, {"val": None}, "data: val_dataloader returns None; a dataloader is wanted"),
        (Regression, {"test": EMPTY}, "data: the test dataloader is empty"),
        (Regression, {"val": EMPTY}, "data: the val dataloader is empty"),
        (Regression, {"test": []}, "data: test_dataloader returns 0 dataloaders; one is wanted"),
        (Regression, {"test": [SERVED, SERVED]}, "data: test_dataloader returns 2 dataloaders; one is wanted"),
        (Regression, {"val": [SERVED, SERVED]}, "data: val_dataloader returns 2 dataloaders; one is wanted"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_before_the_dense_network_is_trained(monkeypatch, module, data, line):
    monkeypatch.setattr(Training, "fit", None)
    one = Training(module, serving(**data), "8it", metric="mse", direction="min")
    with pytest.raises(ValueError, match=f"^{line}$"):
        next(levels(Recipe(), one))


def test_a_network_that_draws_from_numpy_is_a_function_of_the_seed_too():
    class FromNumpy(Regression):
        def __init__(self):
            super().__init__()
            self.head.weight.data.copy_(torch.from_numpy(numpy.random.randn(1, 3)))

    one = Training(FromNumpy, Numbers(), "6it", metric="mse", direction="min")
    first, second = levels(Recipe(schedule=Geometric(0.5, 1)), one)
    mask = second.trained.masks["head.weight"]
    assert torch.equal(
        first.trained.origin.weights["head.weight"][mask], second.trained.origin.weights["head.weight"][mask]
    )


def test_what_breaks_the_clock_or_the_rewind_is_refused_before_training():
    shared = Regression()
    counter = itertools.count()

    class Drifting(Regression):
        def __init__(self):
            super().__init__()
            self.head.weight.data.fill_(next(counter))

    class Transferring(Numbers):
        def on_after_batch_transfer(self, batch, index):
            return batch

    given = {"length": "6it", "metric": "mse", "direction": "min"}
    for make, data, more, message in (
        (lambda: shared, Numbers(), {}, "must make a new network each time"),
        (Drifting, Numbers(), {}, "two networks of one seed differ"),
        (Regression, Transferring(), {}, "on_after_batch_transfer would not be called"),
        (
            Regression,
            Numbers(),
            {"trainer": {"accumulate_grad_batches": 2}},
            "accumulate_grad_batches=2: it is set by ltb",
        ),
        (Regression, Numbers(), {"trainer": {"foo": 2}}, "trainer.foo=2: there is no such setting"),
        (Regression, Numbers(), {"trainer": {"precision": "16-mixed"}}, "trainer.precision='16-mixed': one of"),
    ):
        with pytest.raises(ValueError, match=message):
            Training(make, data, **given, **more)


def test_a_loader_with_a_generator_of_its_own_gives_the_same_order_each_time():
    class Own(Numbers):
        generator = torch.Generator()

        def train_dataloader(self):
            return torch.utils.data.DataLoader(self.data, 10, shuffle=True, generator=self.generator)

    one = Training(Regression, Own(), "15it", metric="mse", direction="min")
    assert digest(one.fit(dense(one))) == digest(one.fit(dense(one)))


def test_all_of_a_modules_state_is_rewound_not_only_its_network():
    class Headed(Regression):
        def __init__(self):
            super().__init__()
            self.network = self.layers

    one = Training(Headed, Numbers(), "6it", metric="mse", direction="min")
    first, second = levels(Recipe(schedule=Geometric(0.5, 1), rewind=LearningRate()), one)
    assert torch.equal(second.trained.origin.weights["head.bias"], first.trained.point.weights["head.bias"])


def test_a_schedule_that_asks_the_trainer_for_the_runs_length_gets_the_dense_runs():
    class Cycle(Regression):
        def configure_optimizers(self):
            optimizer = OPTIMIZERS["sgd"](self.parameters())
            steps = self.trainer.estimated_stepping_batches
            scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=int(steps))
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    one = Training(Cycle, Numbers(), "25it", metric="mse", direction="min")
    passed = one.fit(dense(one), snapshots=[6]).snapshots[6]
    assert tensors.digest(passed.weights) == tensors.digest(one.fit(dense(one, stop=6), evaluate=False).point.weights)


def test_two_optimizers_are_refused_before_training():
    class Two(Regression):
        def configure_optimizers(self):
            self.automatic_optimization = False
            return [OPTIMIZERS["sgd"](self.layers.parameters()), OPTIMIZERS["sgd"](self.head.parameters())]

    one = Training(Two, Numbers(), "6it", metric="mse", direction="min")
    with pytest.raises(ValueError, match="it has 2 optimizers; the clock counts the steps of one"):
        one.check_one_step(Recipe())


class Lossy(Regression):
    """With the contract's method; and the habit of an attribute of another name that is a module."""

    def loss(self, batch):
        x, y = batch
        return functional.mse_loss(self(x), y)

    def forward(self, x):
        return self.head(self.layers(x)).squeeze(1)


def test_scores_and_measures_have_the_precision_of_the_weights():
    def of(precision):
        return Training(
            Lossy,
            Numbers(),
            "20it",
            metric="mse",
            direction="min",
            trainer={"precision": precision, "accelerator": "cpu"},
        )

    one, plain = of("64-true"), of("32-true")
    weights = one.initial()
    masks = m.ones(weights, one.prunable)
    found = one.probe(Gradient(2), weights, masks)["gradient"]
    other = plain.probe(Gradient(2), plain.initial(), masks)["gradient"]
    assert found["head.weight"].dtype == torch.float64
    assert torch.allclose(found["head.weight"].float(), other["head.weight"], rtol=1e-4, atol=1e-6)
    (x, y), *_ = one.batches("test")
    with torch.no_grad():
        assert one.module(Point(weights, 0), masks)(x).dtype == y.dtype == torch.float64


def test_an_attribute_called_loss_is_not_the_contracts_method():
    class Habit(Regression):
        def __init__(self):
            super().__init__()
            self.loss = torch.nn.MSELoss()

    one = Training(Habit, Numbers(), "20it", metric="mse", direction="min")
    weights = one.initial()
    with pytest.raises(
        ValueError, match=r"criterion.probe=Gradient needs the loss .* Habit has no method loss\(batch\)"
    ):
        one.probe(Gradient(), weights, m.ones(weights, one.prunable))


def test_a_clock_that_cannot_be_set_is_one_line():
    class Timed(Regression):
        @property
        def clock(self):
            return 3

    with pytest.raises(ValueError, match=r"module: Timed\.clock must take the run's Clock"):
        Training(Timed, Numbers(), "20it", metric="mse", direction="min")


def test_networks_are_measured_where_they_are_told_to_be():
    one = Training(Regression, Numbers(), "20it", metric="mse", direction="min", device=torch.device("meta"))
    assert one.device.type == "meta"
    assert next(iter(one.batches("test")))[0].device.type == "meta"


SCHEDULES = {
    "one cycle": (lambda o, t: torch.optim.lr_scheduler.OneCycleLR(o, 5e-3, total_steps=t), "step"),
    "cosine": (lambda o, t: torch.optim.lr_scheduler.CosineAnnealingLR(o, t), "step"),
    "warm-up": (lambda o, t: torch.optim.lr_scheduler.LambdaLR(o, lambda s: min(1.0, (s + 1) / (t // 3))), "step"),
    "steps": (lambda o, t: torch.optim.lr_scheduler.MultiStepLR(o, [1, 3], 0.1), "epoch"),
}


class Witness(Regression):
    """Notes what the Trainer says at each iteration, and takes its length from it."""

    schedule = "steps"

    def configure_optimizers(self):
        optimizer = OPTIMIZERS["sgd"](self.parameters())
        trainer = self.trainer
        self.lengths = trainer.estimated_stepping_batches, trainer.max_steps, trainer.max_epochs
        make, interval = SCHEDULES[self.schedule]
        scheduler = make(optimizer, trainer.estimated_stepping_batches)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": interval}}

    def training_step(self, batch, index):
        loss = super().training_step(batch, index)
        epoch, rate, x = self.seen[-1]
        self.seen[-1] = (self.global_step, epoch, index, rate, float(x.sum()))
        return loss


def witnessed(name, monkeypatch):
    """A training, and the modules that it made."""
    made = []

    def make():
        made.append(Witness())
        return made[-1]

    monkeypatch.setattr(Witness, "schedule", name)
    return Training(make, Numbers(), "25it", metric="mse", direction="min", evaluate_every="5it"), made


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("k", [0, 3, 7, 9, 14, 24])
def test_what_a_rewound_module_is_told_is_what_the_dense_run_was_told(monkeypatch, name, k):
    """In the middle of an epoch of 7 minibatches, and at its start; rewinding the weights or not, the clock is the same."""
    one, made = witnessed(name, monkeypatch)
    one.fit(dense(one))
    whole = made[-1]
    assert [seen[:3] for seen in whole.seen] == [(step, step // 7, step % 7) for step in range(25)]
    assert whole.lengths == (25, 25, 4)
    point = one.fit(dense(one, stop=k), evaluate=False).point if k else Point(one.initial(), 0)
    rest = one.fit(dense(one, k, weights=point.weights))
    assert made[-1].lengths == whole.lengths
    for before, after in zip(whole.seen[k:], made[-1].seen, strict=True):
        assert before[:3] == after[:3]
        assert before[3:] == pytest.approx(after[3:], rel=1e-9)
    assert [row["step"] for row in rest.history] == [step for step in (5, 10, 15, 20, 25) if step > k]


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("start", [25, 28, 33])
def test_fine_tuning_goes_on_at_the_dense_runs_last_rate(monkeypatch, name, start):
    """Once, and behind a level that was fine-tuned before."""
    one, made = witnessed(name, monkeypatch)
    trained = one.fit(dense(one)).point
    whole = made[-1]
    tuned = one.fit(dense(one, start, start + 12, weights=trained.weights))
    seen = made[-1].seen
    assert made[-1].lengths == whole.lengths
    assert [row[:3] for row in seen] == [(step, step // 7, step % 7) for step in range(start, start + 12)]
    assert [row[3] for row in seen] == pytest.approx([whole.seen[-1][3]] * 12)
    assert tuned.point.step == start + 12


@dataclass(frozen=True)
class Wrong(Criterion):
    """Scores that are not one a weight."""

    how: str

    def __call__(self, weights, evidence):
        if self.how == "a sum":
            return {name: weight.abs().sum() for name, weight in weights.items()}
        return dict(list(weights.items())[1:])


@pytest.mark.parametrize(("how", "given"), [("a sum", r"scores of shape \(\)"), ("one short", "none")])
def test_a_criterion_without_a_score_for_each_weight_is_refused_before_training(how, given):
    one = Training(Regression, Numbers(), "20it", metric="mse", direction="min")
    one.fit = None
    with pytest.raises(ValueError, match=f"criterion=Wrong: it gave {given} for .*weight, which has shape"):
        next(levels(Recipe(criterion=Wrong(how)), one))
