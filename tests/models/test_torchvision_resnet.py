import pytest
import torch
import torchvision

from ltb.models import KaimingNormal, TorchvisionResNet


@pytest.mark.parametrize("depth", [18, 50])
def test_it_computes_what_torchvisions_network_computes_from_the_same_weights(depth):
    torch.manual_seed(0)
    model = TorchvisionResNet((3, 64, 64), 10, depth=depth).eval()
    theirs = getattr(torchvision.models, f"resnet{depth}")(num_classes=10).eval()
    assert list(model.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(model.state_dict())
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(model(x), theirs(x))


@pytest.mark.parametrize(("depth", "parameters"), [(18, 11_689_512), (50, 25_557_032)])
def test_parameters_are_as_published(depth, parameters):
    model = TorchvisionResNet((3, 224, 224), 1000, depth=depth)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_the_stem_for_cifar_keeps_the_resolution():
    model = TorchvisionResNet((3, 32, 32), 10, cifar_stem=True)
    assert model.conv1.weight.shape == (64, 3, 3, 3)
    x = torch.zeros(2, 3, 32, 32)
    assert model.layer1(model.maxpool(model.relu(model.bn1(model.conv1(x))))).shape == (2, 64, 32, 32)
    assert model(x).shape == (2, 10)
    assert sum(p.numel() for p in model.parameters()) == 11_173_962


@pytest.mark.parametrize("cifar_stem", [False, True])
def test_other_numbers_of_channels(cifar_stem):
    assert TorchvisionResNet((1, 32, 32), 7, cifar_stem=cifar_stem)(torch.zeros(2, 1, 32, 32)).shape == (2, 7)


def test_the_initialiser_reaches_every_layer():
    torch.manual_seed(0)
    model = TorchvisionResNet((3, 32, 32), 10, initialiser=KaimingNormal(norm_weight="uniform"))
    assert model.layer4[1].conv2.weight.var().item() == pytest.approx(2 / (512 * 9), rel=0.01)
    assert 0.4 < model.layer4[1].bn2.weight.mean() < 0.6
    assert not model.fc.bias.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 34}, r"model\.depth=34: one of 18, 50"),
        ({"cifar_stem": "no"}, r"model\.cifar_stem='no': true or false"),
        ({"shape": (64,)}, r"model\.shape=.*: \[channels, height, width\]"),
        ({"classes": 0}, r"model\.classes=0: a whole number, 1 or more"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        TorchvisionResNet(**{"shape": (3, 32, 32), "classes": 10, **arguments})
