"""Each file of conf/model makes the model of its name, and passes every argument of its class."""

import inspect
from pathlib import Path

import pytest
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

from ltb.models import GlorotNormal, KaimingNormal, LeCunNormal

CONF = Path(__file__).parents[2] / "conf" / "model"

# name: shape of an example, weights and biases of everything
PARAMETERS = {
    "mlp": ((40,), 78_858),
    "lenet_300_100_openlth": ((1, 28, 28), 266_610),
    "lenet_300_100": ((1, 28, 28), 266_610),
    "conv2": ((3, 32, 32), 4_301_642),
    "conv4": ((3, 32, 32), 2_425_930),
    "conv6": ((3, 32, 32), 2_262_602),
    "resnet20": ((3, 32, 32), 272_474),
    "resnet20_renda": ((3, 32, 32), 272_762),  # a projection and its scales and shifts more: 16 * 16 + 2 * 16
    "resnet20_lth": ((3, 32, 32), 272_474),
    "vgg19_lth": ((3, 32, 32), 20_035_018),
    "resnet32": ((3, 32, 32), 466_906),
    "resnet56": ((3, 32, 32), 855_770),
    "resnet110": ((3, 32, 32), 1_730_714),
    "wide_resnet20": ((3, 32, 32), 4_327_754),
    "vgg11": ((3, 32, 32), 9_228_362),
    "vgg16": ((3, 32, 32), 14_724_042),
    "vgg19": ((3, 32, 32), 20_035_018),
    "resnet18": ((3, 32, 32), 11_173_962),
    "resnet50": ((3, 224, 224), 23_528_522),
}


# Those whose initialiser is not the default of their class, but that of a code.
OWN = {
    "resnet20_lth": GlorotNormal(),
    "vgg19_lth": GlorotNormal(),
    "lenet_300_100_openlth": KaimingNormal(bias="torch"),
    "resnet20_renda": LeCunNormal(linear_std=0.01),
    "resnet50": KaimingNormal(norm_weight="uniform", bias="torch"),
}


def test_there_is_a_file_for_each_model():
    assert {file.stem for file in CONF.glob("*.yaml")} == set(PARAMETERS)


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_the_file_makes_the_model(name):
    shape, parameters = PARAMETERS[name]
    conf = OmegaConf.create(
        {
            "data": {"shape": list(shape), "classes": 10},
            "protocol": {"dropout": 0.0},
            "model": OmegaConf.load(CONF / f"{name}.yaml"),
        }
    )
    constructor = get_class(conf.model["_target_"]).__init__
    assert set(conf.model) - {"_target_"} == set(inspect.signature(constructor).parameters) - {"self"}
    model = instantiate(conf.model)
    assert sum(p.numel() for p in model.parameters()) == parameters
    default = inspect.signature(constructor).parameters["initialiser"].default
    assert instantiate(conf.model.initialiser) == OWN.get(name, default)
