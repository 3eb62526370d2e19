"""Heads of attention as units: which rows and columns are theirs, and which layers have none."""

import pytest
import torch
from torch import nn

from ltb.core.units import groups_of
from ltb.structure import DependencyGraph
from ltb.structure.heads import heads
from tests.structure.networks import Classifier, Concatenated, batch


class Attending(nn.Module):
    """Attention over three tokens beside a residual, and a hidden layer: (n, 3, 6) to (n, 5)."""

    def __init__(self, width=8, number=4, returns=False, **given):
        super().__init__()
        self.embed, self.norm = nn.Linear(6, width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, number, batch_first=True, **given)
        self.hidden, self.output, self.returns = nn.Linear(width, 10), nn.Linear(10, 5), returns

    def forward(self, x):
        x = self.embed(x)
        found, weights = self.attention(self.norm(x), self.norm(x), self.norm(x))
        x = self.hidden(x + found).relu()
        return self.output(x).mean(1) * (weights.std() if self.returns else 1)


def found(network, *, of_heads=True):
    structure = DependencyGraph(heads=of_heads)
    gathered = structure(Classifier(network), lambda: iter([batch((3, 6))]))
    return {group.name: group for group in groups_of(gathered)}


def test_a_head_is_its_rows_of_three_projections_and_its_columns_of_the_output():
    of = found(Attending())
    assert {name: group.count for name, group in of.items()} == {"hidden.weight": 10, "attention.in_proj_weight": 4}
    group = of["attention.in_proj_weight"]
    head = [0, 0, 1, 1, 2, 2, 3, 3]
    assert group.made["attention.in_proj_weight"].tolist() == [[one] for one in 3 * head]
    assert group.made["attention.in_proj_bias"].tolist() == 3 * head
    assert {name: index.tolist() for name, index in group.read.items()} == {"attention.out_proj.weight": [head]}


def test_projections_of_their_own():
    (group,) = heads(nn.MultiheadAttention(8, 2, kdim=3, vdim=5, bias=False))
    assert group.name == "q_proj_weight"
    assert {name: index.flatten().tolist() for name, index in group.made.items()} == {
        f"{name}_proj_weight": [0] * 4 + [1] * 4 for name in "qkv"
    }


class Derived(nn.MultiheadAttention):
    """A person's own attention, which may do otherwise."""


@pytest.mark.parametrize(
    "layer",
    [Derived(8, 2), nn.MultiheadAttention(8, 2, add_bias_kv=True), nn.MultiheadAttention(8, 2, add_zero_attn=True)],
)
def test_what_heads_are_not_known_of_has_none(layer):
    assert heads(nn.Sequential(layer)) == []


def test_heads_that_are_asked_for_must_be_there():
    with pytest.raises(ValueError, match=r"^structure\.heads=true: false, for no layer has heads that are known"):
        DependencyGraph(heads=True)(Classifier(Concatenated()), lambda: iter([batch((4, 4, 4))]))


def test_a_network_whose_loss_looks_at_the_weights_of_attention_keeps_its_heads():
    assert [*found(Attending(returns=True))] == ["hidden.weight"]


def test_by_default_heads_are_no_units_and_false_is_the_default():
    assert DependencyGraph() == DependencyGraph(heads=False)
    of = [found(Attending(), of_heads=False), found(Attending())]
    assert [*of[0]] == ["hidden.weight"]
    for side in ("made", "read"):
        one, other = (getattr(each["hidden.weight"], side) for each in of)
        assert all(torch.equal(one[name], other[name]) for name in one)
    with pytest.raises(ValueError, match=r"^structure.heads=1: true or false or null"):
        DependencyGraph(heads=1)
