"""Attention whose pruned heads are removed: what it returns is what the masked layer does."""

import pytest
import torch
from torch import nn

from ltb.core import masks as m
from ltb.core import tensors
from ltb.core.masked_units import OfGroups
from ltb.core.points import Point
from ltb.core.prunable import prunable
from ltb.core.units import groups_of
from ltb.execution.attention import FewerHeads
from ltb.execution.compact import CompactOfGroups
from ltb.structure import DependencyGraph
from ltb.structure.heads import heads
from tests.structure.networks import Classifier, batch

KEPT = (0, 2)  # of four heads
CAUSAL = torch.ones(5, 5, dtype=torch.bool).triu(1)
PADDING = torch.tensor([[False] * 5, [False, False, False, True, True], [False] * 4 + [True]])


def both(make, of):
    """A network masked and compact, its unread heads gone."""
    whole = make()
    weights = tensors.weights_of(whole)
    masks = m.ones(weights, prunable(whole).names)
    for group in of:
        kept = torch.tensor([unit in KEPT for unit in range(group.count)])
        for name, entries in group.entries(kept, group.sides()):
            if name in masks:
                masks[name] = masks[name] & entries
    found = []
    for execution in (OfGroups(tuple(of)), CompactOfGroups(tuple(of))):
        network = make()
        body = execution.enter(network, masks)
        body.load(Point(weights, 0))
        found.append((network, body))
    return found, weights


def layer(**given):
    def make():
        torch.manual_seed(0)
        made = nn.MultiheadAttention(8, 4, **given).double()
        with torch.no_grad():
            for one in made.parameters():
                one.uniform_(-1, 1)
        return made

    return make


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(
    "masks",
    [
        {},
        {"attn_mask": CAUSAL},
        {"attn_mask": drawn(5, 5)},
        {"attn_mask": drawn(12, 5, 5) > 1},
        {"key_padding_mask": PADDING},
        {"key_padding_mask": drawn(3, 5), "attn_mask": drawn(12, 5, 5)},
        {"attn_mask": CAUSAL, "is_causal": True},
    ],
    ids=lambda given: " ".join(f"{k}:{getattr(v, 'ndim', v)}" for k, v in given.items()) or "none",
)
@pytest.mark.parametrize("given", [{}, {"batch_first": True}, {"bias": False}, {"kdim": 3, "vdim": 6}], ids=str)
def test_it_returns_what_the_masked_layer_does(given, masks):
    make = layer(**given)
    ((masked, _), (compact, body)), weights = both(make, heads(make()))
    assert isinstance(compact, FewerHeads)
    q, k, v = (drawn(3, 5, given.get(name, 8), seed=n) for n, name in enumerate(("", "kdim", "vdim")))
    if not given.get("batch_first"):
        q, k, v = (one.transpose(0, 1) for one in (q, k, v))
    for need in (False, True):
        one, other = (each(q, k, v, need_weights=need, **masks)[0] for each in (masked, compact))
        torch.testing.assert_close(other, one, rtol=0, atol=1e-12)
    # The weights of the heads that are left.
    if "is_causal" not in masks:
        every, left = (each(q, k, v, average_attn_weights=False, **masks)[1] for each in (masked, compact))
        torch.testing.assert_close(left, every[:, list(KEPT)], rtol=0, atol=1e-12)
    assert sum(p.numel() for p in compact.parameters()) < 0.6 * sum(p.numel() for p in masked.parameters())
    assert {name: tensor.shape for name, tensor in body.point(0).weights.items()} == {
        name: tensor.shape for name, tensor in weights.items()
    }


def test_one_example_without_a_dimension_of_examples():
    ((masked, _), (compact, _)), _ = both(layer(), heads(layer()()))
    x = drawn(5, 8)
    for one, other in zip(masked(x, x, x), compact(x, x, x), strict=True):
        assert one.shape == other.shape
    torch.testing.assert_close(compact(x, x, x)[0], masked(x, x, x)[0], rtol=0, atol=1e-12)


def test_where_no_head_is_left_one_is_and_nothing_reads_it():
    make = layer()
    masks = m.ones(tensors.weights_of(make()), prunable(make()).names)
    masks["out_proj.weight"][:] = False
    compact = make()
    CompactOfGroups(tuple(heads(make()))).enter(compact, masks).load(Point(tensors.weights_of(make()), 0))
    assert (compact.num_heads, tuple(compact.in_proj_weight.shape)) == (1, (6, 8))
    x = drawn(5, 3, 8)
    assert torch.equal(compact(x, x, x)[0], compact.out_proj.bias.expand(5, 3, 8))


class Encoder(nn.Module):
    """torch's own encoder, which in evaluation reads the layers' projections by itself, and takes padding out of examples."""

    def __init__(self):
        super().__init__()
        one = nn.TransformerEncoderLayer(8, 4, 12, dropout=0.0, batch_first=True)
        self.first, self.encoder, self.output = nn.Linear(6, 8), nn.TransformerEncoder(one, 2), nn.Linear(8, 5)

    def forward(self, x, padding=None):
        return self.output(self.encoder(self.first(x), src_key_padding_mask=padding)[:, 0])


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")  # torch's own, of the masked one
@pytest.mark.parametrize("padding", [None, PADDING], ids=["whole", "padded"])
def test_a_transformer_in_evaluation_and_training_and_its_gradients(padding):
    def make():
        torch.manual_seed(0)
        return Encoder()

    gathered = DependencyGraph(heads=True)(Classifier(make()), lambda: iter([batch((5, 6))]))
    of = groups_of(gathered)
    assert [group.count for group in of if "self_attn" in group.name] == [4, 4]
    ((masked, _), (compact, _)), _ = both(make, of)
    x = drawn(3, 5, 6).float()
    for train in (True, False):
        with torch.set_grad_enabled(train):
            one, other = (each.train(train)(x, padding) for each in (masked, compact))
        assert (one - other).abs().max() <= 5e-5 * one.abs().max()
    for each in (masked, compact):
        each.train()(x, padding).square().sum().backward()
    one, other = (each.first.weight.grad for each in (masked, compact))
    torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_vision_transformer_of_torchvision():
    from torchvision.models import VisionTransformer

    def make():
        torch.manual_seed(0)
        made = VisionTransformer(16, 8, 2, 4, 16, 32, num_classes=5)
        nn.init.normal_(made.heads.head.weight)  # 0 as it comes
        return made

    of = groups_of(DependencyGraph(heads=True)(Classifier(make()), lambda: iter([batch((3, 16, 16))])))
    assert [group.count for group in of if "self_attention" in group.name] == [4, 4]
    ((masked, _), (compact, _)), _ = both(make, of)
    x = batch((3, 16, 16))[0]
    for train in (True, False):
        one, other = (each.train(train)(x) for each in (masked, compact))
        assert (one - other).abs().max() <= 5e-5 * one.abs().max()
