"""Plain ``nn.Module`` classifiers, one family a file: examples of a stated shape to logits."""

from ltb.models.convn import ConvN
from ltb.models.initialisers import (
    GlorotNormal,
    GlorotUniform,
    Initialiser,
    KaimingNormal,
    KaimingUniform,
    LeCunNormal,
    TorchDefault,
)
from ltb.models.mlp import MLP
from ltb.models.resnet import ResNetCIFAR
from ltb.models.torchvision_resnet import TorchvisionResNet
from ltb.models.vgg import VGG

__all__ = [
    "MLP",
    "VGG",
    "ConvN",
    "GlorotNormal",
    "GlorotUniform",
    "Initialiser",
    "KaimingNormal",
    "KaimingUniform",
    "LeCunNormal",
    "ResNetCIFAR",
    "TorchDefault",
    "TorchvisionResNet",
]
