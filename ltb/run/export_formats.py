"""Files that a level can be exported to, each a class: how it is written, and whether what is read back is the same."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ltb import formats
from ltb.core import tensors
from ltb.core.contracts import network_of
from ltb.core.masks import Masks
from ltb.core.tensors import Weights
from ltb.formats import onnx


@dataclass(frozen=True, eq=False)
class Export:
    """What is written: a module in evaluation mode on the CPU, its network's weights and masks, and a test minibatch."""

    module: pl.LightningModule
    weights: Weights
    masks: Masks
    batch: Any


class Form(ABC):
    """A form of file: written, and compared with what was to be written."""

    def check(self) -> None:  # noqa: B027 - most need none
        """Raise ValueError where it needs a package that is not installed."""

    @abstractmethod
    def write(self, out: Path, of: Export) -> None: ...

    @abstractmethod
    def same(self, out: Path, of: Export) -> bool: ...


class StateDict(Form):
    """The network's state dict as safetensors: `load_state_dict` takes what `safetensors.torch.load_file` reads."""

    def write(self, out: Path, of: Export) -> None:
        try:
            save_file(dict(of.weights), out)
        except SafetensorError as error:
            raise ValueError(f"{out}: {error}") from error

    def same(self, out: Path, of: Export) -> bool:
        return _same(load_file(out), of.weights)


class Torch(Form):
    """The network's state dict as `torch.save` has it: `load_state_dict` takes what torch reads."""

    def write(self, out: Path, of: Export) -> None:
        _save(dict(of.weights), out)

    def same(self, out: Path, of: Export) -> bool:
        return _same(torch.load(out, weights_only=True), of.weights)


class Lightning(Form):
    """A checkpoint of Lightning's with the module's state dict: for ``MODULE.load_from_checkpoint`` and ``ckpt_path=``."""

    def write(self, out: Path, of: Export) -> None:
        state = {tensors.plain(name): tensor for name, tensor in of.module.state_dict().items()}
        _save(
            {
                "state_dict": state,
                "pytorch-lightning_version": version("pytorch-lightning"),
                "epoch": 0,
                "global_step": 0,
            },
            out,
        )

    def same(self, out: Path, of: Export) -> bool:
        return _same(torch.load(out, weights_only=True)["state_dict"], tensors.state(of.module))


class Onnx(Form):
    """The network as ONNX, for batches of any size: onnxruntime gives its outputs, within 1e-4 of the largest."""

    def check(self) -> None:
        onnx.check("--format onnx")

    def write(self, out: Path, of: Export) -> None:
        onnx.write(network_of(of.module), self._input(of)[:2], out)

    def same(self, out: Path, of: Export) -> bool:
        x = self._input(of)
        with torch.no_grad():
            expected = network_of(of.module)(x)
        found = onnx.run(onnx.session(out, 1), x)
        return torch.allclose(found, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))

    def _input(self, of: Export) -> Tensor:
        try:
            return onnx.input_of(of.module, of.batch)
        except ValueError as error:
            raise ValueError(f"--format onnx: {error}") from None


@dataclass(frozen=True)
class Sparse(Form):
    """What is prunable in a sparse format of `ltb.formats`, all else whole: `ltb.formats.read` reads it."""

    name: str

    def write(self, out: Path, of: Export) -> None:
        try:
            formats.write(out, of.weights, of.masks, self.name)
        except SafetensorError as error:
            raise ValueError(f"{out}: {error}") from error

    def same(self, out: Path, of: Export) -> bool:
        return _same(formats.read(out), of.weights)


FORMATS: Mapping[str, Form] = {
    "safetensors": StateDict(),
    "torch": Torch(),
    "lightning": Lightning(),
    "onnx": Onnx(),
    **{name: Sparse(name) for name in sorted(formats.SPARSE)},
}

SUFFIXES: Mapping[str, Sequence[str]] = {
    ".safetensors": ("safetensors", *sorted(formats.SPARSE)),
    ".pt": ("torch",),
    ".pth": ("torch",),
    ".ckpt": ("lightning",),
    ".onnx": ("onnx",),
}


def named(out: Path) -> Sequence[str]:
    """Return the formats that a file of such a name may have, the default first; none where the name says nothing."""
    return SUFFIXES.get(out.suffix.lower(), ())


def _save(contents: Mapping[str, Any], out: Path) -> None:
    with out.open("xb") as file:
        torch.save(contents, file)


def _same(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(_equal(one[name], other[name]) for name in one)


def _equal(one: Tensor, other: Tensor) -> bool:
    bits = (tensor.detach().reshape(-1).clone().view(torch.uint8) for tensor in (one, other))
    return one.shape == other.shape and one.dtype == other.dtype and torch.equal(*bits)
