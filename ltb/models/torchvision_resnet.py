"""The residual networks for ImageNet (He et al., 2016, table 1) as torchvision builds them, untrained."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from ltb.common.allowed import Count, checked
from ltb.models.arguments import Shape, image_shape
from ltb.models.initialisers import Initialiser, KaimingNormal

INITIALISER = KaimingNormal()


class TorchvisionResNet(nn.Module):
    """torchvision's ResNet-18 or ResNet-50 under its own layer names (``conv1``, ``layer1.0.conv1`` …, ``fc``).

    (n, channels, height, width) to logits (n, classes). ``cifar_stem`` replaces the first layer, which halves
    the resolution twice, by a 3 x 3 convolution of stride 1 without pooling, for images as small as CIFAR's.
    ``ValueError`` if an argument is out of range; ``depth`` is 18 or 50.
    """

    @checked("model")
    def __init__(
        self,
        shape: Shape,
        classes: Count,
        depth: Literal[18, 50] = 18,
        cifar_stem: bool = False,
        initialiser: Initialiser = INITIALISER,
    ) -> None:
        from torchvision.models import resnet18, resnet50

        super().__init__()
        channels, _, _ = image_shape(shape)
        build = {18: resnet18, 50: resnet50}[depth]
        network = build(weights=None, num_classes=classes)
        if cifar_stem:
            network.conv1 = nn.Conv2d(channels, 64, kernel_size=3, padding=1, bias=False)
            network.maxpool = nn.Identity()
        elif channels != 3:
            network.conv1 = nn.Conv2d(channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        # The layers become this module's own, in the order in which they are applied, under the names they have.
        self.layers = tuple(name for name, _ in network.named_children())
        for name, layer in network.named_children():
            self.add_module(name, layer)
        initialiser(self)

    def forward(self, x: Tensor) -> Tensor:
        for name in self.layers[:-1]:
            x = getattr(self, name)(x)
        logits: Tensor = getattr(self, self.layers[-1])(x.flatten(1))
        return logits
