"""Memory of inference: what weights and intermediate results take, in each way to run a trained network."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from ltb.common.allowed import Count, settle
from ltb.core.contracts import Bench
from ltb.core.measure import Measure
from ltb.core.results import Measurement, Number, Result
from ltb.measures.latency import chosen, subject_of
from ltb.measures.variants import Made


@dataclass(frozen=True)
class Memory(Measure):
    """Bytes in memory for inference, of the trained network in each variant, those of `Latency`.

    Values: ``csr``, the bytes of weights and buffers (of onnxruntime's, of the file); ``csr@128``, for each of `batches` examples,
    the most that torch had allocated at once beside them: intermediate results and outputs, not the input. None for
    onnxruntime, which allocates by itself. What kernels take depends on the machine, as in `Latency`.
    """

    batches: tuple[Count, ...] = (1, 128)
    int8: bool = False
    onnx: bool = False
    machine: ClassVar[bool] = True
    version: ClassVar[int] = 3

    def __post_init__(self) -> None:
        settle(self, f"measure.{self.name}")

    def __call__(self, of: Sequence[Result], bench: Bench) -> Measurement:
        (result,) = of
        variants = chosen(self.int8, self.onnx)
        subject = subject_of(result, bench, max(self.batches), self.name)
        values: dict[str, Number | None] = {}
        for variant in variants:
            made = variant.made(subject)
            values[variant.name] = made.weights
            for size in self.batches:
                values[f"{variant.name}@{size}"] = peak(made, subject.x[:size]) if variant.by_torch else None
        return Measurement(values)


@torch.inference_mode()
def peak(made: Made, x: Tensor) -> int:
    """Return the most bytes that torch had allocated at once in a call, beside what was there before."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else torch prints that it finds no GPU
    made.run(x)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        output = made.run(x)
    del output
    results: Any = profiler.profiler
    steps = sorted(
        (event.start_ns(), event.nbytes()) for event in results.kineto_results.events() if event.name() == "[memory]"
    )
    most = now = 0
    for _, step in steps:
        now += step
        most = max(most, now)
    return most
