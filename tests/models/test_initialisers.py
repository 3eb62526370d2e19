import math

import pytest
import torch
from torch import nn

from ltb.models import GlorotNormal, GlorotUniform, KaimingNormal, KaimingUniform, LeCunNormal, TorchDefault

ALL = [GlorotNormal, GlorotUniform, KaimingNormal, KaimingUniform, LeCunNormal, TorchDefault]
LINEAR, CONV = (lambda: nn.Linear(400, 300)), (lambda: nn.Conv2d(40, 60, 5))  # fans 400, 300 and 1000, 1500


@pytest.mark.parametrize(
    ("initialiser", "layer", "variance"),
    [
        (GlorotNormal, LINEAR, 2 / 700),
        (GlorotNormal, CONV, 2 / 2500),
        (GlorotUniform, LINEAR, 2 / 700),
        (GlorotUniform, CONV, 2 / 2500),
        (KaimingNormal, LINEAR, 2 / 400),
        (KaimingNormal, CONV, 2 / 1000),
        (KaimingUniform, LINEAR, 2 / 400),
        (KaimingUniform, CONV, 2 / 1000),
        (TorchDefault, LINEAR, 1 / 3 / 400),
        (TorchDefault, CONV, 1 / 3 / 1000),
    ],
)
def test_the_distribution_is_the_stated_one(initialiser, layer, variance):
    torch.manual_seed(0)
    layer = layer()
    initialiser()(layer)
    weight = layer.weight.detach().double().flatten()
    n = len(weight)
    assert abs(weight.mean()) < 5 * math.sqrt(variance / n)
    normal = initialiser in (GlorotNormal, KaimingNormal)
    kurtosis = 3.0 if normal else 1.8
    assert abs(weight.var() / variance - 1) < 5 * math.sqrt((kurtosis - 1) / n)
    assert abs((weight**4).mean() / variance**2 - kurtosis) < 0.2
    if not normal:
        assert weight.abs().max() <= math.sqrt(3 * variance) * (1 + 1e-6)


@pytest.mark.parametrize("linear", [True, False])
def test_lecun_normal_is_cut_off_and_may_draw_linear_layers_otherwise(linear):
    torch.manual_seed(0)
    layer = nn.Linear(400, 300) if linear else nn.Conv2d(40, 60, 5)
    std = 400**-0.5 if linear else 1000**-0.5
    LeCunNormal()(layer)
    weight = layer.weight.detach().double()
    assert weight.std() == pytest.approx(std, rel=0.01)
    assert 1.99 * std / 0.87962566 < weight.abs().max() <= 2 * std / 0.87962566 + 1e-7
    LeCunNormal(linear_std=0.01)(layer)
    weight = layer.weight.detach().double()
    assert weight.std() == pytest.approx(0.01 if linear else std, rel=0.01)


@pytest.mark.parametrize("initialiser", ALL)
def test_biases_are_zero_except_where_it_says_otherwise(initialiser):
    layer = nn.Linear(4, 3)
    initialiser()(layer)
    assert bool(layer.bias.any()) == (initialiser is TorchDefault)


@pytest.mark.parametrize("initialiser", ALL)
@pytest.mark.parametrize("layer", [LINEAR, CONV])
def test_biases_may_be_those_of_torch(initialiser, layer):
    torch.manual_seed(0)
    layer = layer()
    initialiser(bias="torch")(layer)
    bound = layer.weight[0].numel() ** -0.5
    assert 0.9 * bound < layer.bias.abs().max() <= bound


def test_torchs_default_has_no_other_biases():
    with pytest.raises(ValueError, match=r"model\.initialiser\.bias='zeros': torch"):
        TorchDefault(bias="zeros")


@pytest.mark.parametrize("initialiser", ALL)
def test_a_layer_is_drawn_anew_from_the_global_generator(initialiser):
    layer = nn.Sequential(nn.Conv1d(2, 3, 3, bias=False), nn.Linear(4, 3))
    draws = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        initialiser()(layer)
        draws.append([weight.clone() for weight in layer.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(draws[0], draws[1], strict=True))
    assert not torch.equal(draws[0][0], draws[2][0])


@pytest.mark.parametrize("initialiser", ALL)
@pytest.mark.parametrize("norm_weight", ["ones", "uniform"])
def test_normalisation_is_reset(initialiser, norm_weight):
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(10_000)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    norm(torch.randn(3, 10_000, 1, 1))
    initialiser(norm_weight=norm_weight)(norm)
    assert not norm.bias.any()
    assert not norm.running_mean.any()
    assert norm.running_var.eq(1).all()
    assert norm.num_batches_tracked == 0
    if norm_weight == "ones":
        assert norm.weight.eq(1).all()
    else:
        assert 0 <= norm.weight.min() < 0.01
        assert 0.99 < norm.weight.max() < 1
        assert abs(norm.weight.mean() - 0.5) < 0.02


def test_normalisation_without_scale_is_left_alone():
    KaimingNormal(norm_weight="uniform")(nn.BatchNorm1d(3, affine=False))


def test_an_initialiser_is_a_value():
    assert KaimingNormal() == KaimingNormal(norm_weight="ones") != KaimingNormal(norm_weight="uniform")
    assert KaimingNormal() != GlorotNormal()
    assert repr(KaimingNormal()) == "KaimingNormal(norm_weight='ones', bias='zeros')"
    with pytest.raises(ValueError, match=r"model\.initialiser\.norm_weight='one': one of ones, uniform"):
        KaimingNormal(norm_weight="one")
