"""Latency of inference: a trained network run in several ways, beside each other."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from ltb.common.allowed import Count, Limits, settle
from ltb.common.machine import processor
from ltb.core.contracts import Bench
from ltb.core.measure import Measure
from ltb.core.results import Measurement, Number, Result
from ltb.formats import onnx
from ltb.measures.timing import Clock, alternating
from ltb.measures.variants import INT8, ONNX, STANDARD, Masked, Subject, Variant


@dataclass(frozen=True)
class Latency(Measure):
    """Milliseconds of inference a minibatch, of the trained network in each variant (`ltb.measures.variants`), on the CPU.

    dense, masked, csr and harvested; with `int8` (extra ``int8``) torchao's dynamic quantisation; with `onnx` (extra ``onnx``)
    onnxruntime in float32 and int8. Variants are warmed up, and take turns in `rounds` rounds within one process, with the
    threads that torch has (``threads=``); their input is in memory, their outputs are left there. Kept apart in the store for each
    machine and number of threads. With `cpu_time` it is the time that the one thread computed, for machines that others use, too.
    Energy is not measured.

    Values, for each of `batches` examples, as in ``csr@128``: the median over the rounds, and its 95 % interval, ``csr@128/low``
    and ``csr@128/high``; ``csr/difference``, the largest difference of an output from the masked network's, relative to the
    largest output; and ``threads/NAME``, how many, with the processor's name.
    """

    batches: tuple[Count, ...] = (1, 128)
    rounds: Annotated[int, Limits("10 to 10000", least=10, below=10_001)] = 40
    int8: bool = False
    onnx: bool = False
    cpu_time: bool = False
    machine: ClassVar[bool] = True
    version: ClassVar[int] = 3

    def __post_init__(self) -> None:
        settle(self, f"measure.{self.name}")

    def __call__(self, of: Sequence[Result], bench: Bench) -> Measurement:
        (result,) = of
        variants, clock = chosen(self.int8, self.onnx), self._clock()
        subject = subject_of(result, bench, max(self.batches), self.name)
        values: dict[str, Number | None] = {}
        made = {variant.name: variant.made(subject) for variant in variants}
        with torch.inference_mode():
            outputs = {name: one.run(subject.x) for name, one in made.items()}
            largest = float(outputs[Masked.name].abs().max())
            for name, output in outputs.items():
                difference = float((output - outputs[Masked.name]).abs().max())
                values[f"{name}/difference"] = difference / largest if largest else difference
            for size in self.batches:
                x = subject.x[:size]
                times = alternating([partial(one.run, x) for one in made.values()], self.rounds, clock=clock)
                for name, each in zip(made, times, strict=True):
                    values[f"{name}@{size}"] = 1e3 * each.median
                    values |= {f"{name}@{size}/low": 1e3 * each.low, f"{name}@{size}/high": 1e3 * each.high}
        values[f"threads/{processor()}"] = torch.get_num_threads()
        return Measurement(values)

    def _clock(self) -> Clock:
        if self.cpu_time and torch.get_num_threads() > 1:
            raise ValueError("measure.latency.cpu_time=true: it is that of one thread: threads=1")
        return time.thread_time if self.cpu_time else time.perf_counter


def chosen(int8: bool, onnxruntime: bool) -> tuple[Variant, ...]:
    """Return the variants that are asked for. Raises ValueError that names a package that is not installed."""
    variants = (*STANDARD, *(INT8 if int8 else ()), *(ONNX if onnxruntime else ()))
    for variant in variants:
        variant.check()
    return variants


def subject_of(result: Result, bench: Bench, size: int, measure: str) -> Subject:
    """Return a finished network beside `size` test examples, 2 at least, over again where there are fewer.

    Raises ValueError that names `measure` for a network on another device than the CPU, and one that takes no single tensor.
    """
    module = bench.module(result.point, {})
    batch = next(iter(bench.batches("test")))
    try:
        x: Tensor = onnx.input_of(module, batch)
    except ValueError as error:
        raise ValueError(f"measure={measure}: {error}") from None
    if x.device.type != "cpu":
        raise ValueError(f"measure={measure}: it is of the CPU, and this run computes on {x.device}: trainer=cpu")
    size = max(2, size)
    return Subject(result, bench, x.repeat(-(-size // len(x)), *[1] * (x.ndim - 1))[:size].contiguous())
