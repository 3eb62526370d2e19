"""Fully connected networks, LeNet-300-100 among them (LeCun et al., 1998; Frankle and Carbin, 2019, figure 2)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from ltb.common.allowed import Count, checked
from ltb.models.arguments import Shape
from ltb.models.initialisers import GlorotNormal, Initialiser

INITIALISER = GlorotNormal()  # the paper's


class MLP(nn.Module):
    """Linear layers ``fc1``, ``fc2`` … with ReLU and a linear ``output``: (n, *shape) to logits (n, classes).

    Examples are flattened, so any ``shape`` will do. ``widths`` are the numbers of hidden units; none leave
    one linear layer. ``ValueError`` if a number is below 1.
    """

    @checked("model")
    def __init__(
        self,
        shape: Shape,
        classes: Count,
        widths: Sequence[Count] = (300, 100),
        initialiser: Initialiser = INITIALISER,
    ) -> None:
        super().__init__()
        self.depth = len(widths)
        features = math.prod(shape)
        for number, width in enumerate(widths, start=1):
            self.add_module(f"fc{number}", nn.Linear(features, width))
            features = width
        self.output = nn.Linear(features, classes)
        initialiser(self)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        for number in range(1, self.depth + 1):
            x = functional.relu(getattr(self, f"fc{number}")(x))
        logits: Tensor = self.output(x)
        return logits
