"""Edge-popup: a numpy loop of its own agrees, weights stay bit for bit, counts are exact, a kill changes no byte."""

from functools import partial
from itertools import pairwise

import numpy
import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from ltb.core import masks as m
from ltb.core import tensors
from ltb.core.allocation import ERK, Global, Layerwise, Uniform, kept_count
from ltb.core.chain import stages
from ltb.core.controls import Reinit, Shuffle
from ltb.core.criteria import Random
from ltb.core.dynamics import RigL
from ltb.core.loop import Loop, Recent, levels
from ltb.core.recipe import Recipe
from ltb.core.rewind import FineTune, Weights
from ltb.core.schedules import Explicit
from ltb.execution import EdgePopup
from ltb.execution.edge_popup import initial_scores
from ltb.execution.scores import chosen
from ltb.training import Classification, Constant, Training
from tests.training.small import OPTIMIZERS, classes, digest, source, training, two_layers
from tests.training.test_fit import Kept, Killed


def recipe(*sparsities, **given):
    given = {"prune_from": "start", "execution": EdgePopup()} | given
    return Recipe(schedule=Explicit(sparsities or (0.6,)), **given)


def ticket(of, made):
    """The fit of the recipe's last level."""
    return stages(made, of.clock)[-1].ticket(Loop(of, Recent()))


class Seen:
    """Checkpoints that keep all that is offered, in memory."""

    def __init__(self):
        self.progress = []

    def load(self):
        return None

    def offer(self, progress):
        self.progress.append(progress())


# A plain loop in numpy, backward pass included


class Own(pl.LightningModule):
    """A module of one's own: the Trainer gives its optimizer a closure that goes forward and backward."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def training_step(self, batch, index):
        return functional.cross_entropy(self.network(batch[0]), batch[1])

    def validation_step(self, batch, index):
        self.log("val/loss", functional.cross_entropy(self.network(batch[0]), batch[1]))

    def test_step(self, batch, index):
        self.log("test/loss", functional.cross_entropy(self.network(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.SGD(self.network.parameters(), lr=0.2, momentum=0.9, weight_decay=1e-2)


def highest(values, count):
    """The mask of the `count` highest of a vector, the earlier of equals."""
    mask = numpy.zeros(len(values), bool)
    mask[sorted(range(len(values)), key=lambda i: (-values[i], i))[:count]] = True
    return mask


def reference(weights, scores, batches, sparsity, rate, momentum, decay):
    """Yield scores and masks after each step of edge-popup in float64: two layers, softmax cross-entropy, SGD on the scores."""
    w1, b1, w2, b2 = (weights[n].numpy() for n in ("0.weight", "0.bias", "2.weight", "2.bias"))
    s1, s2 = (scores[n].numpy().copy() for n in ("0.weight", "2.weight"))
    v1, v2 = numpy.zeros_like(s1), numpy.zeros_like(s2)

    def top():
        sizes = numpy.abs(numpy.concatenate([s1.ravel(), s2.ravel()]))
        mask = highest(sizes, len(sizes) - round(len(sizes) * sparsity))
        return mask[: s1.size].reshape(s1.shape), mask[s1.size :].reshape(s2.shape)

    h1, h2 = top()
    for x, y in batches:
        x, y = x.double().numpy(), y.numpy()
        z = x @ (w1 * h1).T + b1
        a = numpy.maximum(z, 0)
        logits = a @ (w2 * h2).T + b2
        p = numpy.exp(logits - logits.max(1, keepdims=True))
        d = p / p.sum(1, keepdims=True)
        d[numpy.arange(len(y)), y] -= 1
        d /= len(y)
        g2, g1 = d.T @ a, ((d @ (w2 * h2)) * (z > 0)).T @ x  # of the effective weights, kept or not
        v1 = momentum * v1 + g1 * w1 * numpy.sign(s1) + decay * s1
        v2 = momentum * v2 + g2 * w2 * numpy.sign(s2) + decay * s2
        s1, s2 = s1 - rate * v1, s2 - rate * v2
        h1, h2 = top()
        yield {"0.weight": s1, "2.weight": s2}, {"0.weight": h1, "2.weight": h2}


@pytest.mark.parametrize("make", [classes, lambda: Own(two_layers())], ids=["chunked", "closure"])
def test_a_plain_float64_loop_comes_to_the_same_scores_and_masks(make):
    judge = {} if make is classes else {"metric": "loss", "direction": "min"}
    one = Training(make, source(), "40it", 3, trainer={"precision": "64-true"}, evaluate_every="1it", **judge)
    fit, seen = ticket(one, recipe()), Seen()
    found = one.fit(fit, checkpoints=seen)
    start = one.initial()
    scores = initial_scores({name: start[name] for name in one.prunable}, 3)
    expected = list(reference(start, scores, one.source.stream(3, 0, 40), 0.6, 0.2, 0.9, 1e-2))
    assert len(seen.progress) >= 39
    for progress in seen.progress:
        scores, masks = expected[progress.point.step - 1]
        for name, mask in masks.items():
            assert numpy.allclose(progress.state[f"score/{name}"].numpy(), scores[name], rtol=1e-9, atol=1e-12)
            assert numpy.array_equal(progress.point.weights[name].numpy(), numpy.where(mask, start[name].numpy(), 0))
    assert all(numpy.array_equal(found.masks[name].numpy(), mask) for name, mask in expected[-1][1].items())
    assert not all(numpy.array_equal(expected[0][1][name], mask) for name, mask in expected[-1][1].items())


def test_it_finds_a_network_that_does_better_than_the_one_it_began_with():
    def make():
        network = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 3))
        nn.init.kaiming_normal_(network[0].weight)
        nn.init.kaiming_normal_(network[2].weight)
        return Classification(network, partial(torch.optim.SGD, momentum=0.9), Constant(base=0.1))

    one = Training(make, source(), "100it")
    trained = one.fit(ticket(one, recipe(0.5)))
    assert trained.history[-1]["train/loss"] < 0.5 * trained.history[0]["train/loss"]
    assert trained.history[-1]["regrown"] > trained.history[0]["regrown"]


# The laws

ALLOCATIONS = [Global(), Layerwise(), Uniform(), ERK()]


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from(list(OPTIMIZERS)),
    st.integers(0, 99),
    st.sampled_from([0.1, 0.5, 0.83]),
    st.sampled_from(ALLOCATIONS),
    st.sampled_from([{}, {"gradient_clip": 0.1, "accumulate": 2, "l1": 1e-2}]),
)
def test_weights_stay_bit_for_bit_and_counts_are_exact_at_each_evaluation(
    optimizer, seed, sparsity, allocation, module
):
    one = training(seed, optimizer=optimizer, evaluate_every="2it", module=module)
    fit, seen, start = ticket(one, recipe(sparsity, allocation=allocation)), Seen(), one.initial()
    found = one.fit(fit, snapshots=[7], checkpoints=seen)
    buffers = {name for name in start if "running" in name or "num_batches" in name}
    shapes = {name: tuple(start[name].shape) for name in one.prunable}
    points = [progress.point for progress in seen.progress]
    for point in (*points, found.snapshots[7], found.at(found.stop), *([found.best] if found.best else [])):
        kept = {name: point.weights[name] != 0 for name in one.prunable}  # no weight is drawn as 0
        assert m.remaining(kept) == allocation.kept(shapes, sparsity)
        expected = m.apply(start, kept)
        for name in expected.keys() - buffers:
            assert torch.equal(point.weights[name].view(torch.int32), expected[name].view(torch.int32)), name
    assert {row["density"] for row in found.history} == {m.density(found.masks)}
    for point in (found.point, found.origin):
        assert all(torch.equal(point.weights[name], m.apply(start, found.masks)[name]) for name in shapes)
    assert tensors.digest(found.origin.weights) == tensors.digest(m.apply(start, found.masks))
    assert not found.point.optimizer  # no weight was trained, and no state is one's


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 99), st.sampled_from([0.05, 0.5, 0.9]), st.integers(1, 3))
def test_of_equal_scores_the_earlier_is_kept_and_only_candidates_are(seed, target, different):
    generator = torch.Generator().manual_seed(seed)
    shapes = {"a": (4, 5), "b": (3, 7)}
    scores = {n: torch.randint(-different, different + 1, s, generator=generator).float() for n, s in shapes.items()}
    candidates = {n: torch.rand(s, generator=generator) < 0.97 for n, s in shapes.items()}
    aim = type(
        "Aim", (), {"allocation": Global(), "target": max(target, m.sparsity(candidates)), "seed": 0, "start": {}}
    )
    sizes = {name: score.abs() for name, score in scores.items()}
    found = torch.cat([mask.flatten() for mask in chosen(sizes, candidates, aim).values()])
    flat, alive = (torch.cat([t.flatten() for t in each.values()]) for each in (scores, candidates))
    best = sorted((i for i in range(len(flat)) if alive[i]), key=lambda i: (-abs(float(flat[i])), i))
    assert found.nonzero().flatten().tolist() == sorted(best[: kept_count(len(flat), aim.target)])


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_fit_that_is_killed_at_any_evaluation_goes_on_to_the_same_bytes(tmp_path, optimizer):
    one = training(2, optimizer=optimizer, evaluate_every="1it", length="12it")
    fit = ticket(one, recipe())
    whole = one.fit(fit)
    for left in range(1, 12):
        path = tmp_path / f"{left}.safetensors"
        with pytest.raises(Killed):
            one.fit(fit, checkpoints=Kept(path, left))
        rest = one.fit(fit, checkpoints=Kept(path, -1))
        assert digest(rest) == digest(whole)
        assert tensors.digest(rest.masks) == tensors.digest(whole.masks)
        assert tensors.digest(rest.origin.weights) == tensors.digest(whole.origin.weights)
        assert [{**row, "seconds": 0} for row in rest.history] == [{**row, "seconds": 0} for row in whole.history]


def test_levels_of_a_chain_nest_and_each_is_of_the_same_weights():
    one = training(4)
    found = list(levels(recipe(0.3, 0.6, 0.9, prune_from="previous"), one))[1:]
    for level in found:
        expected = m.apply(one.initial(), level.trained.masks)
        assert all(torch.equal(level.trained.point.weights[name], expected[name]) for name in one.prunable)
    masks = [level.trained.masks for level in found]
    assert all(m.nested(inner, outer) for outer, inner in pairwise(masks))


def test_the_module_is_as_it_was_when_the_fit_is_over():
    seen, trained = [], []

    class Look(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            seen.append(pl_module)
            trained.append({name for name, p in pl_module.network.named_parameters() if p.requires_grad})

    one = training(5, observers=lambda: [Look()])
    one.fit(ticket(one, recipe()))
    assert all(names == set(one.prunable) for names in trained)
    assert all(parameter.requires_grad for parameter in seen[-1].parameters())


def test_scores_are_drawn_by_seed_and_name_within_the_bound_of_the_fan_in():
    weights = {"a": torch.zeros(50, 4, 5), "b": torch.zeros(50, 4, 5), "bias": torch.zeros(7)}
    one, again, other = (initial_scores(weights, seed) for seed in (0, 0, 1))
    assert tensors.digest(one) == tensors.digest(again)
    assert not torch.equal(one["a"], other["a"])
    assert not torch.equal(one["a"], one["b"])
    for name, bound in (("a", 20**-0.5), ("bias", 1.0)):
        assert 0.8 * bound < one[name].abs().max() <= bound
    assert abs(float(one["a"].mean())) < 0.02  # 1,000 draws of standard deviation 0.13


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"dynamics": RigL()}, "dynamics=RigL would change masks that execution=EdgePopup makes"),
        ({"criterion": Random()}, "criterion=Random would have no effect, for execution=EdgePopup ranks"),
        ({"control": Shuffle()}, "control=shuffle moves the masks"),
        ({"rewind": Weights(optimizer_state="kept")}, "rewind.optimizer_state='kept'"),
    ],
)
def test_what_would_have_no_effect_is_refused(given, said):
    with pytest.raises(ValueError, match=said):
        recipe(**given)


def test_it_goes_with_a_new_initialisation_and_with_trained_weights():
    one = training(6)
    again = list(levels(recipe(control=Reinit()), one))[-1].trained
    assert torch.equal(again.point.weights["0.weight"], m.apply(one.initial("reinit"), again.masks)["0.weight"])
    dense, level = levels(recipe(prune_from="dense", rewind=FineTune(length="2ep")), one)
    expected = m.apply(dense.trained.point.weights, level.trained.masks)
    assert all(torch.equal(level.trained.point.weights[name], expected[name]) for name in one.prunable)
