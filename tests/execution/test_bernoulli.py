"""Bernoulli supermasks: a numpy loop with the same draws agrees, what is evaluated is the point, a kill changes no byte."""

from itertools import pairwise

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ltb.core import masks as m
from ltb.core import tensors
from ltb.core.allocation import ERK, Global, Uniform
from ltb.core.criteria import Random
from ltb.core.loop import levels
from ltb.core.rewind import Weights
from ltb.core.seeds import derive
from ltb.execution import Bernoulli
from ltb.training import Classification, Constant, Training
from tests.execution.test_edge_popup import Own, Seen, classes, highest, ticket, two_layers
from tests.execution.test_edge_popup import recipe as scored
from tests.training.small import OPTIMIZERS, digest, source, training
from tests.training.test_fit import Kept, Killed


def recipe(*sparsities, rescale=False, **given):
    return scored(*sparsities, execution=Bernoulli(rescale), **given)


def sigmoid(s):
    return 1 / (1 + numpy.exp(-s))


def draws(step, shapes):
    """The uniform numbers of a step, one for each weight."""
    generator = torch.Generator().manual_seed(derive(3, "mask", step))
    return [torch.rand(shape, generator=generator, dtype=torch.float64).numpy() for shape in shapes]


def reference(weights, batches, sparsity, rescale, rate, momentum, decay):
    """Yield the scores after each step in float64: two layers, softmax cross-entropy, SGD on the scores."""
    w1, b1, w2, b2 = (weights[n].numpy() for n in ("0.weight", "0.bias", "2.weight", "2.bias"))
    total = w1.size + w2.size
    share = (total - round(total * sparsity) + 0.5) / (total + 1)
    s = [numpy.full(w.shape, numpy.log(share / (1 - share))) for w in (w1, w2)]
    v = [numpy.zeros_like(w) for w in (w1, w2)]
    for step, (x, y) in enumerate(batches):
        x, y = x.double().numpy(), y.numpy()
        mask = [(u < sigmoid(one)).astype(float) for u, one in zip(draws(step, (w1.shape, w2.shape)), s, strict=True)]
        c = [one.size / one.sum() if rescale else 1.0 for one in mask]
        z = x @ (w1 * mask[0] * c[0]).T + b1
        a = numpy.maximum(z, 0)
        logits = a @ (w2 * mask[1] * c[1]).T + b2
        p = numpy.exp(logits - logits.max(1, keepdims=True))
        d = p / p.sum(1, keepdims=True)
        d[numpy.arange(len(y)), y] -= 1
        d /= len(y)
        g = [((d @ (w2 * mask[1] * c[1])) * (z > 0)).T @ x, d.T @ a]  # of the effective weights
        for i, w in enumerate((w1, w2)):
            by_mask = g[i] * w * c[i]
            if rescale:  # d/dm_k of n / sum(m) is -n / sum(m)^2
                by_mask = by_mask - (g[i] * w * mask[i]).sum() * mask[i].size / mask[i].sum() ** 2
            v[i] = momentum * v[i] + by_mask * sigmoid(s[i]) * (1 - sigmoid(s[i])) + decay * s[i]
            s[i] = s[i] - rate * v[i]
        yield [one.copy() for one in s]


@pytest.mark.parametrize("rescale", [False, True])
@pytest.mark.parametrize("make", [classes, lambda: Own(two_layers())], ids=["chunked", "closure"])
def test_a_plain_float64_loop_with_the_same_draws_comes_to_the_same_scores(make, rescale):
    judge = {} if make is classes else {"metric": "loss", "direction": "min"}
    one = Training(make, source(), "30it", 3, trainer={"precision": "64-true"}, evaluate_every="1it", **judge)
    fit, seen, start = ticket(one, recipe(rescale=rescale)), Seen(), one.initial()
    found = one.fit(fit, checkpoints=seen)
    expected = list(reference(start, one.source.stream(3, 0, 30), 0.6, rescale, 0.2, 0.9, 1e-2))
    assert len(seen.progress) >= 29
    for progress in seen.progress:
        scores = expected[progress.point.step - 1]
        flat = numpy.concatenate([one.ravel() for one in scores])
        mask = highest(flat, len(flat) - round(len(flat) * 0.6))
        parts = mask[: scores[0].size].reshape(scores[0].shape), mask[scores[0].size :].reshape(scores[1].shape)
        for name, score, kept in zip(("0.weight", "2.weight"), scores, parts, strict=True):
            assert numpy.allclose(progress.state[f"score/{name}"].numpy(), score, rtol=1e-9, atol=1e-12)
            scale = kept.size / kept.sum() if rescale else 1.0
            shown = numpy.where(kept, start[name].numpy() * scale, 0)
            assert numpy.allclose(progress.point.weights[name].numpy(), shown, rtol=1e-12, atol=0)
        row = next(row for row in found.history if row["step"] == progress.point.step)
        assert row["expected_density"] == pytest.approx(sigmoid(flat).mean(), rel=1e-6)
        # What was evaluated within the fit is the rounded network, not one that was drawn.
        assert one.evaluate(progress.point, {}, ["val"])["val/loss"] == pytest.approx(row["val/loss"], rel=1e-6)


@settings(max_examples=8, deadline=None)
@given(
    st.sampled_from(list(OPTIMIZERS)),
    st.integers(0, 99),
    st.sampled_from([0.1, 0.5, 0.83]),
    st.sampled_from([Global(), Uniform(), ERK()]),
    st.sampled_from([{}, {"gradient_clip": 0.1, "accumulate": 2, "l1": 1e-2}]),
)
def test_weights_stay_counts_are_exact_and_evaluations_change_nothing(optimizer, seed, sparsity, allocation, module):
    one = training(seed, optimizer=optimizer, evaluate_every="3it", module=module, length="13it")
    fit, seen, start = ticket(one, recipe(sparsity, allocation=allocation)), Seen(), one.initial()
    found = one.fit(fit, snapshots=[7], checkpoints=seen)
    shapes = {name: tuple(start[name].shape) for name in one.prunable}
    points = [progress.point for progress in seen.progress]
    for point in (*points, found.snapshots[7], found.point, *([found.best] if found.best else [])):
        kept = {name: point.weights[name] != 0 for name in one.prunable}  # no weight is drawn as 0
        assert m.remaining(kept) == allocation.kept(shapes, sparsity)
        assert all(torch.equal(point.weights[name], m.apply(start, kept)[name]) for name in shapes)
    assert {row["density"] for row in found.history} == {m.density(found.masks)}
    assert tensors.digest(found.origin.weights) == tensors.digest(m.apply(start, found.masks))
    assert not found.point.optimizer
    blind = one.fit(fit, evaluate=False)
    assert digest(blind) == digest(found)


@pytest.mark.parametrize("rescale", [False, True])
def test_a_fit_that_is_killed_at_any_evaluation_goes_on_to_the_same_bytes(tmp_path, rescale):
    one = training(2, optimizer="adamw", evaluate_every="1it", length="8it")
    fit = ticket(one, recipe(rescale=rescale))
    whole = one.fit(fit)
    for left in range(1, 8):
        path = tmp_path / f"{left}.safetensors"
        with pytest.raises(Killed):
            one.fit(fit, checkpoints=Kept(path, left))
        rest = one.fit(fit, checkpoints=Kept(path, -1))
        assert digest(rest) == digest(whole)
        assert tensors.digest(rest.masks) == tensors.digest(whole.masks)
        assert [{**row, "seconds": 0} for row in rest.history] == [{**row, "seconds": 0} for row in whole.history]


def test_it_finds_a_network_that_does_better_than_the_one_it_began_with():
    def make():
        network = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 3))
        nn.init.kaiming_normal_(network[0].weight)
        nn.init.kaiming_normal_(network[2].weight)
        return Classification(network, torch.optim.Adam, Constant(base=0.1))

    one = Training(make, source(), "150it", evaluate_every="10it")
    fit = ticket(one, recipe(0.5))
    trained, before = one.fit(fit), one.evaluate(fit.origin, {}, ["val"])["val/loss"]
    assert trained.history[0]["expected_density"] == pytest.approx(0.5, abs=0.05)
    assert min(row["val/loss"] for row in trained.history) < 0.7 * before


def test_levels_of_a_chain_nest():
    found = [level.trained.masks for level in levels(recipe(0.3, 0.6, 0.9, prune_from="previous"), training(4))][1:]
    assert all(m.nested(inner, outer) for outer, inner in pairwise(found))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"criterion": Random()}, "criterion=Random would have no effect, for execution=Bernoulli ranks"),
        ({"rewind": Weights(optimizer_state="kept")}, "rewind.optimizer_state='kept'"),
    ],
)
def test_what_would_have_no_effect_is_refused(given, said):
    with pytest.raises(ValueError, match=said):
        recipe(**given)
    with pytest.raises(ValueError, match=r"execution.rescale=3: true or false"):
        Bernoulli(3)
