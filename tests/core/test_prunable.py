import pytest
import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrizations, prune
from torchvision.models import VisionTransformer

from ltb.core.prunable import Coverage, prunable
from ltb.models.convn import ConvN
from ltb.models.mlp import MLP
from ltb.models.resnet import ResNetCIFAR
from ltb.models.vgg import VGG


class Conv1D(nn.Module):
    """A linear layer with its weight as (in, out), as transformers has it."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))


class Language(nn.Module):
    """An embedding (7, 3) and a decoder of the same weight, in either order of registration."""

    def __init__(self, first="embedding"):
        super().__init__()
        for name in sorted(["embedding", "decoder"], key=lambda name: name != first):
            self.add_module(name, nn.Embedding(7, 3) if name == "embedding" else nn.Linear(3, 7))
        self.decoder.weight = self.embedding.weight
        self.hidden = nn.Linear(3, 3)


def last(layer):
    """A net whose first layer is `layer`, and whose second has a plain weight of 2."""
    return nn.Sequential(layer, nn.Linear(2, 1))


def frozen():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    net[0].requires_grad_(False)
    return net


def shared():
    layer = nn.Linear(3, 3)
    return nn.Sequential(layer, nn.ReLU(), layer, nn.Linear(3, 2))


COUNTS = {
    "linear and convolutions": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ConvTranspose1d(2, 3, 5), nn.Linear(4, 2), nn.LayerNorm((2, 2))
        ),
        {"0.weight": 18, "2.weight": 30, "3.weight": 8},
    ),
    "a layer alone": (lambda: nn.Linear(3, 2), {"weight": 6}),
    "bilinear": (lambda: nn.Bilinear(2, 3, 4), {"weight": 24}),
    "attention": (
        lambda: nn.MultiheadAttention(4, 2, add_bias_kv=True),
        {"in_proj_weight": 48, "out_proj.weight": 16},
    ),
    "attention of several widths": (
        lambda: nn.MultiheadAttention(4, 2, kdim=3, vdim=5),
        {"q_proj_weight": 16, "k_proj_weight": 12, "v_proj_weight": 20, "out_proj.weight": 16},
    ),
    "encoder layer": (
        lambda: nn.TransformerEncoderLayer(4, 2, 8),
        {
            "self_attn.in_proj_weight": 48,
            "self_attn.out_proj.weight": 16,
            "linear1.weight": 32,
            "linear2.weight": 32,
        },
    ),
    "lstm": (
        lambda: nn.LSTM(3, 4, bidirectional=True, proj_size=2),
        {
            "weight_ih_l0": 48,
            "weight_hh_l0": 32,
            "weight_hr_l0": 8,
            "weight_ih_l0_reverse": 48,
            "weight_hh_l0_reverse": 32,
            "weight_hr_l0_reverse": 8,
        },
    ),
    "gru cell": (lambda: nn.GRUCell(3, 2), {"weight_ih": 18, "weight_hh": 12}),
    "Conv1D": (lambda: nn.Sequential(Conv1D(3, 5), nn.Linear(5, 2)), {"0.weight": 15, "1.weight": 10}),
    "frozen": (frozen, {"1.weight": 6}),
    "shared": (shared, {"0.weight": 9, "3.weight": 6}),
}


@pytest.mark.parametrize("name", COUNTS)
def test_prunable_are_the_weights_of_layers_in_the_networks_order(name):
    make, counts = COUNTS[name]
    coverage = prunable(make())
    assert coverage.counts == counts
    assert coverage.names == tuple(counts)


def test_a_layer_that_is_there_twice_goes_by_its_first_name_and_its_bias_is_not_told_of():
    assert prunable(shared()).notes == ("2.weight is 0.weight",)


def test_a_conv1d_of_another_shape_is_not_taken_for_a_linear_layer():
    net = last(Conv1D(3, 5))
    net[0].weight = nn.Parameter(torch.ones(5, 3, 2))
    assert prunable(net) == Coverage({"1.weight": 2}, 38, not_covered=(("0.weight", 30),))


def test_the_attention_of_a_vision_transformer_is_covered_and_its_positions_are_named():
    net = VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=10
    )
    block = {
        "self_attention.in_proj_weight": 768,
        "self_attention.out_proj.weight": 256,
        "mlp.0.weight": 512,
        "mlp.3.weight": 512,
    }
    layers = {f"encoder.layers.encoder_layer_{i}.{name}": count for i in range(2) for name, count in block.items()}
    coverage = prunable(net)
    assert coverage.counts == {"conv_proj.weight": 3072, **layers, "heads.head.weight": 160}
    assert coverage.not_covered == (("class_token", 16), ("encoder.pos_embedding", 272))
    assert str(coverage) == (
        "prunable 7,328 of 8,026 parameters; not covered: class_token 16, encoder.pos_embedding 272"
    )


def linear_and_convolutional(network):
    """The rule of the first tickets, under which the results of the models here were obtained."""
    layers = (nn.Linear, _ConvNd)
    weights = {f"{name}.weight" for name, module in network.named_modules() if isinstance(module, layers)}
    return tuple(name for name, p in network.named_parameters() if name in weights and p.requires_grad)


@pytest.mark.parametrize(
    ("network", "layers"),
    [
        (lambda: MLP((1, 28, 28), 10), 3),
        (lambda: ConvN((3, 32, 32), 10, depth=2), 5),
        (lambda: ResNetCIFAR((3, 32, 32), 10, depth=20), 22),
        (lambda: VGG((3, 32, 32), 10, depth=11), 9),
    ],
)
def test_in_the_models_here_it_is_all_linear_and_convolutional_weights_and_nothing_is_left_out(network, layers):
    net = network()
    coverage = prunable(net)
    assert coverage.names == linear_and_convolutional(net)
    assert len(coverage.names) == layers
    assert (coverage.not_covered, coverage.excluded, coverage.notes) == ((), (), ())


def test_embeddings_are_prunable_by_option():
    net = nn.Sequential(nn.Embedding(5, 2), nn.EmbeddingBag(3, 2), nn.Linear(2, 4))
    assert prunable(net) == Coverage({"2.weight": 8}, 28, not_covered=(("0.weight", 10), ("1.weight", 6)))
    assert prunable(net, embeddings=True) == Coverage({"0.weight": 10, "1.weight": 6, "2.weight": 8}, 28)


@pytest.mark.parametrize(
    ("first", "second"), [("embedding.weight", "decoder.weight"), ("decoder.weight", "embedding.weight")]
)
def test_a_decoder_tied_to_an_embedding_is_an_embedding(first, second):
    net = Language(first.partition(".")[0])
    note = f"{second} is {first}"
    left_out = Coverage({"hidden.weight": 9}, 40, ((first, 21),), notes=(f"{note}, an embedding and so not covered",))
    assert prunable(net) == left_out
    assert prunable(net, embeddings=True) == Coverage({first: 21, "hidden.weight": 9}, 40, notes=(note,))
    assert prunable(net, include=["[de]*.weight"]) == Coverage({first: 21}, 40, (("hidden.weight", 9),), notes=(note,))


def test_a_weight_tied_to_a_parameter_of_another_kind_of_module_is_prunable_under_its_first_name():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.basis = nn.Parameter(torch.ones(2, 3))
            self.layer = nn.Linear(3, 2)
            self.layer.weight = self.basis

    assert prunable(Net()) == Coverage({"basis": 6}, 8, notes=("layer.weight is basis",))


def legacy(name, layer):
    with pytest.warns(FutureWarning):
        return getattr(nn.utils, name)(layer)


MADE = {
    "weight norm": (
        lambda: parametrizations.weight_norm(nn.Conv2d(1, 2, 3)),
        (("0.parametrizations.weight.original0", 2), ("0.parametrizations.weight.original1", 18)),
        "0.weight is made from 0.parametrizations.weight.original0, 0.parametrizations.weight.original1",
    ),
    "spectral norm": (
        lambda: parametrizations.spectral_norm(nn.Linear(3, 2)),
        (("0.parametrizations.weight.original", 6),),
        "0.weight is made from 0.parametrizations.weight.original",
    ),
    "prune": (
        lambda: prune.l1_unstructured(nn.Linear(3, 2), "weight", 0.5),
        (("0.weight_orig", 6),),
        "0.weight is made from 0.weight_orig",
    ),
    "weight norm by hooks": (
        lambda: legacy("weight_norm", nn.Linear(3, 2)),
        (("0.weight_g", 2), ("0.weight_v", 6)),
        "0.weight is made from 0.weight_g, 0.weight_v",
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_a_weight_that_is_made_from_others_is_not_covered_and_said_to_be(name):
    make, not_covered, note = MADE[name]
    coverage = prunable(last(make()))
    assert coverage.counts == {"1.weight": 2}
    assert coverage.not_covered == not_covered
    assert coverage.notes == (note,)


def test_a_parameter_whose_name_extends_anothers_is_not_what_that_is_made_from():
    net = nn.Linear(3, 2)
    net.weight_v = nn.Parameter(torch.ones(2, 2))
    assert prunable(net) == Coverage({"weight": 6}, 12, not_covered=(("weight_v", 4),))


def test_in_a_recurrent_layer_only_the_weight_that_is_made_is_left_out():
    coverage = prunable(parametrizations.weight_norm(nn.LSTM(3, 4), "weight_hh_l0"))
    assert coverage.counts == {"weight_ih_l0": 48}
    assert prunable(prune.identity(nn.GRU(3, 4), "weight_hh_l0")).counts == {"weight_ih_l0": 36}


def test_include_names_parameters_instead_and_exclude_takes_away():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.LayerNorm(2), nn.Linear(4, 2))
    assert prunable(net, exclude=["2.*"]) == Coverage({"0.weight": 18}, 34, excluded=(("2.weight", 8),))
    assert prunable(net, include=["[01].weight"]) == Coverage({"0.weight": 18, "1.weight": 2}, 34, (("2.weight", 8),))
    one = prunable(net, include=["*"], exclude=["*.bias", "1.*"])
    assert one == Coverage(
        {"0.weight": 18, "2.weight": 8}, 34, excluded=(("0.bias", 2), ("1.weight", 2), ("1.bias", 2), ("2.bias", 2))
    )


@pytest.mark.parametrize(
    ("network", "given", "message"),
    [
        (
            shared,
            {"exclude": ["out.*"]},
            "prunable.exclude: 'out.*' matches no parameter; there are 0.weight, 3.weight",
        ),
        (
            shared,
            {"include": ["out.*"]},
            "prunable.include: 'out.*' matches no parameter; there are 0.weight, 0.bias, 3.weight, 3.bias",
        ),
        (
            shared,
            {"exclude": ["2.*"]},
            "prunable.exclude: '2.*' matches no first name of a tied parameter; 2.weight is 0.weight",
        ),
        (
            Language,
            {"include": ["decoder.weight"]},
            "prunable.include: 'decoder.weight' matches no first name of a tied parameter; "
            "decoder.weight is embedding.weight",
        ),
        (
            Language,
            {"exclude": ["decoder.weight"]},
            "prunable.exclude: 'decoder.weight' matches no parameter; there are",
        ),
        (frozen, {"include": ["*.weight"]}, "prunable.include: 0.weight is frozen"),
        (frozen, {"include": ["1.weight"], "embeddings": True}, "prunable.embeddings=true: it adds to the default"),
        (
            frozen,
            {"exclude": ["*"]},
            "prunable: no parameter of Sequential is left to prune; not covered: 0.weight 9; excluded: 1.weight 6; "
            "0.weight is frozen",
        ),
        (lambda: nn.BatchNorm1d(3), {}, "prunable: no parameter of BatchNorm1d is left to prune"),
        (
            lambda: nn.Sequential(nn.Linear(3, 2), nn.LazyLinear(2)),
            {},
            "prunable: 1.weight of Sequential has no shape yet",
        ),
        (
            lambda: nn.Embedding(3, 2, sparse=True),
            {"embeddings": True},
            "prunable: weight has sparse gradients, which cannot be masked",
        ),
    ],
)
def test_what_cannot_be_is_refused(network, given, message):
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the whole message is compared below
        prunable(network(), **given)
    assert str(refused.value).startswith(message)


def test_the_printed_line_names_five_entries_and_counts_the_others():
    numbered = tuple((f"embedding{i}", 1000 * i) for i in range(1, 8))
    coverage = Coverage({"a": 1000, "b": 234}, 1_002_410, numbered[:6], numbered[:1], tuple("tuvwxyz"))
    assert str(coverage) == (
        "prunable 1,234 of 1,002,410 parameters; "
        "not covered: embedding1 1,000, embedding2 2,000, embedding3 3,000, embedding4 4,000, embedding5 5,000, "
        "and 1 more; "
        "excluded: embedding1 1,000; t; u; v; w; x; and 2 more"
    )
    assert str(Coverage({"a": 320}, 2410)) == "prunable 320 of 2,410 parameters"
