"""Initialisers: the distributions that a model's first weights are drawn from.

An initialiser is a frozen value that is called on a module: it draws the weight of every linear and
convolutional layer in it anew, sets their biases to zero, and resets every normalisation layer. It draws from
torch's global generator: seed that first. Models call theirs at the end of construction.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import init
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from ltb.common.allowed import settle


@dataclass(frozen=True, kw_only=True)
class Initialiser(ABC):
    """A distribution of weights; ``norm_weight`` is the initial scale of batch normalisation: 1, or U[0, 1)."""

    norm_weight: Literal["ones", "uniform"] = "ones"

    def __post_init__(self) -> None:
        settle(self, "model.initialiser")

    def __call__(self, module: nn.Module) -> None:
        for layer in module.modules():
            if isinstance(layer, nn.Linear | _ConvNd):
                self.reset(layer)
            elif isinstance(layer, _BatchNorm):
                layer.reset_parameters()  # scale 1, shift 0 and running statistics as before any batch
                if self.norm_weight == "uniform" and layer.affine:
                    init.uniform_(layer.weight)

    def reset(self, layer: nn.Linear | _ConvNd) -> None:
        """Draw the layer's weight; its bias becomes zero."""
        self.draw(layer.weight)
        if layer.bias is not None:
            init.zeros_(layer.bias)

    @abstractmethod
    def draw(self, weight: Tensor) -> None:
        """Fill a weight of shape (outputs, inputs, *kernel) in place."""


class GlorotNormal(Initialiser):
    """Normal with variance 2 / (fan_in + fan_out) (Glorot and Bengio, 2010)."""

    def draw(self, weight: Tensor) -> None:
        init.xavier_normal_(weight)


class GlorotUniform(Initialiser):
    """Uniform with variance 2 / (fan_in + fan_out) (Glorot and Bengio, 2010, equation 16)."""

    def draw(self, weight: Tensor) -> None:
        init.xavier_uniform_(weight)


class KaimingNormal(Initialiser):
    """Normal with variance 2 / fan_in (He et al., 2015, equation 10)."""

    def draw(self, weight: Tensor) -> None:
        init.kaiming_normal_(weight, nonlinearity="relu")


class KaimingUniform(Initialiser):
    """Uniform with variance 2 / fan_in, the variance of He et al. (2015, equation 10)."""

    def draw(self, weight: Tensor) -> None:
        init.kaiming_uniform_(weight, nonlinearity="relu")


class TorchDefault(Initialiser):
    """The default of torch's own layers: weight *and bias* are uniform on ±1/sqrt(fan_in)."""

    def reset(self, layer: nn.Linear | _ConvNd) -> None:
        layer.reset_parameters()

    def draw(self, weight: Tensor) -> None:
        init.kaiming_uniform_(weight, a=5**0.5)  # the same distribution as reset_parameters gives a weight
