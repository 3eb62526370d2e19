"""Sparsities that the user gives, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Any

from ltb.common.allowed import Limits, read, settle
from ltb.core.allocation.allocation import Shapes, kept_count, sizes
from ltb.core.allocation.by_layer import ByLayer, apportion, check_patterns

Sparsity = Annotated[float, Limits("0 or more and below 1", least=0, below=1)]


@dataclass(frozen=True)
class PerLayer(ByLayer):
    """Layers whose sparsities are given, as they are, at every level; the others, alike, make up the target, so the total is exact.

    `sparsities` maps glob patterns over parameter names to sparsities; of several patterns that match, the first counts. Where
    all layers are given the target must be what they come to. Refuses targets that the others cannot make up.
    """

    sparsities: Mapping[str, Any] | tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        settle(self, "allocation")
        pairs = tuple(
            (pattern, read(Sparsity, value, f"allocation.sparsities[{pattern!r}]"))
            for pattern, value in dict(self.sparsities).items()
        )
        object.__setattr__(self, "sparsities", pairs)

    def counts(self, shapes: Shapes, target: float) -> dict[str, int]:
        given: tuple[tuple[str, float], ...] = tuple(dict(self.sparsities).items())
        check_patterns("allocation.sparsities", dict(given), shapes)
        least, most, kept = [], [], self.kept(shapes, target)
        for name, size in sizes(shapes).items():
            of_name = [kept_count(size, sparsity) for pattern, sparsity in given if fnmatchcase(name, pattern)]
            least.append(of_name[0] if of_name else 0)
            most.append(of_name[0] if of_name else size)
        if not sum(least) <= kept <= sum(most):
            total = sum(sizes(shapes).values())
            lowest, highest = 1 - sum(most) / total, 1 - sum(least) / total
            allowed = f"between {lowest:.10g} and {highest:.10g}" if lowest < highest else f"{lowest:.10g}"
            raise ValueError(
                f"allocation.sparsities: a sparsity of {target:.6g} keeps {kept} of {total} weights, and with these "
                f"sparsities the schedule's can be {allowed}"
            )
        return dict(zip(shapes, apportion(kept, [*sizes(shapes).values()], least, most), strict=True))
