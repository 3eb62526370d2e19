"""Dead is dead: under any optimizer a pruned weight, its gradient and its optimizer state are exactly 0 after each step."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ltb.core import masks as m
from ltb.core import tensors
from ltb.core.hold import Hold
from ltb.core.prunable import prunable

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "sgd+momentum+decay": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-2),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=1e-2),
    "adam fused": lambda p: torch.optim.Adam(p, lr=0.01, fused=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.5),
}


def network(seed):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 2)
    )


def masked(net, density, seed):
    generator = torch.Generator().manual_seed(seed)
    names = prunable(net).names
    weights = tensors.weights_of(net)
    masks = {name: torch.rand(weights[name].shape, generator=generator) < density for name in names}
    tensors.load(net, m.apply(weights, masks))
    return masks


def train(net, optimizer, steps=4, *, accumulate=1, clip=None, autocast=False):
    for _ in range(steps):
        optimizer.zero_grad()
        for _ in range(accumulate):
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                loss = net(torch.randn(8, 1, 4, 4)).square().mean()
            loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(net.parameters(), clip)
        optimizer.step()
        yield


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("how", [{}, {"accumulate": 3}, {"clip": 0.01}, {"autocast": True}])
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 1000), density=st.sampled_from([0.0, 0.1, 0.6, 1.0]))
def test_dead_is_dead(name, how, seed, density):
    net = network(seed)
    masks = masked(net, density, seed)
    optimizer = OPTIMIZERS[name](net.parameters())
    hold = Hold(net, masks)
    hold.watch([optimizer])
    parameters = dict(net.named_parameters())
    for _ in train(net, optimizer, **how):
        for key, mask in masks.items():
            parameter = parameters[key]
            states = [v for v in optimizer.state[parameter].values() if getattr(v, "shape", None) == mask.shape]
            for tensor in (parameter, parameter.grad, *states):
                assert torch.count_nonzero(tensor[~mask]) == 0
    moved = parameters["4.bias"].detach()
    hold.release()
    assert torch.isfinite(moved).all()


@pytest.mark.parametrize(
    ("layer", "output", "names"),
    [
        (lambda: nn.MultiheadAttention(8, 2), lambda net, x: net(x, x, x)[0], ("in_proj_weight", "out_proj.weight")),
        (
            lambda: nn.LSTM(8, 6, 2),
            lambda net, x: net(x)[0],
            ("weight_ih_l0", "weight_hh_l0", "weight_ih_l1", "weight_hh_l1"),
        ),
        (lambda: nn.GRUCell(8, 6), lambda net, x: net(x[1], net(x[0])), ("weight_ih", "weight_hh")),
    ],
)
def test_dead_is_dead_in_attention_and_recurrent_layers_and_what_is_kept_trains(layer, output, names):
    torch.manual_seed(0)
    net = layer()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.1)
    parameters = dict(net.named_parameters())

    def step():
        optimizer.zero_grad()
        output(net, torch.randn(5, 2, 8)).square().mean().backward()
        optimizer.step()

    step()  # the optimizer has a state now that would move what is pruned
    masks = masked(net, 0.3, seed=1)
    assert tuple(masks) == names
    Hold(net, masks).watch([optimizer])
    for _ in range(4):
        before = tensors.weights_of(net)
        step()
        for name, mask in masks.items():
            assert torch.equal(parameters[name] != before[name], mask)
            assert torch.equal(parameters[name] != 0, mask)


def test_without_a_hold_masked_gradients_alone_would_let_dead_weights_move():
    """The trap: a stale momentum moves a pruned weight although its gradient is masked. With a hold it does not."""
    for held in (False, True):
        net = nn.Linear(2, 1, bias=False)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        net(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        mask = torch.tensor([[True, False]])
        with torch.no_grad():
            net.weight.mul_(mask)
        optimizer.zero_grad()
        if held:
            Hold(net, {"weight": mask}).watch([optimizer])
        net(torch.ones(1, 2)).sum().backward()
        net.weight.grad.mul_(mask)
        optimizer.step()
        assert (float(net.weight[0, 1].detach()) == 0) is held


def test_what_is_kept_trains_as_if_the_layer_were_a_sparse_one():
    """Against a float64 loop of our own in which w ⊙ m is what is differentiated."""
    torch.manual_seed(0)
    net = nn.Linear(5, 3).double()
    mask = torch.rand(3, 5) < 0.5
    tensors.load(net, m.apply(tensors.weights_of(net), {"weight": mask}))
    w, b = net.weight.detach().clone(), net.bias.detach().clone()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    Hold(net, {"weight": mask}).watch([optimizer])
    vw, vb = torch.zeros_like(w), torch.zeros_like(b)
    for _ in range(10):
        x = torch.randn(4, 5, dtype=torch.float64)
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()
        w.requires_grad_(), b.requires_grad_()
        gw, gb = torch.autograd.grad((x @ (w * mask).T + b).square().mean(), (w, b))
        w, b = w.detach(), b.detach()
        vw, vb = 0.9 * vw + gw + 0.01 * w * mask, 0.9 * vb + gb + 0.01 * b
        w, b = w - 0.1 * vw, b - 0.1 * vb
    assert torch.allclose(net.weight.detach(), w * mask, rtol=0, atol=1e-12)
    assert torch.allclose(net.bias.detach(), b, rtol=0, atol=1e-12)


def test_clipping_sees_only_what_is_kept():
    net = nn.Linear(2, 1, bias=False)
    Hold(net, {"weight": torch.tensor([[True, False]])})
    net(torch.tensor([[3.0, 4.0]])).sum().backward()
    assert float(nn.utils.clip_grad_norm_(net.parameters(), 100.0)) == 3.0


def test_gradients_that_are_not_finite_do_not_bring_the_dead_back():
    net = nn.Linear(2, 1, bias=False)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    Hold(net, {"weight": torch.tensor([[True, False]])}).watch([optimizer])
    net(torch.tensor([[1.0, math.nan]])).sum().backward()
    optimizer.step()
    assert float(net.weight[0, 1].detach()) == 0.0
    assert math.copysign(1, float(net.weight[0, 1].detach())) == 1


def test_state_that_is_there_already_is_masked_and_channels_last_is_held():
    net = nn.Conv2d(2, 3, 3).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.randn(1, 2, 5, 5)).sum().backward()
    optimizer.step()
    mask = torch.rand(3, 2, 3, 3) < 0.5
    Hold(net, {"weight": mask}).watch([optimizer])
    assert torch.count_nonzero(optimizer.state[net.weight]["exp_avg"][~mask]) == 0
    assert torch.count_nonzero(net.weight[~mask]) == 0
    assert torch.count_nonzero(net.weight[mask]) == int(mask.sum())


def test_release_lets_go_and_a_mask_of_no_parameter_is_refused():
    net = nn.Linear(2, 1)
    before = copy.deepcopy(net.state_dict())
    hold = Hold(net, {"weight": torch.tensor([[False, False]])})
    hold.release()
    net(torch.ones(1, 2)).sum().backward()
    assert torch.count_nonzero(net.weight.grad) == 2
    assert torch.equal(before["bias"], net.bias)
    with pytest.raises(ValueError, match="names no parameter of Linear; there are weight, bias"):
        Hold(net, {"fc": torch.ones(1, dtype=torch.bool)})
