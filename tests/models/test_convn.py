import pytest
import torch
from torch.nn import functional

from ltb.models import ConvN

# By hand, for 3 x 32 x 32 and 10 classes: outputs x inputs x 3 x 3 for convolutions; fc1 sees the last
# channels x positions.
CONV = {
    "conv1": 64 * 3 * 9,
    "conv2": 64 * 64 * 9,
    "conv3": 128 * 64 * 9,
    "conv4": 128 * 128 * 9,
    "conv5": 256 * 128 * 9,
    "conv6": 256 * 256 * 9,
}
FC1 = {2: 256 * 64 * 16 * 16, 4: 256 * 128 * 8 * 8, 6: 256 * 256 * 4 * 4}


@pytest.mark.parametrize(("depth", "total"), [(2, 4_300_992), (4, 2_425_024), (6, 2_261_184)])
def test_weights_by_hand(depth, total):
    model = ConvN((3, 32, 32), 10, depth=depth)
    counts = {name: p.numel() for name, p in model.named_parameters() if name.endswith(".weight")}
    expected = dict(list(CONV.items())[:depth]) | {"fc1": FC1[depth], "fc2": 256 * 256, "output": 256 * 10}
    assert counts == {f"{name}.weight": count for name, count in expected.items()}
    assert list(counts) == [f"{name}.weight" for name in expected]
    assert sum(counts.values()) == total


@pytest.mark.parametrize(
    ("shape", "depth"),
    [((3, 32, 32), 2), ((1, 28, 28), 4), ((1, 28, 28), 6), ((2, 9, 17), 6), ((1, 2, 2), 2)],
)
def test_output_shape(shape, depth):
    assert ConvN(shape, 7, depth=depth)(torch.zeros(2, *shape)).shape == (2, 7)


def test_it_is_the_function_written_out():
    torch.manual_seed(0)
    model, x = ConvN((3, 8, 8), 10, depth=4), torch.randn(2, 3, 8, 8)
    p = dict(model.named_parameters())

    def conv(x, name):
        return functional.conv2d(x, p[f"{name}.weight"], p[f"{name}.bias"], padding=1).clamp(min=0)

    y = functional.max_pool2d(conv(conv(x, "conv1"), "conv2"), 2)
    y = functional.max_pool2d(conv(conv(y, "conv3"), "conv4"), 2).flatten(1)
    for name in ("fc1", "fc2"):
        y = functional.linear(y, p[f"{name}.weight"], p[f"{name}.bias"]).clamp(min=0)
    torch.testing.assert_close(model(x), functional.linear(y, p["output.weight"], p["output.bias"]))


def test_dropout_is_of_training_alone():
    torch.manual_seed(0)
    model, x = ConvN((3, 8, 8), 10, dropout=0.5), torch.randn(2, 3, 8, 8)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


def test_glorot_is_the_default():
    torch.manual_seed(0)
    model = ConvN((3, 32, 32), 10)
    assert model.conv2.weight.var().item() == pytest.approx(2 / (2 * 64 * 9), rel=0.03)
    assert not any(p.any() for name, p in model.named_parameters() if name.endswith("bias"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 3}, r"model\.depth=3: one of 2, 4, 6"),
        ({"shape": (40,)}, r"model\.shape=.*: \[channels, height, width\]"),
        ({"shape": (3, 7, 8), "depth": 6}, r"model\.shape=\[3, 7, 8\]: .*height and width at least 8"),
        ({"classes": -1}, r"model\.classes=-1: a whole number, 1 or more"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ConvN(**{"shape": (3, 32, 32), "classes": 10, **arguments})


def test_a_width_scales_all_hidden_layers():
    model = ConvN((3, 32, 32), 10, depth=6, width=3)
    outputs = {name: layer.weight.shape[0] for name, layer in model.named_children()}
    assert list(outputs.values()) == [3, 3, 6, 6, 12, 12, 12, 12, 10]
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
