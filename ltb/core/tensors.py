"""Weights: a mapping from name to tensor, parameters and buffers alike, that shares no storage with the network it came from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

Weights = Mapping[str, Tensor]

COMPILED = "_orig_mod."  # what `torch.compile` puts before the names of what it wraps, wherever in a network that is


def plain(name: str) -> str:
    """Return a name without what `torch.compile` put into it: a compiled network has the names of the network.

    >>> plain("_orig_mod.features._orig_mod.0.weight")
    'features.0.weight'
    """
    return name.replace(COMPILED, "")


def parameters(network: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters of `network` by their plain names; what is tied once, by its first name."""
    return {plain(name): parameter for name, parameter in network.named_parameters()}


def norm_scales(network: nn.Module) -> tuple[str, ...]:
    """Return the plain names of the scales γ of its batch norms (and instance norms)."""
    found = ((name, layer) for name, layer in network.named_modules() if isinstance(layer, _NormBase))
    return tuple(plain(f"{name}.weight" if name else "weight") for name, layer in found if layer.weight is not None)


def state(network: nn.Module) -> dict[str, Tensor]:
    """Return every parameter and persistent buffer of `network` by its plain name, not copied."""
    return {plain(name): tensor for name, tensor in network.state_dict().items()}


def check(network: nn.Module) -> None:
    """Raise ValueError, which names it, for an entry of the network's state dict that is not a plain dense tensor."""
    for name, value in state(network).items():
        if (
            not isinstance(value, Tensor)
            or value.layout != torch.strided
            or value.is_quantized
            or value.is_conj()
            or value.is_neg()
        ):
            what = f"{value.dtype}, {value.layout}" if isinstance(value, Tensor) else f"of type {type(value).__name__}"
            raise ValueError(f"module: {name} in its state dict is {what}; points keep plain dense tensors alone")


def copy(weights: Weights) -> dict[str, Tensor]:
    """Copies on the CPU that share no storage with `weights`."""
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in weights.items()}


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    """A copy of every parameter and persistent buffer of `network`, on the CPU."""
    return copy(state(network))


def load(network: nn.Module, weights: Weights) -> None:
    """Copy `weights` into `network`, bit for bit.

    Raises ValueError that lists the names when a name is missing, unknown, or has another shape or dtype.
    """
    own = state(network)
    wrong = [f"{name} is missing" for name in own.keys() - weights.keys()]
    wrong += [f"{name} is not in the network" for name in weights.keys() - own.keys()]
    for name in sorted(own.keys() & weights.keys()):
        mine, given = own[name], weights[name]
        if mine.shape != given.shape or mine.dtype != given.dtype:
            wrong.append(
                f"{name} is {tuple(given.shape)} {given.dtype}, the network's is {tuple(mine.shape)} {mine.dtype}"
            )
    if wrong:
        shown = "; ".join(sorted(wrong)[:5]) + (f"; and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        raise ValueError(f"the weights do not fit {type(network).__name__}: {shown}")
    # A tied parameter has several names, and masks know it by its first: that one is copied last.
    first = parameters(network)
    with torch.no_grad():
        for name in sorted(own, key=lambda name: name in first):
            own[name].copy_(weights[name])


def digest(weights: Weights) -> str:
    """SHA-256 (hex) over names, dtypes, shapes and bytes: equal if and only if the weights are the same bit for bit."""
    total = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return total.hexdigest()


def matrix(weight: Tensor) -> Tensor:
    """A weight as a matrix (out, in · kernel height · kernel width), as convolutions are multiplied; a vector as one row."""
    return weight.reshape(weight.shape[0], -1) if weight.ndim > 1 else weight.reshape(1, -1)
