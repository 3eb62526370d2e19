"""Initialisers: the distributions that a model's first weights are drawn from.

An initialiser is a frozen value that is called on a module: it draws the weight of every linear and
convolutional layer in it anew, and their biases unless they are zero, and resets every normalisation layer. It draws from
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

from ltb.common.allowed import Positive, settle

CUT = 0.8796256610342398  # the standard deviation of a standard normal that is cut off at two


@dataclass(frozen=True, kw_only=True)
class Initialiser(ABC):
    """A distribution of weights.

    ``norm_weight`` is the initial scale of batch normalisation: 1, or U[0, 1). ``bias`` is what biases are: zero, or
    ``torch``: uniform on ±1/sqrt(fan_in), as torch's own layers have them, and as open_lth leaves them.
    """

    norm_weight: Literal["ones", "uniform"] = "ones"
    bias: Literal["zeros", "torch"] = "zeros"

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
        """Draw the layer's weight, and its bias or set it to zero."""
        if self.bias == "torch":
            layer.reset_parameters()
        self.draw(layer.weight)
        if self.bias == "zeros" and layer.bias is not None:
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


@dataclass(frozen=True, kw_only=True)
class LeCunNormal(Initialiser):
    """Normal with variance 1 / fan_in, cut off at two standard deviations of the normal that is cut (LeCun et al., 1998).

    It is TensorFlow's ``variance_scaling_initializer``, which draws the convolutions of Renda et al. (2020). ``linear_std``,
    if given, is the standard deviation of an uncut normal that linear layers are drawn from instead; theirs is 0.01.
    """

    linear_std: Positive | None = None

    def draw(self, weight: Tensor) -> None:
        if self.linear_std is not None and weight.ndim == 2:
            init.normal_(weight, std=self.linear_std)
        else:
            std = weight[0].numel() ** -0.5 / CUT
            init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)


@dataclass(frozen=True, kw_only=True)
class TorchDefault(Initialiser):
    """The default of torch's own layers: weight *and bias* are uniform on ±1/sqrt(fan_in)."""

    bias: Literal["torch"] = "torch"

    def reset(self, layer: nn.Linear | _ConvNd) -> None:
        layer.reset_parameters()

    def draw(self, weight: Tensor) -> None:
        init.kaiming_uniform_(weight, a=5**0.5)  # the same distribution as reset_parameters gives a weight
