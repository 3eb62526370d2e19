"""Units as they are in networks that a person can read; what is not exact is left out."""

import warnings

import pytest
import torch
from torch import nn

from ltb.core import tensors
from ltb.structure import DependencyGraph
from tests.structure.networks import NETWORKS, Classifier, Grouped, batch, groups


def found(name):
    make, shape = NETWORKS[name]
    return {group.name: group for group in groups(make(), shape)}


def shapes(index):
    return {name: tuple(one.shape) for name, one in index.items()}


def test_neurons_of_an_mlp():
    of = found("mlp")
    assert {name: group.count for name, group in of.items()} == {"fc1.weight": 9, "fc2.weight": 8}
    assert shapes(of["fc1.weight"].made) == {"fc1.weight": (9, 1), "fc1.bias": (9,)}
    assert shapes(of["fc1.weight"].read) == {"fc2.weight": (1, 9)}
    assert torch.equal(of["fc1.weight"].read["fc2.weight"], torch.arange(9)[None])


def test_a_layer_that_reads_what_it_makes_and_a_norm_over_features():
    of = found("residual")
    assert {name: group.count for name, group in of.items()} == {"first.weight": 8, "fourth.weight": 4}
    assert shapes(of["first.weight"].made) == {
        "first.weight": (8, 1),
        "first.bias": (8,),
        "second.weight": (8, 1),
        "second.bias": (8,),
    }
    assert shapes(of["first.weight"].read) == {"second.weight": (1, 8), "third.weight": (1, 8)}


def test_concatenation_depthwise_convolution_and_flattening():
    of = found("concatenated")
    assert {name: group.count for name, group in of.items()} == {
        "grouped.weight": 4,
        "left.weight": 6,
        "right.weight": 3,
    }
    left, right = of["left.weight"], of["right.weight"]
    assert left.made["norm.running_var"].tolist() == [0, 1, 2, 3, 4, 5, -1, -1, -1]
    assert right.made["norm.weight"].tolist() == right.made["act.weight"].tolist() == [-1] * 6 + [0, 1, 2]
    assert right.made["depthwise.weight"].flatten().tolist() == [0, 1, 2]
    columns = [-1] * 96 + [unit for unit in range(3) for _ in range(16)]
    assert right.read["output.weight"].tolist() == [columns]


def test_channels_at_one_place_of_each_group_of_a_convolution_are_one_unit():
    of = found("grouped")
    assert {name: group.count for name, group in of.items()} == {
        "stem.weight": 8,
        "first.weight": 6,
        "grouped.weight": 4,
    }
    first, grouped = of["first.weight"], of["grouped.weight"]
    assert first.made["norm1.running_mean"].tolist() == [0, 1, 2, 3, 4, 5] * 4
    assert first.read["grouped.weight"].shape == (1, 6, 1, 1)
    assert first.read["grouped.weight"].flatten().tolist() == [0, 1, 2, 3, 4, 5]
    assert grouped.made["grouped.bias"].tolist() == grouped.read["last.weight"].flatten().tolist() == [0, 1, 2, 3] * 4


@pytest.mark.parametrize(("number", "left"), [(1, {"stem.weight": 8, "grouped.weight": 4}),
                                              (2, {"stem.weight": 4, "grouped.weight": 4}),
                                              (4, {"stem.weight": 2, "grouped.weight": 4}),
                                              (8, {})])  # fmt: skip
def test_a_convolution_in_groups_behind_another(number, left):
    """What is alike for one of them is alike. Of 8 groups that make 8 channels of 16 the graph does not know what they read."""

    class Twice(Grouped):
        def __init__(self):
            super().__init__()
            self.last = nn.Conv2d(16, 8, 1, groups=number)

    of = groups(Twice(), (4, 4, 4))
    assert {group.name: group.count for group in of} == left | {"first.weight": 6}


def test_channels_of_a_residual_stage_are_coupled():
    of = found("resnet20")
    assert len(of) == 12
    assert sum(group.count for group in of.values()) == (16 + 32 + 64) * 4
    stream = of["conv1.weight"]
    assert {"stage1.0.conv2.weight", "stage1.2.bn2.bias", "bn1.running_mean"} <= stream.made.keys()
    assert {"stage1.1.conv1.weight", "stage2.0.shortcut.conv.weight"} <= stream.read.keys()


def test_it_depends_on_the_network_alone_and_not_on_its_weights():
    make, shape = NETWORKS["residual"]
    one, other = make(), make()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    for first, second in zip(groups(one, shape), groups(other, shape), strict=True):
        assert first.name == second.name
        for side in ("made", "read"):
            assert all(torch.equal(index, getattr(second, side)[name]) for name, index in getattr(first, side).items())


class Mixed(nn.Module):
    """An operation that the graph takes for one that leaves features apart, and that does not."""

    def __init__(self):
        super().__init__()
        self.first, self.output = nn.Linear(6, 8), nn.Linear(8, 5)

    def forward(self, x):
        return self.output(self.first(x).cumsum(1))


def test_what_the_graph_is_wrong_about_is_left_out():
    assert groups(Mixed(), (6,)) == ()


def test_a_module_without_a_loss_is_named():
    with pytest.raises(ValueError, match="structure=DependencyGraph needs the loss"):
        DependencyGraph()(nn.Linear(2, 2), lambda: iter([]))


def test_it_warns_of_nothing_and_leaves_the_mode_and_hooks_as_they_were():
    make, shape = NETWORKS["concatenated"]
    module = Classifier(make())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DependencyGraph()(module, lambda: iter([batch(shape)]))
    assert not any(one._forward_hooks for one in module.modules())
    assert all(torch.isfinite(tensor).all() for tensor in tensors.state(module).values())
