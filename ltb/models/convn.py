"""Conv-2, Conv-4 and Conv-6: small relatives of VGG for CIFAR-10 (Frankle and Carbin, 2019, figure 2)."""

from __future__ import annotations

from typing import Annotated, Literal

from torch import Tensor, nn
from torch.nn import functional

from ltb.common.allowed import Count, Limits, checked
from ltb.models.arguments import Shape, image_shape
from ltb.models.initialisers import GlorotNormal, Initialiser

TIMES = (1, 1, 2, 2, 4, 4)  # the width, of the convolutions
INITIALISER = GlorotNormal()  # the paper's
Share = Annotated[float, Limits("0 or more and below 1", least=0, below=1)]


class ConvN(nn.Module):
    """Convolutions (3 x 3) ``conv1`` …, halved by max-pooling after every second, then ``fc1``, ``fc2`` and ``output``.

    (n, channels, height, width) to logits (n, classes). ``depth`` is the number of convolutions, 2, 4 or 6.
    Every layer but the output is followed by ReLU. At 3 x 32 x 32 and 10 classes there are 4,300,992,
    2,425,024 and 2,261,184 weights; the paper's table says 4.3, 2.4 and 1.7 million, but its description of
    Conv-6 does not add up to the last. The pairs of convolutions have ``width``, 2 and 4 times
    ``width`` channels, ``fc1`` and ``fc2`` 4 times ``width`` units (the paper: 64). ``dropout`` is the fraction of ``fc1``'s and
    ``fc2``'s outputs that is dropped in training; the paper's text gives the rate, 0.5, and not the layers. ``ValueError`` if an
    argument is out of range or the image too small to be halved depth / 2 times.
    """

    @checked("model")
    def __init__(
        self,
        shape: Shape,
        classes: Count,
        depth: Literal[2, 4, 6] = 2,
        width: Count = 64,
        dropout: Share = 0.0,
        initialiser: Initialiser = INITIALISER,
    ) -> None:
        super().__init__()
        self.depth = depth
        self.dropout = dropout
        halvings = depth // 2
        channels, rows, columns = image_shape(shape, least=2**halvings)
        for number, times in enumerate(TIMES[:depth], start=1):
            outputs = times * width
            self.add_module(f"conv{number}", nn.Conv2d(channels, outputs, kernel_size=3, padding=1))
            channels = outputs
        features = channels * (rows >> halvings) * (columns >> halvings)
        hidden = 4 * width
        self.fc1 = nn.Linear(features, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, classes)
        initialiser(self)

    def forward(self, x: Tensor) -> Tensor:
        for number in range(1, self.depth + 1):
            x = functional.relu(getattr(self, f"conv{number}")(x))
            if number % 2 == 0:
                x = functional.max_pool2d(x, 2)
        x = self._dropped(functional.relu(self.fc1(x.flatten(1))))
        x = self._dropped(functional.relu(self.fc2(x)))
        logits: Tensor = self.output(x)
        return logits

    def _dropped(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.dropout, self.training) if self.dropout else x
