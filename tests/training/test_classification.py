"""The step of the classification module against plain autograd."""

from functools import partial

import pytest
import torch
import torchmetrics
from torch import nn
from torch.nn import functional

from ltb.core import masks as m
from ltb.core import tensors
from ltb.core.points import Fit, Point
from ltb.training import Classification, Constant, Milestones
from tests.training.small import OPTIMIZERS, metrics, network, source, training, without_rate


def fitted(length="9it", **given):
    one = training(1, length, dropout=0.0, **given)
    weights = one.initial()
    return one, one.fit(Fit.of(m.ones(weights, one.prunable), Point(weights, 0), one.clock.length)).point.weights


def by_hand(one, loss_of, steps=9, clip=None, norm=None):
    net = norm or network(0.0)
    net.load_state_dict(one.initial())
    optimizer = OPTIMIZERS["sgd"](net.parameters())
    optimizer.param_groups[0]["lr"] = 0.05
    for x, y in one.source.stream(1, 0, steps):
        optimizer.zero_grad()
        loss_of(net, x, y).backward()
        if clip:
            nn.utils.clip_grad_norm_(net.parameters(), clip)
        optimizer.step()
    return net.state_dict()


def test_the_penalty_is_l1_and_l2_of_linear_and_convolutional_weights_only():
    one, weights = fitted(module={"l1": 0.01, "l2": 0.02})

    def loss(net, x, y):
        penalty = sum(0.01 * w.abs().sum() + 0.02 * w.square().sum() for w in (net[0].weight, net[4].weight))
        return functional.cross_entropy(net(x), y) + penalty

    expected = by_hand(one, loss)
    for name, weight in weights.items():
        assert torch.allclose(weight, expected[name], rtol=1e-5, atol=1e-6), name


def test_clipping_is_of_the_total_norm():
    one, weights = fitted(module={"gradient_clip": 0.05})
    expected = by_hand(one, lambda net, x, y: functional.cross_entropy(net(x), y), clip=0.05)
    for name, weight in weights.items():
        assert torch.equal(weight, expected[name]), name


def test_accumulated_parts_give_the_gradient_of_the_whole_minibatch():
    """Parts of 4, 4 and 2 examples; without batch norm, which would see other batches."""
    of = source()
    results = []
    for parts in (1, 3):
        net = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3)).double()
        torch.manual_seed(0)
        for parameter in net.parameters():
            nn.init.normal_(parameter)
        module = Classification(net, without_rate(OPTIMIZERS["sgd"]), Constant(base=0.05), accumulate=parts)
        x, y = next(iter(of.stream(0, 0, 1)))
        loss = module._backward(x.double(), y)
        results.append((loss, [parameter.grad.clone() for parameter in net.parameters()]))
    (loss, gradients), (same, others) = results
    assert float(loss) == pytest.approx(float(same), rel=1e-12)
    assert all(torch.allclose(one, other, atol=1e-12) for one, other in zip(gradients, others, strict=True))


def test_the_measures_are_means_over_examples_whatever_the_batches():
    one = training(0, "7it", dropout=0.0)
    weights = one.initial()
    trained = one.fit(Fit.of(m.ones(weights, one.prunable), Point(weights, 0), 7))
    net = network(0.0)
    net.load_state_dict(trained.point.weights)
    net.eval()
    for split in ("val", "test"):
        x, y = (torch.cat(parts) for parts in zip(*one.source.evaluation(split), strict=True))
        with torch.no_grad():
            logits = net(x)
        assert metrics(one, trained)[f"{split}/loss"] == pytest.approx(
            float(functional.cross_entropy(logits, y)), rel=1e-5
        )
        assert metrics(one, trained)[f"{split}/accuracy"] == pytest.approx(
            float((logits.argmax(1) == y).float().mean())
        )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"optimizer": OPTIMIZERS["adam"]},
            "optimizer.lr=0.1: it would have no effect, for the rate is set at each step",
        ),
        ({"l1": -1.0}, "module.l1=-1.0: a number, 0 or more"),
        ({"gradient_clip": 0.0}, "module.gradient_clip=0.0: a number, above 0"),
        ({"accumulate": 0}, "module.accumulate=0: a whole number, 1 or more"),
    ],
)
def test_what_cannot_be_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        Classification(
            network(), **{"optimizer": without_rate(OPTIMIZERS["sgd"]), **given}, learning_rate=Constant(base=0.1)
        )


def test_a_hundred_classes_have_a_top_5_accuracy():
    net = nn.Linear(100, 100, bias=False)
    with torch.no_grad():
        net.weight.copy_(torch.eye(100))
    module = Classification(net, without_rate(OPTIMIZERS["sgd"]), Milestones(base=0.1, milestones=[]))
    x = torch.zeros(2, 100)
    x[0, [3, 4, 5, 6, 7]] = torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0])
    x[1, 0] = 1.0
    module._evaluate((x, torch.tensor([7, 0])), "val")
    assert (int(module._sums["accuracy"]), int(module._sums["top5_accuracy"])) == (1, 2)


def test_labels_are_smoothed_in_training_and_not_in_evaluation():
    one, weights = fitted(module={"label_smoothing": 0.1})

    def loss(net, x, y):
        targets = 0.9 * functional.one_hot(y, 3) + 0.1 / 3
        return -(targets * net(x).log_softmax(1)).sum(1).mean()

    expected = by_hand(one, loss)
    for name, weight in weights.items():
        assert torch.allclose(weight, expected[name], rtol=1e-5, atol=1e-6), name
    plain, smoothed = (fitted(module={"label_smoothing": value})[0] for value in (0.0, 0.1))
    point = Point(plain.initial(), 0)
    assert plain.evaluate(point, {}, ["test"]) == smoothed.evaluate(point, {}, ["test"])


def test_parts_of_a_minibatch_are_smoothed_as_the_whole():
    x, y = torch.randn(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    gradients = []
    for parts in (1, 3):
        torch.manual_seed(0)
        module = Classification(
            nn.Linear(4, 3), without_rate(OPTIMIZERS["sgd"]), Constant(base=0.1), label_smoothing=0.2, accumulate=parts
        )
        loss = module._backward(x, y)
        assert float(loss) == pytest.approx(float(module.loss((x, y)).detach()), abs=1e-6)
        gradients.append(module.network.weight.grad)
    assert torch.allclose(*gradients, atol=1e-7)


def test_further_metrics_are_logged_for_each_split():
    further = {"f1": torchmetrics.F1Score("multiclass", num_classes=3, average="macro"),
               "top_2": torchmetrics.Accuracy("multiclass", num_classes=3, top_k=2, average="micro")}  # fmt: skip
    one = training(1, "9it", dropout=0.0, module={"metrics": further})
    weights = one.initial()
    found = one.evaluate(Point(weights, 0), {}, ["val", "test"])
    net = network(0.0).eval()
    net.load_state_dict(weights)
    for split in ("val", "test"):
        batches = list(one.source.evaluation(split))
        logits, y = torch.cat([net(x) for x, _ in batches]), torch.cat([y for _, y in batches])
        scores = []
        for label in range(3):
            right = ((logits.argmax(1) == label) & (y == label)).sum()
            scores.append(2 * right / ((logits.argmax(1) == label).sum() + (y == label).sum()))
        assert found[f"{split}/f1"] == pytest.approx(float(torch.stack(scores).mean()), abs=1e-6)
        two = logits.topk(2, 1).indices
        assert found[f"{split}/top_2"] == pytest.approx(float((two == y[:, None]).any(1).float().mean()), abs=1e-6)


class Counting(torch.optim.SGD):
    """An optimizer that has a way of its own to clear gradients."""

    cleared = 0

    def zero_grad(self, set_to_none: bool = True) -> None:
        Counting.cleared += 1
        super().zero_grad(set_to_none)


def test_an_optimizers_own_way_to_clear_gradients_is_its_own(monkeypatch):
    _, plain = fitted()
    monkeypatch.setitem(OPTIMIZERS, "sgd", partial(Counting, *OPTIMIZERS["sgd"].args, **OPTIMIZERS["sgd"].keywords))
    _, own = fitted()
    assert Counting.cleared == 9
    assert tensors.digest(plain) == tensors.digest(own)
