"""Controls break one thing each, on a branch that costs the chain nothing."""

from dataclasses import replace
from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ltb.core import masks as m
from ltb.core.controls import Complement, Reinit, Shuffle, SignReinit
from ltb.core.loop import levels
from ltb.core.recipe import Recipe
from ltb.core.schedules import Geometric
from tests.core.toy import Toy, same, whole_network


@given(
    st.integers(0, 30),
    st.sampled_from([Reinit(), SignReinit(), Shuffle(), Complement()]),
    st.sampled_from(["0it", "4it"]),
)
def test_controls_do_what_they_say_and_nothing_else(seed, control, rewind_step):
    schedule = Geometric(0.3, 3)
    tickets = list(levels(Recipe(schedule=schedule, rewind_step=rewind_step), Toy(seed)))
    broken = list(levels(Recipe(schedule=schedule, rewind_step=rewind_step, control=control), Toy(seed)))
    toy = Toy(seed)
    fresh, start = toy.initial("reinit"), toy.clock.at(rewind_step)
    dense = tickets[0].trained
    reference = toy.fit(whole_network(toy, toy.initial(), start)).point.weights if start else toy.initial()
    assert same(broken[0].trained.point.weights, dense.point.weights)
    for ticket, level in zip(tickets[1:], broken[1:], strict=True):
        mine, theirs = level.trained.masks, ticket.trained.masks
        origin = level.trained.origin
        if isinstance(control, Reinit | SignReinit):
            assert same(mine, theirs)
            assert (origin.step, level.trained.point.step) == (0, 20)
            for name, mask in mine.items():
                assert torch.equal(origin.weights[name].abs()[mask], fresh[name].abs()[mask])
                if isinstance(control, SignReinit):
                    assert torch.equal(origin.weights[name].sign()[mask], reference[name].sign()[mask])
                else:
                    assert torch.equal(origin.weights[name][mask], fresh[name][mask])
            assert torch.equal(origin.weights["bias"], fresh["bias"])
            assert not torch.equal(origin.weights["bias"], reference["bias"])
        else:
            assert origin.step == start
            assert same(origin.weights, m.apply(reference, mine))
        if isinstance(control, Shuffle):
            assert all(int(mine[name].sum()) == int(theirs[name].sum()) for name in mine)
            assert all(
                not torch.equal(mine[name], theirs[name])
                for name in mine
                if 0 < theirs[name].sum() < theirs[name].numel()
            )
        if isinstance(control, Complement):
            assert all(torch.equal(mine[name], ~theirs[name]) for name in mine)


def test_a_control_is_a_branch_and_costs_the_chain_nothing():
    toy = Toy()
    recipe = Recipe(schedule=Geometric(0.3, 3), control=Shuffle())
    list(levels(recipe, toy))
    # The dense network, two levels of the chain (the last one's training is of no use to its control), three controls.
    assert sum(fit.stop > 0 for fit in toy.fits) == 6


@given(st.sampled_from([Reinit, SignReinit, Shuffle]), st.integers(0, 5))
def test_draws_of_a_control_are_of_one_ticket_and_differ_and_the_first_is_the_only_one(control, seed):
    recipe = Recipe(schedule=Geometric(0.3, 1))
    assert (control(draw=0), control(draw=0).drawn) == (control(), 0)
    found = [list(levels(replace(recipe, control=control(draw=draw)), Toy(seed)))[1] for draw in (0, 1, 2)]
    assert [level.stage.draw for level in found] == [0, 1, 2]
    assert len({level.remaining for level in found}) == 1
    for a, b in combinations(found, 2):
        assert not (same(a.trained.masks, b.trained.masks) and same(a.trained.origin.weights, b.trained.origin.weights))
    with pytest.raises(ValueError, match=r"^control\.draw=-1: "):
        control(draw=-1)
