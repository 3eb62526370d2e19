"""Networks as ONNX, and run by onnxruntime. Both packages, and onnxscript, are those of the extra ``onnx``."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ltb.common import extras
from ltb.core.contracts import network_of


def check(wanted_by: str) -> None:
    """Raise ValueError that names `wanted_by` where a package is not installed."""
    extras.check(wanted_by, "onnx", "onnx", "onnxscript", "onnxruntime")


def write(network: nn.Module, x: Tensor, path: Path) -> None:
    """Write a network that takes one tensor (batch, …) and returns one, for batches of any size; `x` is an example of 2 or more."""
    named: dict[str, Any] = {"input_names": ["x"], "output_names": ["y"]}
    shapes = ({0: torch.export.Dim("batch")},)
    with quiet():
        program: Any = torch.onnx.export(
            network.eval(), (x,), dynamo=True, verbose=False, dynamic_shapes=shapes, **named
        )
        program.save(path, external_data=False)


def input_of(module: Any, batch: Any) -> Tensor:
    """Return what a module's network is given of the examples x of a batch (x, y), when the module is called with them.

    Raises ValueError where that is not one tensor, or the batch is another.
    """
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise ValueError(f"batches must be (x, y), and this is a {type(batch).__name__}")
    network, seen = network_of(module), []
    if network is module:
        return batch[0]  # type: ignore[no-any-return]
    handle = network.register_forward_pre_hook(lambda _, given: seen.append(given))
    try:
        with torch.no_grad():
            module(batch[0])
    finally:
        handle.remove()
    if len(seen) != 1 or len(seen[0]) != 1 or not isinstance(seen[0][0], Tensor):
        raise ValueError("the network must be called once for a batch, with one tensor")
    return seen[0][0]


def session(path: Path, threads: int) -> Any:
    """Return onnxruntime's session of a file, on the CPU with so many threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])


def run(session: Any, x: Tensor) -> Tensor:
    """Return what a session computes of a minibatch."""
    return torch.from_numpy(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0])


def quantised(path: Path, out: Path) -> Path:
    """Write a file's network with matrix products in int8, inputs quantised as they come; `out`."""
    with quiet():
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(path, out, weight_type=QuantType.QInt8)
    return out


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what a package prints, logs and warns of itself."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
