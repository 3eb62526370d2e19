"""A ranking for each layer, to the target or to a rate of its own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from ltb.common.allowed import CountFromZero, Fraction, settle
from ltb.core.allocation.allocation import Shapes, kept_count, sizes
from ltb.core.allocation.by_layer import ByLayer, check_patterns


@dataclass(frozen=True)
class Layerwise(ByLayer):
    """Every layer to its own sparsity by its own ranking (Frankle & Carbin 2019, LeNet and Conv-N).

    Without `rates` each layer gets the target. `rates` maps glob patterns over parameter names to factors: a layer of factor
    f, a number >= 0 or ``half``, loses f · rate of its weights while other layers lose `rate`; LeNet's output at half rate
    is ``rates={"output.weight": "half"}``. At target density d such a layer has density d^(ln(1 − f·rate) / ln(1 − rate)):
    after L geometric levels (1 − f·rate)^L, and the same at equal d for any other schedule. A target is then the sparsity
    of the layers of factor 1; what the network as a whole has is recorded beside it. `min_per_layer` as in `Global`, layer
    by layer.

    >>> round(Layerwise(rate=0.2, rates={"output.weight": "half"}).layer_sparsity("output.weight", 0.36), 4)
    0.19
    """

    rate: Fraction = 0.2
    rates: Mapping[str, Any] | tuple[tuple[str, Any], ...] = ()
    min_per_layer: CountFromZero = 0

    def __post_init__(self) -> None:
        settle(self, "allocation")
        # Pairs, for their order counts: of several patterns that match a layer the first one does.
        pairs = tuple((pattern, self._factor(pattern, value)) for pattern, value in dict(self.rates).items())
        object.__setattr__(self, "rates", pairs)

    def _factor(self, pattern: str, value: object) -> float:
        factor = 0.5 if value == "half" else value
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 <= factor * self.rate < 1:
            raise ValueError(
                f"allocation.rates[{pattern!r}]={value!r} (protocol.layer_rates): half or a number, 0 or more, "
                f"that times the rate ({self.rate}) is below 1"
            )
        return float(factor)

    def kept(self, shapes: Shapes, target: float) -> int:
        return sum(self._counts(shapes, target).values())

    def check(self, shapes: Shapes, targets: Sequence[float]) -> None:
        remedy = "; allocation=global has no rates, protocol.layer_rates={} gives each layer the same"
        check_patterns("allocation.rates (protocol.layer_rates)", dict(self.rates), shapes, remedy)
        largest = max(sizes(shapes).values())
        if targets[-1] > 0 and self.min_per_layer >= largest:
            raise ValueError(
                f"allocation.min_per_layer={self.min_per_layer}: no layer would lose a weight, for the largest has {largest}"
            )

    def layer_sparsity(self, name: str, target: float) -> float:
        """The sparsity of layer `name` at a target; of several patterns that match, the first counts."""
        pairs: tuple[tuple[str, float], ...] = self.rates  # type: ignore[assignment]
        factor = next((factor for pattern, factor in pairs if fnmatchcase(name, pattern)), 1.0)
        if factor == 1:
            return target
        rate = round(factor * self.rate, 12)  # 0.75 of 0.2 is 0.15, as one would write it, and not 0.15000000000000002
        return 1 - (1 - target) ** (math.log1p(-rate) / math.log1p(-self.rate))

    def counts(self, shapes: Shapes, target: float) -> dict[str, int]:
        self.check(shapes, [target])
        return self._counts(shapes, target)

    def _counts(self, shapes: Shapes, target: float) -> dict[str, int]:
        return {
            name: max(kept_count(size, self.layer_sparsity(name, target)), min(self.min_per_layer, size))
            for name, size in sizes(shapes).items()
        }
