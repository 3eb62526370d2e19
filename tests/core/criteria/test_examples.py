"""So many examples of each class: the first that the stream brings, in equal minibatches, at their part of a step's cost."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from ltb.core.criteria import Fisher, Gradient, GradientMoments, Grasp, HessianGradient, Inverted, Snip, Taylor
from ltb.core.criteria.examples import minibatches
from tests.core.criteria.small import Learner, batches, mlp, scores, weights_of
from tests.training.small import training


def first_of_each(data, count, classes):
    """The examples of a stream that are among the first `count` of their class: a plain loop."""
    seen, found = dict.fromkeys(range(classes), 0), []
    for x, y in itertools.chain.from_iterable(zip(*batch, strict=True) for batch in data):
        if seen[int(y)] < count:
            seen[int(y)] += 1
            found.append((x, y))
        if all(number == count for number in seen.values()):
            return torch.stack([x for x, _ in found]), torch.stack([y for _, y in found])
    return None


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), count=st.integers(1, 4), classes=st.integers(2, 4), size=st.integers(1, 7))
def test_they_are_the_first_of_each_class_in_the_fewest_equal_minibatches(seed, count, classes, size):
    network = mlp(3, classes, seed=seed)
    data = batches(network, 12, size, seed)
    expected = first_of_each(data, count, classes)
    probe = Gradient(examples_per_class=count)
    if expected is None:
        with pytest.raises(
            ValueError, match=rf"^examples_per_class={count}: of class \d a run's training minibatches have"
        ):
            list(minibatches(probe, Learner(network), lambda: iter(data)))
        return
    found = list(minibatches(probe, Learner(network), lambda: iter(data)))
    assert all(
        torch.equal(torch.cat(parts), want) for parts, want in zip(zip(*found, strict=True), expected, strict=True)
    )
    lengths = {len(y) for _, y in found}
    total = count * classes
    fewest = min(pieces for pieces in range(1, total + 1) if total % pieces == 0 and total // pieces <= size)
    assert (lengths, len(found)) == ({total // fewest}, fewest)
    assert probe.steps(Learner(network), lambda: iter(data)) == pytest.approx(total / size)
    grasp = HessianGradient(examples_per_class=count)
    assert grasp.steps(Learner(network), lambda: iter(data)) == pytest.approx(4 * total / size)


def test_scores_are_of_the_mean_loss_of_these_examples():
    network = mlp(4, 3)
    data = batches(network, 9, 4)
    x, y = first_of_each(data, 2, 3)
    weight = network[0].weight.detach()
    error = torch.softmax(network(x).detach(), 1) - functional.one_hot(y, 3)
    each = error[:, :, None] * x[:, None, :]  # the gradient of each example
    found = scores(Snip(examples_per_class=2), network, data)["0.weight"]
    assert torch.allclose(found, (weight * each.mean(0)).abs(), rtol=1e-12)
    found = scores(Fisher(examples_per_class=2), network, data)["0.weight"]
    assert torch.allclose(found, each.square().mean(0), rtol=1e-12)
    pieces = torch.stack([part.mean(0) for part in each.chunk(2)])  # six examples in two minibatches of three
    found = scores(Taylor(examples_per_class=2), network, data)["0.weight"]
    assert torch.allclose(found, (weight * pieces).abs().mean(0), rtol=1e-12)
    whole = scores(Grasp(batches=2), network, [(x[:3], y[:3]), (x[3:], y[3:])])["0.weight"]
    assert torch.equal(scores(Grasp(examples_per_class=2), network, data)["0.weight"], whole)
    assert Inverted(Snip(examples_per_class=2)).probe == Gradient(examples_per_class=2)
    assert weights_of(network)["0.weight"].equal(weight)


def test_a_training_draws_them_by_its_seed_and_step():
    one, other = training(0), training(1)
    ask = GradientMoments(examples_per_class=3)
    weights = one.initial()
    found = [of.probe(ask, weights, {}, step=step)["square"] for of, step in ((one, 0), (one, 0), (one, 3), (other, 0))]
    same = [all(torch.equal(found[0][name], each[name]) for name in one.prunable) for each in found]
    assert same == [True, True, False, False]
    assert one.cost(ask) == pytest.approx(3 * 3 / 10)
    assert (one.cost(None), one.cost(Gradient(2)), one.cost(HessianGradient(2))) == (0, 2, 8)


class Flat(nn.Module):
    def forward(self, x):
        return x.sum(1)


class Mean(Learner):
    def loss(self, batch):
        return self.network(batch[0]).mean()


X, Y = torch.ones(2, 4), torch.tensor([0, 1])


@pytest.mark.parametrize(
    ("module", "batch", "said"),
    [
        (Learner(nn.Linear(4, 3)), {"x": X}, r"minibatches must be pairs \(x, y\) of tensors, and one is a dict"),
        (Learner(nn.Linear(4, 3)), (X, Y, Y), r"minibatches must be pairs \(x, y\) of tensors, and one is a tuple"),
        (Learner(nn.Linear(4, 3)), (X, Y.float()), r"labels must be integers of shape \(batch,\), and these are float32"),
        (Learner(nn.Linear(4, 3)), (X, Y[:, None]), r"these are int64 of shape \(2, 1\)"),
        (Mean(Flat()), (X, Y), r"Flat, which must return logits of shape \(batch, classes\); here that is \(2,\)"),
        (Mean(nn.Linear(4, 1)), (X, Y), r"labels must be in 0..0, the network's classes"),
    ],
)  # fmt: skip
def test_what_has_no_classes_is_refused_in_one_line(module, batch, said):
    with pytest.raises(ValueError, match=said) as raised:
        list(minibatches(Gradient(examples_per_class=2), module, lambda: iter([batch])))
    assert str(raised.value).startswith("examples_per_class=2: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("make", [Snip, Grasp, Taylor, Fisher])
def test_minibatches_beside_are_refused(make):
    with pytest.raises(
        ValueError, match=r"criterion.batches=3: no effect with criterion.examples_per_class=2; 1 is allowed"
    ):
        make(batches=3, examples_per_class=2)
    with pytest.raises(ValueError, match=r"criterion.examples_per_class=0"):
        make(examples_per_class=0)
