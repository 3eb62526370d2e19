"""Variants of a trained network for inference, each a class: what `Latency` times and `Memory` weighs beside each other."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ltb.common import extras
from ltb.core import masks as m
from ltb.core.contracts import Bench, network_of
from ltb.core.points import Point
from ltb.core.results import Result
from ltb.formats import onnx
from ltb.measures.harvest import harvested
from ltb.measures.kernels import sparse

Run = Callable[[Tensor], Any]


@dataclass(frozen=True, eq=False)
class Subject:
    """A finished network, on the CPU, and what it is given: `x`, 2 examples or more as the network takes them."""

    result: Result
    bench: Bench
    x: Tensor

    def network(self, point: Point | None = None) -> nn.Module:
        """Return a network of its own with a point's weights, by default the trained ones under their masks."""
        found = network_of(self.bench.module(point or self.result.point, {})).cpu().eval()
        return found.requires_grad_(False)


@dataclass(frozen=True, eq=False)
class Made:
    """A variant that can be run: from a minibatch to the outputs, a tensor; and the bytes that its weights take in memory."""

    run: Run
    weights: int


class Variant(ABC):
    """A subject -> what can be run. `name` is that in tables; `by_torch`: whether torch allocates what it computes."""

    name: str
    by_torch = True

    def check(self) -> None:  # noqa: B027 - most need none
        """Raise ValueError where it needs a package that is not installed."""

    @abstractmethod
    def made(self, of: Subject) -> Made:
        """Return the variant of a subject. Raises ValueError where its network has none."""


class Dense(Variant):
    """The dense network, with the weights that it was initialised with: its kernels do not look at them."""

    name = "dense"

    def made(self, of: Subject) -> Made:
        return _of_network(of.network(Point(of.bench.initial(), 0)))


class Masked(Variant):
    """The network as it was trained, dense, with 0 where it is pruned: what all others are compared with."""

    name = "masked"

    def made(self, of: Subject) -> Made:
        return _of_network(of.network())


class Csr(Variant):
    """Each linear layer and convolution that is pruned at all as a product with a CSR matrix, see `ltb.measures.kernels`."""

    name = "csr"

    def made(self, of: Subject) -> Made:
        standing = m.standing(of.result.masks, of.result.point.weights)
        return _of_network(sparse(of.network(), standing))


class Harvested(Variant):
    """The network without the units that are dead, read by nothing or made by nothing, see `Harvest`: smaller, and dense.

    Under a structured allocation that is what was removed: ``execution=compact`` for inference.
    """

    name = "harvested"

    def made(self, of: Subject) -> Made:
        module, _, _ = harvested(of.result, of.bench)
        return _of_network(network_of(module).cpu().eval().requires_grad_(False))


class Int8(Variant):
    """Linear layers in int8, weights by row and inputs by example as they come (torchao); others as they are."""

    name = "int8"

    def check(self) -> None:
        extras.check(f"measure: variant {self.name}", "int8", "torchao")

    def made(self, of: Subject) -> Made:
        return _of_network(quantised(of.network()))


class Onnx(Variant):
    """The masked network by onnxruntime, in the precision of its weights."""

    name = "onnx"
    by_torch = False

    def check(self) -> None:
        onnx.check(f"measure: variant {self.name}")

    def made(self, of: Subject) -> Made:
        with tempfile.TemporaryDirectory() as folder:
            return self._session(self._file(of, Path(folder)))

    def _file(self, of: Subject, folder: Path) -> Path:
        onnx.write(of.network(), of.x, path := folder / "network.onnx")
        return path

    def _session(self, path: Path) -> Made:
        session = onnx.session(path, torch.get_num_threads())
        return Made(lambda x: onnx.run(session, x), path.stat().st_size)


class OnnxInt8(Onnx):
    """The masked network by onnxruntime, matrix products in int8 with inputs quantised as they come; its bytes are the file's."""

    name = "onnx_int8"

    def _file(self, of: Subject, folder: Path) -> Path:
        return onnx.quantised(super()._file(of, folder), folder / "int8.onnx")


STANDARD: tuple[Variant, ...] = (Dense(), Masked(), Csr(), Harvested())
INT8: tuple[Variant, ...] = (Int8(),)
ONNX: tuple[Variant, ...] = (Onnx(), OnnxInt8())


def quantised(network: nn.Module) -> nn.Module:
    """Return a network whose linear layers are int8, by torchao's dynamic quantisation; it is changed in place."""
    with onnx.quiet():  # torchao tells of deprecations at its import
        from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

        quantize_(network, Int8DynamicActivationInt8WeightConfig())
    return network


def _of_network(network: nn.Module) -> Made:
    return Made(network, sum(_bytes(tensor) for tensor in (*network.parameters(), *network.buffers())))


def _bytes(tensor: Tensor) -> int:
    """Return the bytes of a tensor, of what a sparse one or a subclass consists of where it is one."""
    if tensor.layout == torch.sparse_csr:
        return sum(map(_bytes, (tensor.crow_indices(), tensor.col_indices(), tensor.values())))
    if hasattr(tensor, "__tensor_flatten__"):
        return sum(_bytes(getattr(tensor, name)) for name in tensor.__tensor_flatten__()[0])
    return tensor.numel() * tensor.element_size()
