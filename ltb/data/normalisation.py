"""Normalisations: what is done to the values of an example before a model sees it, where that is not a dataset's own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from ltb.common.allowed import Limits, Positive, settle

Apply = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Normalisation(ABC):
    """A function of float32 examples (n, *shape), each by itself; a value of ``data.normalisation``."""

    def __post_init__(self) -> None:
        settle(self, "data.normalisation")

    @abstractmethod
    def on(self, device: torch.device, shape: Sequence[int], scale: float) -> Apply:
        """Return the function for examples of a shape on a device, which may write into what it is given.

        ``scale`` is how many times too large the values are: 255 for the bytes of an image. Raises ``ValueError`` for a shape
        that it is not for.
        """


@dataclass(frozen=True)
class Channels(Normalisation):
    """(x - mean) / std, with one number for all values or one for each channel, of values between 0 and 1 for images."""

    mean: Annotated[Sequence[float], Limits("one or more", least=1)]
    std: Annotated[Sequence[Positive], Limits("one or more", least=1)]

    def on(self, device: torch.device, shape: Sequence[int], scale: float) -> Apply:
        for name, given in (("mean", self.mean), ("std", self.std)):
            if len(given) not in (1, shape[0]):
                raise ValueError(f"data.normalisation.{name}={list(given)}: one number, or {shape[0]}, one a channel")
        broadcast = (-1,) + (1,) * (len(shape) - 1)
        mean = scale * torch.tensor(self.mean, device=device).view(broadcast)
        std = scale * torch.tensor(self.std, device=device).view(broadcast)
        return lambda x: x.sub_(mean).div_(std)


@dataclass(frozen=True)
class PerImage(Normalisation):
    """(x - m) / max(s, 1 / sqrt(N)) by the mean m and standard deviation s (over N) of an example's own N values.

    The lower bound, in values as they are stored, is that of TensorFlow's ``per_image_standardization``, which Renda et al.
    (2020) train with; it matters for images of one colour alone.
    """

    def on(self, device: torch.device, shape: Sequence[int], scale: float) -> Apply:
        own = tuple(range(1, len(shape) + 1))
        least = torch.Size(shape).numel() ** -0.5

        def apply(x: Tensor) -> Tensor:
            std, mean = torch.std_mean(x, own, correction=0, keepdim=True)
            return x.sub_(mean).div_(std.clamp(min=least))

        return apply


@dataclass(frozen=True)
class UnitLength(Normalisation):
    """x / its Euclidean length, as google-research/lottery-ticket-hypothesis trains; an example of zeros stays as it is."""

    def on(self, device: torch.device, shape: Sequence[int], scale: float) -> Apply:
        own = tuple(range(1, len(shape) + 1))

        def apply(x: Tensor) -> Tensor:
            length = x.square().sum(own, keepdim=True).sqrt()
            return x.div_(torch.where(length == 0, 1, length))

        return apply
