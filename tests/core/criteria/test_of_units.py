"""Criteria for whole units, against loops."""

import math

import pytest
import torch
from torch import nn

from ltb.core.criteria import Evidence, GeometricMedian, NormScale
from ltb.core.units import Group, Structure, gathered


def test_the_geometric_median_by_a_loop_over_pairs():
    weight = torch.randn(5, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    (found,) = GeometricMedian()({"w": weight}, Evidence()).values()
    assert found.shape == weight.shape
    for i in range(5):
        total = sum(math.dist(weight[i].flatten().tolist(), weight[j].flatten().tolist()) for j in range(5))
        assert found[i].flatten().tolist() == pytest.approx([total] * 12, rel=1e-12)


def test_a_filter_that_others_could_stand_for_scores_lowest():
    rows = torch.tensor([[0.0, 0.0], [10.0, 0.0], [-10.0, 0.0], [0.1, 0.0]])
    (found,) = GeometricMedian()({"w": rows}, Evidence()).values()
    assert found[:, 0].argsort().tolist()[:2] in ([0, 3], [3, 0])


class Scaled(nn.Module):
    """A layer of three features with norms behind it, and one of two without."""

    def __init__(self):
        super().__init__()
        self.a, self.norm, self.again = nn.Linear(2, 3), nn.BatchNorm1d(3), nn.BatchNorm1d(4)
        self.b, self.c = nn.Linear(3, 2), nn.Linear(2, 2)
        self.norm.weight.data = torch.tensor([1.0, -2.0, 3.0])
        self.again.weight.data = torch.tensor([9.0, 3.0, 4.0, 5.0])


class ByHand(Structure):
    def __call__(self, module, batches):
        module.norm.weight.data.zero_()  # a structure may draw other weights
        three, two = torch.arange(3), torch.arange(2)
        made = {
            "a.weight": three[:, None],
            "norm.weight": three,
            "norm.bias": three,
            "again.weight": torch.tensor([-1, 0, 1, 2]),
        }
        groups = [
            Group("a.weight", made, {"b.weight": three[None]}),
            Group("b.weight", {"b.weight": two[:, None]}, {"c.weight": two[None]}),
        ]
        return gathered(groups)


def test_norm_scale_is_the_mean_of_the_scales_behind_a_unit():
    network = Scaled()
    criterion = NormScale(ByHand())
    found = criterion.probe(network, lambda: iter([]))
    weights = {
        name: weight for name, weight in network.state_dict().items() if name in ("a.weight", "b.weight", "c.weight")
    }
    scores = criterion(weights, Evidence(0, {}, found))
    assert scores["a.weight"].tolist() == [[2.0, 2.0], [3.0, 3.0], [4.0, 4.0]]
    assert scores["b.weight"].tolist() == [[math.inf] * 3] * 2
    assert scores["c.weight"].tolist() == [[0.0, 0.0]] * 2


class Plain(ByHand):
    def __call__(self, module, batches):
        return {}


def test_a_network_without_norms_is_refused():
    with pytest.raises(ValueError, match="no unit of this network has a batch norm behind it"):
        NormScale(Plain()).probe(Scaled(), lambda: iter([]))
