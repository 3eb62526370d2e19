"""Units by hand: a two-layer network of three units, and what goes with each."""

import torch

from ltb.core.units import Group, gathered, groups_of, held, without

INDEX = torch.arange(3)
FIRST = Group(
    "a",
    {"a": INDEX.reshape(3, 1), "bias": INDEX, "scale": torch.tensor([-1, 0, 1, 2])},
    {"b": torch.tensor([[0, 0, 1, 1, 2, 2]])},
)


def masks(columns):
    return {"a": torch.ones(3, 4, dtype=torch.bool), "b": torch.tensor(columns, dtype=torch.bool).expand(2, 6).clone()}


def test_sums_are_over_all_entries_of_a_unit():
    values = {"a": torch.arange(12.0).reshape(3, 4), "scale": torch.tensor([100.0, 1, 2, 3]), "b": torch.ones(2, 6)}
    assert FIRST.sums(values, FIRST.made.items()).tolist() == [
        0 + 1 + 2 + 3 + 1,
        4 + 5 + 6 + 7 + 2,
        8 + 9 + 10 + 11 + 3,
    ]
    assert FIRST.sums(values, FIRST.read.items()).tolist() == [4, 4, 4]
    assert FIRST.count == 3
    assert FIRST.weights == {"a", "b"}


def test_groups_come_out_of_what_a_probe_gathers_as_they_went_in():
    (group,) = groups_of(gathered([FIRST]))
    assert (group.name, group.made, group.read) == (FIRST.name, FIRST.made, FIRST.read)


def test_a_unit_is_removed_where_nothing_reads_it():
    left = dict(without([FIRST], masks([1, 0, 0, 0, 0, 1])))
    assert left["a"].tolist() == [[True], [False], [True]]
    assert left["bias"].tolist() == [True, False, True]
    assert left["scale"].tolist() == [True, True, False, True]
    assert left["b"].tolist() == [[True, True, False, False, True, True]]


def test_one_unit_is_left_where_nothing_reads_any():
    left = dict(without([FIRST], masks([0] * 6)))
    assert left["bias"].tolist() == [True, False, False]


def test_a_group_with_a_weight_that_is_not_prunable_stays_whole():
    of = masks([0] * 6)
    assert not dict(without([FIRST], {"b": of["b"]}))
    assert held([FIRST], {"b": of["b"]}).keys() == {"b"}


def test_what_lives_and_dies_with_a_unit_is_held_beside_the_masks():
    of = masks([1, 0, 0, 0, 0, 1])
    found = held([FIRST], of)
    assert found.keys() == {"a", "b", "bias", "scale"}
    assert all(found[name] is of[name] for name in of)
    assert found["bias"].tolist() == [True, False, True]


def test_what_only_removed_units_read_is_removed_too():
    second = Group("b", {"b": torch.tensor([[0], [1]])}, {"c": torch.tensor([[0, 1]])})
    of = {**masks([1] * 6), "c": torch.tensor([[True, False]])}
    of["b"][0, 2:4] = False  # the middle unit is read by the second row alone, which nothing reads
    left = dict(without([FIRST, second], of))
    assert left["bias"].tolist() == [True, False, True]
