import pytest
import torch

from ltb.models import MLP, KaimingNormal


def weights(model):
    return {name: parameter.numel() for name, parameter in model.named_parameters() if name.endswith("weight")}


def test_lenet_300_100_has_the_weights_of_the_paper():
    model = MLP((1, 28, 28), 10)
    assert weights(model) == {"fc1.weight": 235_200, "fc2.weight": 30_000, "output.weight": 1_000}
    assert sum(weights(model).values()) == 266_200
    assert sum(parameter.numel() for parameter in model.parameters()) == 266_610


@pytest.mark.parametrize(
    ("shape", "classes", "widths", "names"),
    [
        ((40,), 10, (256, 256), ["fc1.weight", "fc2.weight", "output.weight"]),
        ((3, 4), 2, [5], ["fc1.weight", "output.weight"]),
        ([7], 3, [], ["output.weight"]),
    ],
)
def test_layers_and_shapes(shape, classes, widths, names):
    model = MLP(shape, classes, widths)
    assert list(weights(model)) == names
    assert model(torch.zeros(6, *shape)).shape == (6, classes)


def test_it_is_the_function_written_out():
    torch.manual_seed(0)
    model, x = MLP((2, 3), 4, widths=(5, 6)), torch.randn(7, 2, 3)
    weight = dict(model.named_parameters())
    hidden = (x.reshape(7, 6) @ weight["fc1.weight"].T + weight["fc1.bias"]).clamp(min=0)
    hidden = (hidden @ weight["fc2.weight"].T + weight["fc2.bias"]).clamp(min=0)
    expected = hidden @ weight["output.weight"].T + weight["output.bias"]
    torch.testing.assert_close(model(x), expected)


def test_the_initialiser_is_used():
    torch.manual_seed(0)
    model = MLP((400,), 10, widths=(300,), initialiser=KaimingNormal())
    assert model.fc1.weight.var().item() == pytest.approx(2 / 400, rel=0.03)
    assert not model.fc1.bias.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widths": (300, 0)}, r"model\.widths=.*: a list of whole numbers, "),
        ({"widths": (1.5,)}, r"model\.widths=.*: a list of whole numbers, "),
        ({"classes": 0}, r"model\.classes=0: a whole number, 1 or more"),
        ({"classes": True}, r"model\.classes=True: a whole number, 1 or more"),
        ({"shape": (0,)}, r"model\.shape=.*: a list of whole numbers, "),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        MLP(**{"shape": (4,), "classes": 2, **arguments})
