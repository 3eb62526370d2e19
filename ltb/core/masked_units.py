"""Executions that know a network's units: what lives and dies with a unit that nothing reads is held at 0 with it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor, nn

from ltb.core import masks as m
from ltb.core.contracts import network_of
from ltb.core.execution import Body, Execution, Masked, MaskedBody
from ltb.core.masks import Masks
from ltb.core.tensors import Weights
from ltb.core.units import Group, Structure, groups_of, held

if TYPE_CHECKING:
    from ltb.core.contracts import Bench
    from ltb.core.dynamics import Aim


@dataclass(frozen=True)
class MaskedUnits(Masked):
    """The dense network under masks, and at 0 the biases, norm parameters and statistics of units that nothing reads."""

    structure: Structure

    def prepared(self, bench: Bench) -> Execution:
        return OfGroups(found(self.structure, bench))


@dataclass(frozen=True, eq=False)
class OfGroups(Masked):
    """The dense network under masks, with the groups of its units."""

    groups: tuple[Group, ...]

    def masked(self, weights: Weights, masks: Masks, aim: Aim | None = None) -> dict[str, Tensor]:
        return m.apply(weights, held(self.groups, masks))

    def enter(self, module: nn.Module, masks: Masks) -> Body:
        return MaskedBody(network_of(module), masks, partial(held, self.groups))


def found(structure: Structure, bench: Bench) -> tuple[Group, ...]:
    """Return the groups of a bench's network."""
    return groups_of(bench.probe(structure, bench.initial(), {}))
