"""The FLOPs of one training step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ltb.core.contracts import Bench
from ltb.core.measure import Measure
from ltb.core.results import Measurement, Result


@dataclass(frozen=True)
class StepFlops(Measure):
    """The FLOPs of one training step of the dense network, forward and backward; a multiply-add counts as two.

    It is the same at every level: masks save none of them. Values: step_flops.
    """

    version: ClassVar[int] = 2
    initial: ClassVar[bool] = True
    ledger: ClassVar[bool] = True

    def __call__(self, of: Sequence[Result], bench: Bench) -> Measurement:
        return Measurement({"step_flops": bench.step_flops()})
