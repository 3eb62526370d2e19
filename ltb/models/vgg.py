"""VGG (Simonyan and Zisserman, 2015) as trained on CIFAR: batch normalisation, and one linear layer at the end."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from ltb.common.allowed import Count, checked
from ltb.models.arguments import Shape, image_shape
from ltb.models.initialisers import Initialiser, KaimingNormal

TIMES = (1, 2, 4, 8, 8)  # the width, of the five groups, with max-pooling between one and the next
CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
INITIALISER = KaimingNormal(norm_weight="uniform", bias="torch")


class VGG(nn.Module):
    """VGG-``depth``: 3 x 3 convolutions ``conv1``, ``bn1``, ``conv2`` …, mean over positions, linear ``output``.

    (n, channels, height, width) to logits (n, classes), height and width at least 16. ``depth`` is 11, 13, 16
    or 19, the number of layers with weights before the two hidden linear layers of the original were left
    out. The five groups have ``width``, 2, 4, 8 and 8 times ``width`` channels (the original: 64). Initialised as in
    open_lth; unlike there, the convolutions have no biases, which batch normalisation cancels. ``ValueError`` if an
    argument is out of range.
    """

    @checked("model")
    def __init__(
        self,
        shape: Shape,
        classes: Count,
        depth: Literal[11, 13, 16, 19] = 16,
        width: Count = 64,
        initialiser: Initialiser = INITIALISER,
    ) -> None:
        super().__init__()
        channels, _, _ = image_shape(shape, least=16)
        self.convolutions = CONVOLUTIONS[depth]
        number = 0
        for times, count in zip(TIMES, self.convolutions, strict=True):
            outputs = times * width
            for _ in range(count):
                number += 1
                self.add_module(f"conv{number}", nn.Conv2d(channels, outputs, kernel_size=3, padding=1, bias=False))
                self.add_module(f"bn{number}", nn.BatchNorm2d(outputs))
                channels = outputs
        self.output = nn.Linear(channels, classes)
        initialiser(self)

    def forward(self, x: Tensor) -> Tensor:
        number = 0
        for group, count in enumerate(self.convolutions):
            if group > 0:
                x = functional.max_pool2d(x, 2)
            for _ in range(count):
                number += 1
                x = functional.relu(getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(x)))
        logits: Tensor = self.output(x.mean((2, 3)))
        return logits
