import pytest
import torch
from torch import nn
from torch.nn import functional

from ltb.models import ResNetCIFAR


def weights(model):
    return {n: m.weight.numel() for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}


@pytest.mark.parametrize(
    ("depth", "width", "blocks", "total"),
    [
        # first + stage 1 + stage 2 + stage 3 + two projections + output
        (20, 16, 3, 432 + 6 * 2304 + (4608 + 5 * 9216) + (18432 + 5 * 36864) + 512 + 2048 + 640),
        (32, 16, 5, 432 + 10 * 2304 + (4608 + 9 * 9216) + (18432 + 9 * 36864) + 512 + 2048 + 640),
        (56, 16, 9, 432 + 18 * 2304 + (4608 + 17 * 9216) + (18432 + 17 * 36864) + 512 + 2048 + 640),
        (20, 64, 3, 1728 + 16 * (6 * 2304 + (4608 + 5 * 9216) + (18432 + 5 * 36864) + 512 + 2048) + 2560),
    ],
)
def test_weights_by_hand(depth, width, blocks, total):
    model = ResNetCIFAR((3, 32, 32), 10, depth=depth, width=width)
    assert sum(weights(model).values()) == total
    assert [len(stage) for stage in (model.stage1, model.stage2, model.stage3)] == [blocks] * 3


def test_resnet20_counts_are_pinned():
    model = ResNetCIFAR((3, 32, 32), 10)
    assert sum(weights(model).values()) == 270_896
    assert sum(p.numel() for p in model.parameters()) == 272_474  # with 784 scales and shifts, twice, and 10 biases
    assert sum(p.numel() for p in ResNetCIFAR((3, 32, 32), 10, depth=110).parameters()) == 1_730_714


def test_names_read_well():
    names = list(weights(ResNetCIFAR((3, 32, 32), 10)))
    assert names[:4] == ["conv1", "stage1.0.conv1", "stage1.0.conv2", "stage1.1.conv1"]
    assert [name for name in names if "shortcut" in name] == [
        "stage2.0.shortcut.conv",
        "stage3.0.shortcut.conv",
    ]
    assert names[-1] == "output"


@pytest.mark.parametrize(("shape", "classes"), [((3, 32, 32), 100), ((1, 28, 28), 10), ((3, 4, 6), 2)])
def test_output_shape(shape, classes):
    assert ResNetCIFAR(shape, classes)(torch.zeros(2, *shape)).shape == (2, classes)


def test_resolution_is_halved_twice_and_blocks_add_their_input():
    torch.manual_seed(0)
    model, x = ResNetCIFAR((3, 32, 32), 10).eval(), torch.randn(2, 3, 32, 32)
    first = model.stage1(functional.relu(model.bn1(model.conv1(x))))
    assert first.shape == (2, 16, 32, 32)
    second = model.stage2(first)
    assert second.shape == (2, 32, 16, 16)
    third = model.stage3(second)
    assert third.shape == (2, 64, 8, 8)
    torch.testing.assert_close(model(x), model.output(functional.adaptive_avg_pool2d(third, 1).flatten(1)))
    block = model.stage1[1]
    nn.init.zeros_(block.bn2.weight)  # silences the convolutions: what is left is the shortcut
    torch.testing.assert_close(block(first), first.clamp(min=0))


def test_the_first_stage_may_project_and_running_statistics_be_slower():
    plain = ResNetCIFAR((3, 32, 32), 10)
    model = ResNetCIFAR((3, 32, 32), 10, stage1_projection=True, norm_momentum=0.003)
    assert set(weights(model)) - set(weights(plain)) == {"stage1.0.shortcut.conv"}
    assert model.stage1[0].shortcut.conv.weight.shape == (16, 16, 1, 1)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} == {0.003}
    assert len(norms) == 19 + 3
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_the_default_initialisation_is_that_of_open_lth():
    torch.manual_seed(0)
    model = ResNetCIFAR((3, 32, 32), 10)
    assert model.stage3[1].conv1.weight.var().item() == pytest.approx(2 / (64 * 9), rel=0.03)
    scales = torch.cat([m.weight for m in model.modules() if isinstance(m, nn.BatchNorm2d)])
    assert 0 <= scales.min() < 0.05
    assert 0.95 < scales.max() < 1
    assert model.output.bias.any()  # torch's default


def test_it_is_determined_by_the_global_seed():
    models = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        models.append(ResNetCIFAR((3, 32, 32), 10).state_dict())
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])
    assert not torch.equal(models[0]["conv1.weight"], models[2]["conv1.weight"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 18}, r"model\.depth=18: one of 20, 32, 44, 56, 110"),
        ({"width": 0}, r"model\.width=0: a whole number, 1 or more"),
        ({"shape": (784,)}, r"model\.shape=.*: \[channels, height, width\]"),
        ({"classes": 0}, r"model\.classes=0: a whole number, 1 or more"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ResNetCIFAR(**{"shape": (3, 32, 32), "classes": 10, **arguments})
