"""Structured allocation on groups made by hand: exact counts of units, whole and nested; and what each setting ranks by."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ltb.common.step import Clock
from ltb.core import masks as m
from ltb.core.allocation import NM, Balanced, Global, Layerwise, Structured, Uniform
from ltb.core.criteria import Evidence
from ltb.core.recipe import Recipe
from ltb.core.schedules import Explicit
from ltb.core.units import Group, Structure, gathered
from ltb.structure import DependencyGraph


@dataclass(frozen=True)
class Chain(Structure):
    """Linear layers one behind another: `widths` are features from the input on; each reads the one before."""

    widths: tuple[int, ...] = (4, 6, 5, 3)

    def __call__(self, module=None, batches=None):
        units = [torch.arange(width) for width in self.widths]
        return gathered(
            Group(f"w{i}", {f"w{i}": units[i][:, None], f"b{i}": units[i]}, {f"w{i + 1}": units[i][None]})
            for i in range(1, len(self.widths) - 1)
        )

    def shapes(self):
        return {f"w{i}": (self.widths[i], self.widths[i - 1]) for i in range(1, len(self.widths))}


def drawn(shapes, seed):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randint(0, 4, shape, generator=generator).float() for name, shape in shapes.items()}


def ones(shapes):
    return {name: torch.ones(shape, dtype=torch.bool) for name, shape in shapes.items()}


def units(structure, masks):
    """For each layer but the last which of its units stay, by a loop; each is whole: read and made, or neither."""
    found = []
    for i in range(1, len(structure.widths) - 1):
        made, read = masks[f"w{i}"], masks[f"w{i + 1}"]
        stays = [bool(made[unit].any()) for unit in range(structure.widths[i])]
        assert stays == [bool(read[:, unit].any()) for unit in range(structure.widths[i])]
        found.append(stays)
    for i in range(1, len(structure.widths)):
        rows = found[i - 1] if i - 1 < len(found) else [True] * structure.widths[-1]
        columns = found[i - 2] if i > 1 else [True] * structure.widths[0]
        assert masks[f"w{i}"].tolist() == [[row and column for column in columns] for row in rows]
    return found


widths = st.lists(st.integers(2, 7), min_size=3, max_size=5).map(tuple)
chains = st.lists(st.floats(0.01, 0.95), min_size=1, max_size=4).map(sorted)


@pytest.mark.parametrize(
    "inner", [Global(min_per_layer=1), Layerwise(min_per_layer=1), Uniform(min_per_layer=1)], ids=repr
)
@pytest.mark.parametrize("over", ["made", "all"])
@given(widths, chains, st.integers(0, 9), st.sampled_from(["sum", "mean", "l2"]))
def test_units_are_counted_exactly_pruned_whole_and_nested(inner, over, of, chain, seed, reduce):
    structure = Chain(of)
    allocation, shapes = Structured(structure, inner, reduce, over), structure.shapes()
    evidence = Evidence(0, {}, structure())
    parts = allocation.parts(shapes, lambda: evidence)
    assert parts == {f"w{i}": (of[i],) for i in range(1, len(of) - 1)}
    masks, total = ones(shapes), sum(of[1:-1])
    for level, target in enumerate(chain):
        least = sum(min(1, width) for width in of[1:-1])
        if not isinstance(inner, Layerwise) and total - round(total * target) < least:
            with pytest.raises(ValueError, match=r"allocation\.min_per_layer"):
                allocation(drawn(shapes, seed), masks, target, evidence)
            break
        following = allocation(drawn(shapes, seed + level), masks, target, evidence)
        assert m.nested(following, masks)
        kept = [sum(stays) for stays in units(structure, following)]
        if isinstance(inner, Layerwise):
            assert kept == [max(width - round(width * target), 1) for width in of[1:-1]]
        else:
            assert sum(kept) == total - round(total * target) == allocation.kept(parts, target)
        masks = following


@pytest.mark.parametrize(
    ("reduce", "over", "expected"),
    [
        ("sum", "made", [5.0, 6.0, 3.0]),
        ("mean", "made", [2.5, 3.0, 1.5]),
        ("l2", "made", [13**0.5, 18**0.5, 5**0.5]),
        ("sum", "all", [5.0 + 1, 6.0 + 0, 3.0 + 9]),
        ("mean", "all", [6 / 3, 6 / 3, 12 / 3]),
        ("l2", "all", [14**0.5, 18**0.5, 86**0.5]),
    ],
)
def test_what_a_unit_is_ranked_by(reduce, over, expected):
    structure = Chain((2, 3, 1))
    scores = {"w1": torch.tensor([[2.0, 3.0], [3.0, 3.0], [1.0, 2.0]]), "w2": torch.tensor([[1.0, 0.0, 9.0]])}
    allocation, evidence = Structured(structure, Global(), reduce, over), Evidence(0, {}, structure())
    ranked = sorted(range(3), key=lambda unit: (expected[unit], -unit))
    for pruned in range(4):
        masks = allocation(scores, ones(structure.shapes()), pruned / 3, evidence)
        assert [unit for unit in range(3) if not masks["w1"][unit].any()] == sorted(ranked[:pruned])


def test_a_mean_is_over_what_is_left_of_a_unit():
    structure = Chain((2, 3, 1))
    masks = {"w1": torch.tensor([[True, False], [True, True], [True, True]]), "w2": torch.ones(1, 3, dtype=torch.bool)}
    scores = {"w1": torch.tensor([[3.0, 99.0], [2.0, 2.0], [2.0, 1.0]]), "w2": torch.zeros(1, 3)}
    found = Structured(structure, Global())(scores, masks, 2 / 3, Evidence(0, {}, structure()))
    assert found["w1"].tolist() == [[True, False], [False, False], [False, False]]


def test_groups_with_a_weight_that_is_not_prunable_stay_whole():
    structure, allocation = Chain(), Structured(Chain(), Global())
    shapes = {name: shape for name, shape in structure.shapes().items() if name != "w3"}
    evidence = Evidence(0, {}, structure())
    assert allocation.parts(shapes, lambda: evidence) == {"w1": (6,)}
    masks = allocation(drawn(shapes, 0), ones(shapes), 0.5, evidence)
    assert int(masks["w1"].any(1).sum()) == 3
    assert masks["w2"].any(1).all()


def test_a_network_without_units_is_refused_and_so_is_what_looks_at_weights_shapes():
    with pytest.raises(ValueError, match="allocation=Structured: this network has no units that can be pruned"):
        Structured(Chain()).parts({"w": (3, 3)}, Evidence)
    with pytest.raises(ValueError, match="no units that can be pruned; not prunable are w2, w3"):
        Structured(Chain()).parts({"w1": (6, 4)}, lambda: Evidence(0, {}, Chain()()))
    with pytest.raises(ValueError, match=r"allocation\.inner=Structured"):
        Structured(Chain(), Structured(Chain()))
    with pytest.raises(ValueError, match=r"allocation\.reduce='max'"):
        Structured(Chain(), reduce="max")
    with pytest.raises(ValueError, match=r"allocation\.inner\.m=4: w1 has no inputs"):
        Structured(Chain(), NM()).check({"w1": (6,)}, (0, 0.5))


def test_a_schedule_is_checked_in_units():
    parts = {"w1": (6,), "w2": (5,)}
    Recipe(Explicit((0.3, 0.5)), allocation=Structured(Chain(), Balanced())).check_network(parts, Clock(5, 20))
    with pytest.raises(ValueError, match="of 11 units levels 1 and 2 both keep 8"):
        Recipe(Explicit((0.3, 0.31)), allocation=Structured(Chain())).check_network(parts, Clock(5, 20))


def test_what_the_inner_allocation_refuses_is_told_by_the_key_that_can_be_typed():
    allocation = Structured(DependencyGraph(), Global(min_per_layer=3))
    with pytest.raises(ValueError, match=r"^allocation\.inner\.min_per_layer=3: 2 layers would keep 6 units, "):
        allocation.check({"a": (4,), "b": (8,)}, (0.0, 0.6))
