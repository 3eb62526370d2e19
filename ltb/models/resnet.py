"""Residual networks for CIFAR (He et al., 2016, section 4.2), in the variant that lottery-ticket papers train.

It departs from He et al. in three things, as open_lth does: where the shape changes, the shortcut is a 1 x 1
convolution with batch normalisation (not padding), the scale of batch normalisation is drawn from U[0, 1), and the
output's biases from torch's default.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from ltb.common.allowed import Count, Fraction, checked
from ltb.models.arguments import Shape, image_shape
from ltb.models.initialisers import Initialiser, KaimingNormal

INITIALISER = KaimingNormal(norm_weight="uniform", bias="torch")


class Block(nn.Module):
    """Two 3 x 3 convolutions with batch normalisation and a shortcut around them."""

    def __init__(self, inputs: int, outputs: int, stride: int, *, projection: bool, momentum: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs, momentum=momentum)
        self.conv2 = nn.Conv2d(outputs, outputs, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs, momentum=momentum)
        self.shortcut = nn.Sequential()
        if projection:
            self.shortcut.add_module("conv", nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False))
            self.shortcut.add_module("bn", nn.BatchNorm2d(outputs, momentum=momentum))

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return functional.relu(y + self.shortcut(x))


class ResNetCIFAR(nn.Module):
    """ResNet-``depth``: ``conv1``, three stages of (depth - 2) / 6 blocks, mean over positions, linear ``output``.

    (n, channels, height, width) to logits (n, classes). The stages have ``width``, 2 ``width`` and 4 ``width`` channels
    (He et al.: 16), the second and third at half the resolution of the one before. ``stage1_projection`` has the first
    stage begin with a 1 x 1 convolution as well, as TensorFlow's official ResNet and with it Renda et al. (2020).
    ``norm_momentum`` is the weight of a new batch in the running statistics of batch normalisation (torch's convention;
    1 - TensorFlow's decay). ``ValueError`` if an argument is out of range; ``depth`` is one of 20, 32, 44, 56, 110.
    """

    @checked("model")
    def __init__(
        self,
        shape: Shape,
        classes: Count,
        depth: Literal[20, 32, 44, 56, 110] = 20,
        width: Count = 16,
        stage1_projection: bool = False,
        norm_momentum: Fraction = 0.1,
        initialiser: Initialiser = INITIALISER,
    ) -> None:
        super().__init__()
        channels, _, _ = image_shape(shape)
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(channels, width, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width, momentum=norm_momentum)
        self.stage1 = _stage(width, width, blocks, 1, projection=stage1_projection, momentum=norm_momentum)
        self.stage2 = _stage(width, 2 * width, blocks, 2, projection=True, momentum=norm_momentum)
        self.stage3 = _stage(2 * width, 4 * width, blocks, 2, projection=True, momentum=norm_momentum)
        self.output = nn.Linear(4 * width, classes)
        initialiser(self)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.stage3(self.stage2(self.stage1(x)))
        logits: Tensor = self.output(x.mean((2, 3)))
        return logits


def _stage(inputs: int, outputs: int, blocks: int, stride: int, *, projection: bool, momentum: float) -> nn.Sequential:
    first = Block(inputs, outputs, stride, projection=projection, momentum=momentum)
    rest = (Block(outputs, outputs, 1, projection=False, momentum=momentum) for _ in range(blocks - 1))
    return nn.Sequential(first, *rest)
