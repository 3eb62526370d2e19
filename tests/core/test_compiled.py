"""A network that `torch.compile` wraps, whole or in part, has the names of the network, and is masked, stored and pruned as it is.

With the backend that runs what it is given: no compiler is needed.
"""

import pytest
import torch
from torch import nn

from ltb.core import masks as m
from ltb.core import optimizer_state, tensors
from ltb.core.contracts import network_of
from ltb.core.execution import Masked
from ltb.core.points import Point
from ltb.core.prunable import prunable

# torch's own, from where it traces what is compiled in part.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")


def network():
    torch.manual_seed(0)
    features = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU())
    return nn.Sequential(features, nn.utils.parametrizations.weight_norm(nn.Linear(5, 5)), nn.Linear(5, 2))


def compiled(module):
    return torch.compile(module, backend="eager")


def inner(net):
    net[0] = compiled(net[0])
    net[2] = compiled(net[2])
    return net


HOW = {"whole": compiled, "in part": inner, "both": lambda net: compiled(inner(net))}


@pytest.mark.parametrize("how", HOW)
def test_names_are_those_of_the_network(how):
    net, plain = HOW[how](network()), network()
    assert any("_orig_mod" in name for name in net.state_dict())
    assert tensors.digest(tensors.weights_of(net)) == tensors.digest(tensors.weights_of(plain))
    assert list(tensors.weights_of(net)) == list(tensors.weights_of(plain))
    assert prunable(net) == prunable(plain)
    assert prunable(net, exclude=["2.weight"]).names == prunable(plain, exclude=["2.weight"]).names
    wrapped = nn.Module()
    wrapped.network = net
    assert network_of(wrapped) is net


@pytest.mark.parametrize("how", HOW)
def test_points_go_from_compiled_to_plain_and_back_and_dead_is_dead(how):
    """The same three steps, held, with weights and optimizer state handed over after each: the same bytes."""
    masks = {
        name: torch.rand(w.shape) < 0.5 for name, w in tensors.weights_of(network()).items() if name == "0.0.weight"
    }
    x, start = torch.randn(8, 4), Point(tensors.weights_of(network()), 0)

    def trained(make, steps, begin):
        for step in range(steps):
            net = make[step % len(make)](network())
            body = Masked().enter(net, masks)
            optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
            body.load(begin)
            body.watch([optimizer])
            net(x).square().mean().backward()
            optimizer.step()
            begin = body.point(step + 1)
            body.release()
        return begin

    expected, found = trained([lambda net: net], 3, start), trained([HOW[how], lambda net: net], 3, start)
    assert tensors.digest(found.weights) == tensors.digest(expected.weights)
    assert tensors.digest(found.optimizer) == tensors.digest(expected.optimizer)
    assert not torch.count_nonzero(found.weights["0.0.weight"][~masks["0.0.weight"]])
    assert m.nested(masks, {"0.0.weight": found.weights["0.0.weight"] != 0})
    assert not any("_orig_mod" in name for name in (*found.weights, *found.optimizer))


def test_an_optimizer_state_of_a_plain_network_is_loaded_for_a_compiled_one():
    net = network()
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.randn(8, 4)).square().mean().backward()
    optimizer.step()
    saved = optimizer_state.save(optimizer, net)
    other = compiled(network())
    its = torch.optim.Adam(other.parameters())
    optimizer_state.load(its, other, saved)
    assert tensors.digest(optimizer_state.save(its, other)) == tensors.digest(saved)
