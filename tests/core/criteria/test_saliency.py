"""SNIP and GraSP against the definitions, by other means: hand-written gradients and finite differences."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from ltb.core import tensors
from ltb.core.criteria import Gradient, Grasp, HessianGradient, Inverted, PerTensorNorm, Snip, Synflow, ZScore
from tests.core.criteria.small import Learner, batches, mlp, scores, weights_of


def test_snip_is_the_weight_times_a_gradient_by_hand():
    """Of softmax regression: ∂L/∂W = mean over examples of (p − 1[y]) xᵀ, here over three minibatches at once."""
    network = mlp(4, 3)
    data = batches(network)
    x, y = (torch.cat(parts) for parts in zip(*data, strict=True))
    weight, bias = network[0].weight.detach(), network[0].bias.detach()
    error = torch.softmax(x @ weight.T + bias, 1) - functional.one_hot(y, 3)
    gradient = error.T @ x / len(x)
    found = scores(Snip(batches=3), network, data)["0.weight"]
    assert torch.allclose(found, (weight * gradient).abs(), rtol=1e-12)
    apart = torch.stack([scores(Snip(), network, [one])["0.weight"] for one in data]).mean(0)
    assert not torch.allclose(found, apart)  # summed before the absolute value


def test_snip_in_training_mode_sees_the_statistics_of_the_batch():
    network = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)).double()
    data = batches(network, 1)
    one, other = (scores(Snip(train=train), network, data)["0.weight"] for train in (False, True))
    assert not torch.allclose(one, other)
    network.train()
    functional.cross_entropy(network(data[0][0]), data[0][1]).backward()
    assert torch.allclose(other, (network[0].weight * network[0].weight.grad).abs())


def hessian_times_gradient(network, data, temperature, step=1e-4):
    """H g of the mean loss at divided logits, by central differences along g."""
    start = {name: w.clone() for name, w in tensors.weights_of(network).items()}

    def gradient(weights):
        leaves = {name: w.clone().requires_grad_() for name, w in weights.items()}
        losses = [functional.cross_entropy(functional_call(network, leaves, x) / temperature, y) for x, y in data]
        found = torch.autograd.grad(torch.stack(losses).mean(), list(leaves.values()))
        return dict(zip(leaves, found, strict=True))

    g = gradient(start)
    length = torch.stack([one.square().sum() for one in g.values()]).sum().sqrt()
    ahead, behind = (gradient({n: w + sign * step * g[n] / length for n, w in start.items()}) for sign in (1, -1))
    return {name: (ahead[name] - behind[name]) * length / (2 * step) for name in start}


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 3), temperature=st.sampled_from([1.0, 200.0]))
def test_grasp_is_the_weight_times_finite_differences_of_the_gradient(seed, count, temperature):
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()  # smooth, for the differences
    data = batches(network, count, seed=seed)
    expected = hessian_times_gradient(network, data, temperature)
    found = scores(Grasp(batches=count, temperature=temperature), network, data)
    for name, weight in weights_of(network).items():
        assert torch.allclose(
            found[name], weight * expected[name], rtol=1e-4, atol=1e-7 * float(found[name].abs().max()) + 1e-14
        )


def test_grasp_keeps_what_the_gradients_norm_needs():
    """The sign: with the weights of high scores scaled down a little, the squared norm of the gradient falls most."""
    network = mlp(6, 8, 3, seed=1)
    data = batches(network, 1, 30)
    found = scores(Grasp(), network, data)["0.weight"]

    def norm(index):
        weights = {name: w.clone() for name, w in tensors.weights_of(network).items()}
        weights["0.weight"].view(-1)[index] *= 1 - 1e-6
        leaves = {name: w.requires_grad_() for name, w in weights.items()}
        loss = functional.cross_entropy(functional_call(network, leaves, data[0][0]) / 200.0, data[0][1])
        return float(sum(g.square().sum() for g in torch.autograd.grad(loss, list(leaves.values()))))

    assert norm(int(found.argmax())) < norm(int(found.argmin()))


def test_what_a_probe_costs_is_what_is_counted():
    """In steps of training, by the FLOPs that torch counts; the first layer, whose input has no gradient, is left out of them."""
    network = mlp(50, 50, 50, 50, 50, 50, 50, 50, 50, 50)
    data = batches(network, 2, 40)

    def flops(work):
        with FlopCounterMode(display=False) as counter:
            work()
        return counter.get_total_flops()

    step = flops(lambda: Learner(network).loss(data[0]).backward())
    for probe in (Gradient(2), HessianGradient(2)):
        assert flops(lambda probe=probe: probe(Learner(network), lambda: iter(data))) / step == pytest.approx(
            probe.steps, rel=0.1
        )


CRITERIA = [
    Snip(),
    Grasp(),
    Synflow(),
    Inverted(Snip()),
    PerTensorNorm(Grasp()),
    ZScore(Synflow()),
    Inverted(),
    ZScore(),
]


@settings(max_examples=20, deadline=None)
@given(
    widths=st.lists(st.integers(1, 8), min_size=2, max_size=5),
    seed=st.integers(0, 1000),
    criterion=st.sampled_from(CRITERIA),
)
def test_scores_are_finite_and_of_the_shapes_of_weights(widths, seed, criterion):
    network = mlp(*widths, seed=seed)
    before = weights_of(network)
    found = scores(criterion, network, batches(network, seed=seed))
    assert {name: score.shape for name, score in found.items()} == {name: w.shape for name, w in before.items()}
    assert all(torch.isfinite(score).all() for score in found.values())


class Dictionary(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return {"logits": self.layer(x)}


class Aside(nn.Module):
    """Its loss does not call the network, but a layer of it."""

    def __init__(self):
        super().__init__()
        self.network = nn.Sequential(nn.Linear(4, 3))

    def loss(self, batch):
        return self.network[0](batch[0]).square().mean()


def test_grasp_refuses_what_has_no_logits_to_divide():
    x = torch.randn(2, 4)
    with pytest.raises(ValueError, match=r"loss\(batch\) must call Sequential"):
        Grasp().probe(Aside(), lambda: iter([(x, None)]))
    learner = Learner(Dictionary())
    with pytest.raises(ValueError, match=r"Dictionary must return a tensor of logits; it is a dict"):
        Grasp().probe(learner, lambda: iter([(x, torch.zeros(2, dtype=torch.long))]))
    assert not learner.network._forward_hooks
