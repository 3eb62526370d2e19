"""Layers whose pruned weights are not there: products with CSR matrices, by torch's own kernels for the CPU."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn
from torch.nn import functional

from ltb.core import tensors
from ltb.core.masks import Masks
from ltb.core.tensors import matrix


def sparse(network: nn.Module, masks: Masks) -> nn.Module:
    """Return a network, changed in place, whose linear layers and convolutions that are pruned at all are `SparseLinear` and
    `SparseConvolution`. Convolutions that are transposed, have groups, or pad with something else than 0 stay as they are."""
    for prefix, parent in list(network.named_modules()):
        for name, layer in list(parent.named_children()):
            weight = ".".join(filter(None, (tensors.plain(prefix), name, "weight")))
            if weight in masks and not masks[weight].all() and (made := _sparse(layer)) is not None:
                setattr(parent, name, made)
    return network


def _sparse(layer: nn.Module) -> nn.Module | None:
    if type(layer) is nn.Linear:
        return SparseLinear(layer)
    if type(layer) is nn.Conv2d and layer.groups == 1 and layer.padding_mode == "zeros" and layer.padding != "same":
        return SparseConvolution(layer)
    return None


class SparseLinear(nn.Module):
    """W x + b with W a CSR matrix of 32-bit indices: outputs (…, out) of inputs (…, in)."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.register_buffer("weight", _csr(layer.weight))
        self.bias = layer.bias

    def forward(self, x: Tensor) -> Tensor:
        found = torch.sparse.mm(self.weight, x.flatten(0, -2).T if x.ndim > 1 else x[:, None]).T  # type: ignore[arg-type]
        return (found if self.bias is None else found + self.bias).reshape(*x.shape[:-1], -1)


class SparseConvolution(nn.Module):
    """A convolution as the product of a CSR matrix (out, in · kernel) with the unfolded input (in · kernel, batch · positions)."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.register_buffer("weight", _csr(layer.weight))
        self.bias = layer.bias
        self.how = {name: getattr(layer, name) for name in ("kernel_size", "dilation", "stride")}
        self.how["padding"] = (0, 0) if layer.padding == "valid" else layer.padding

    def forward(self, x: Tensor) -> Tensor:
        columns = functional.unfold(x, **self.how)
        found = torch.sparse.mm(self.weight, columns.transpose(0, 1).flatten(1))  # type: ignore[arg-type]
        if self.bias is not None:
            found = found + self.bias[:, None]
        return found.unflatten(1, (len(x), -1)).transpose(0, 1).unflatten(2, self._size(x))

    def _size(self, x: Tensor) -> tuple[int, int]:
        """Return height and width of the output."""
        each = zip(
            x.shape[2:], *(self.how[name] for name in ("kernel_size", "dilation", "stride", "padding")), strict=True
        )
        height, width = (
            (size + 2 * pad - reach * (kernel - 1) - 1) // step + 1 for size, kernel, reach, step, pad in each
        )
        return height, width


def _csr(weight: Tensor) -> Tensor:
    dense = matrix(weight.detach())
    pointers = functional.pad((dense != 0).sum(1).cumsum(0), (1, 0)).int()
    places = dense.nonzero(as_tuple=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Sparse CSR tensor support is in beta state")
        return torch.sparse_csr_tensor(pointers, places[1].int(), dense[places], dense.shape, check_invariants=True)
