"""What the network has before any training, of that by which validation is judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ltb.common.allowed import Text, settle
from ltb.core.contracts import Bench
from ltb.core.measure import Measure
from ltb.core.results import Measurement, Result


@dataclass(frozen=True)
class Untrained(Measure):
    """The loss on the validation split before any training, or, of a module that logs none there, `metric`.

    A dense network that ends no better has learned nothing, and what matches it need not be good: see
    `ltb.analysis.sparsest.no_better_than_untrained`. The same at every level. Values: untrained/loss or untrained/<metric>;
    none where neither is logged.
    """

    metric: Text = "accuracy"
    initial: ClassVar[bool] = True
    ledger: ClassVar[bool] = True

    def __post_init__(self) -> None:
        settle(self, f"measure.{self.name}")

    def __call__(self, of: Sequence[Result], bench: Bench) -> Measurement:
        (result,) = of
        found = bench.evaluate(result.point, {}, ("val",))
        name = "loss" if "val/loss" in found else self.metric
        return Measurement({f"untrained/{name}": found[f"val/{name}"]} if f"val/{name}" in found else {})
