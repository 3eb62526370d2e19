"""Accuracy of a trained network as it would be deployed: the arithmetic of each variant, inputs in 8 bits included."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor

from ltb.common.allowed import settle
from ltb.core.contracts import Bench
from ltb.core.measure import Measure
from ltb.core.results import Measurement, Number, Result
from ltb.measures.latency import chosen, subject_of

SIZE = 128  # examples a minibatch: a variant may be made for one size alone


@dataclass(frozen=True)
class Deployed(Measure):
    """The share of test examples whose largest output is at their label, for each variant of `Latency`, on the CPU.

    masked is what the ledger's test accuracy is of a classification; csr and harvested compute the same up to rounding. With
    `int8` (extra ``int8``) torchao's dynamic quantisation of linear layers, their inputs in 8 bits as they come; with `onnx` (extra
    ``onnx``) onnxruntime in float32 and in int8. It is for networks with outputs (batch, classes) on batches (x, y).

    Values: ``masked``, ``csr``, … : a fraction; and ``int8/changed``, … : the fraction of examples that are classified otherwise
    than by the masked network.
    """

    int8: bool = True
    onnx: bool = False
    machine: ClassVar[bool] = True
    version: ClassVar[int] = 3

    def __post_init__(self) -> None:
        settle(self, f"measure.{self.name}")

    def __call__(self, of: Sequence[Result], bench: Bench) -> Measurement:
        (result,) = of
        subject = subject_of(result, bench, SIZE, self.name)
        predictions: dict[str, Tensor] = {}
        batches = list(minibatches(bench))
        labels = torch.cat([y for _, y in batches])
        with torch.inference_mode():
            for variant in chosen(self.int8, self.onnx):
                made = variant.made(subject)
                found = [made.run(padded(x)).argmax(1)[: len(x)] for x, _ in batches]
                predictions[variant.name] = torch.cat(found)
        values: dict[str, Number | None] = {}
        for name, classes in predictions.items():
            values[name] = float((classes == labels).double().mean())
            if name not in ("masked", "dense"):
                values[f"{name}/changed"] = float((classes != predictions["masked"]).double().mean())
        del values["dense"]  # of the initialisation
        return Measurement(values)


def minibatches(bench: Bench) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the test examples in minibatches of `SIZE`, the last maybe smaller."""
    x, y = (torch.cat(parts).cpu() for parts in zip(*((b[0], b[1]) for b in bench.batches("test")), strict=True))
    for start, stop in pairwise([*range(0, len(x), SIZE), len(x)]):
        yield x[start:stop], y[start:stop]


def padded(x: Tensor) -> Tensor:
    """Return a minibatch of `SIZE` examples, the last over again where there are fewer."""
    return torch.cat([x, x[-1:].expand(SIZE - len(x), *x.shape[1:])]) if len(x) < SIZE else x
