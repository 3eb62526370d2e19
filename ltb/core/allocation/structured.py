"""Structured sparsity: whole channels and neurons are kept or pruned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from ltb.common.allowed import settle
from ltb.core.allocation.allocation import NO_EVIDENCE, Allocation, Shapes
from ltb.core.allocation.overall import Global
from ltb.core.criteria import Evidence, Scores
from ltb.core.execution import Execution
from ltb.core.masked_units import MaskedUnits
from ltb.core.masks import Masks
from ltb.core.units import Group, Structure, groups_of, whole


@dataclass(frozen=True)
class Structured(Allocation):
    """Units, ranked by what their weights' scores come to, and pruned whole (Li et al. 2017; coupled units: Fang et al. 2023).

    `inner` ranks units as it ranks weights, a group of coupled units in the place of a layer: exact counts are of units. A pruned
    unit loses the weights that make it and those that read it, and its biases and norm parameters are held at 0. Groups with a
    weight that is not prunable are left whole: `prunable.exclude` keeps the shape of a layer.

    structure: says which weights make up a unit.
    inner:     any allocation that looks at scores alone; patterns over names match a group's name, a weight that makes its units.
    reduce:    ``sum``, ``mean`` or ``l2``, the root of the sum of squares, of the scores of the weights that a unit still has.
    over:      ``made``, the weights that make a unit (a filter's norm), or ``all``, those that read it too.
    """

    counted = "units"
    patterned = True

    structure: Structure
    inner: Allocation = field(default_factory=lambda: Global(min_per_layer=1))
    reduce: Literal["sum", "mean", "l2"] = "mean"
    over: Literal["made", "all"] = "made"

    def __post_init__(self) -> None:
        settle(self, "allocation")
        if self.inner.probe is not None:
            raise ValueError(
                f"allocation.inner={type(self.inner).__name__}: it looks at more than scores, and units have no more"
            )

    @property
    def probe(self) -> Any:  # type: ignore[override]
        return self.structure

    @property
    def unsigned(self) -> bool:  # type: ignore[override]
        return self.inner.unsigned and self.reduce != "l2"

    @property
    def execution(self) -> Execution:  # type: ignore[override]
        return MaskedUnits(self.structure)

    def parts(self, shapes: Shapes, evidence: Callable[[], Evidence]) -> Shapes:
        return {group.name: (group.count,) for group in prunable_groups(evidence(), shapes)}

    def kept(self, shapes: Shapes, target: float) -> int:
        return self.inner.kept(shapes, target)

    def check(self, shapes: Shapes, targets: Sequence[float]) -> None:
        try:
            self.inner.check(shapes, targets)
        except ValueError as error:
            # It names keys of its own, which are a section deeper here, and takes units for weights.
            told = str(error).replace("weight", "unit").removeprefix("allocation")
            raise ValueError(f"allocation.inner{told}") from None

    def __call__(
        self, scores: Scores, masks: Masks, target: float, evidence: Evidence = NO_EVIDENCE
    ) -> dict[str, Tensor]:
        groups = prunable_groups(evidence, masks)
        sizes = {name: mask.double() for name, mask in masks.items()}
        alive = {group.name: group.sums(sizes, group.sides()) > 0 for group in groups}
        kept = self.inner({group.name: self._scores(group, scores, masks) for group in groups}, alive, target, evidence)
        found = dict(masks)
        for group in groups:
            for name, entries in group.entries(kept[group.name], group.sides()):
                if name in found:
                    found[name] = found[name] & entries
        return found

    def _scores(self, group: Group, scores: Scores, masks: Masks) -> Tensor:
        """One score for each unit, (units,), float64."""
        sides = [*(group.made.items() if self.over == "made" else group.sides())]
        of = {name: scores[name].double().where(masks[name], 0.0) for name, _ in sides if name in masks}
        if self.reduce == "l2":
            return group.sums({name: values.square() for name, values in of.items()}, sides).sqrt()
        total = group.sums(of, sides)
        return total if self.reduce == "sum" else total / group.sums(masks, sides).clamp(min=1)


def prunable_groups(evidence: Evidence, prunable: Mapping[str, Any]) -> list[Group]:
    """Return the groups all of whose weights are prunable. Raises ValueError where there is none."""
    every = groups_of(evidence.gathered)
    found = whole(every, prunable)
    if not found:
        missing = sorted(set().union(*(group.weights for group in every)) - set(prunable))
        more = f"; not prunable are {', '.join(missing)}" if missing else ""
        raise ValueError(f"allocation=Structured: this network has no units that can be pruned{more}")
    return found
