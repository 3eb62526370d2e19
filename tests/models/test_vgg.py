import pytest
import torch
from torch import nn

from ltb.models import VGG


@pytest.mark.parametrize(
    ("depth", "convolutions", "weights"),
    [(11, 8, 9_222_848), (13, 10, 9_407_168), (16, 13, 14_715_584), (19, 16, 20_024_000)],
)
def test_weights_by_hand(depth, convolutions, weights):
    # 3-64 and 64-128, 128-256, 256-512 once; the rest keeps their channels; 512 x 10 at the end
    model = VGG((3, 32, 32), 10, depth=depth)
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == convolutions + 1
    assert sum(layer.weight.numel() for layer in layers) == weights
    assert all(layer.bias is None for layer in layers[:-1])


def test_names_are_numbered_in_order():
    names = [name for name, _ in VGG((3, 32, 32), 10, depth=16).named_children()]
    assert names == [*(f"{kind}{i}" for i in range(1, 14) for kind in ("conv", "bn")), "output"]


@pytest.mark.parametrize(("shape", "classes"), [((3, 32, 32), 10), ((1, 28, 28), 3), ((3, 16, 64), 10)])
def test_output_shape(shape, classes):
    assert VGG(shape, classes, depth=11)(torch.zeros(2, *shape)).shape == (2, classes)


def test_it_is_the_function_written_out():
    torch.manual_seed(0)
    model, x = VGG((3, 32, 32), 10, depth=11).eval(), torch.randn(2, 3, 32, 32)
    plan = [1, "pool", 2, "pool", 3, 4, "pool", 5, 6, "pool", 7, 8]
    pool, y = nn.MaxPool2d(2), x
    for item in plan:
        y = (
            pool(y)
            if item == "pool"
            else model.get_submodule(f"bn{item}")(model.get_submodule(f"conv{item}")(y)).relu()
        )
    assert y.shape == (2, 512, 2, 2)
    torch.testing.assert_close(model(x), model.output(nn.AvgPool2d(2)(y).flatten(1)))


def test_the_default_initialisation_is_that_of_open_lth():
    torch.manual_seed(0)
    model = VGG((3, 32, 32), 10, depth=11)
    assert model.conv8.weight.var().item() == pytest.approx(2 / (512 * 9), rel=0.01)
    assert 0.4 < model.bn8.weight.mean() < 0.6
    assert model.output.bias.any()  # torch's default


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 12}, r"model\.depth=12: one of 11, 13, 16, 19"),
        ({"shape": (1, 8, 8)}, r"model\.shape=\[1, 8, 8\]: .* at least 16"),
        ({"classes": 0}, r"model\.classes=0: a whole number, 1 or more"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        VGG(**{"shape": (3, 32, 32), "classes": 10, **arguments})


def test_a_width_scales_all_channels():
    model = VGG((3, 32, 32), 10, depth=13, width=3)
    outputs = [m.out_channels for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert outputs == [3, 3, 6, 6, 12, 12, 24, 24, 24, 24]
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
