"""``objective=`` and ``dense_objective=`` from the command to the ledger."""

import pytest

from tests.support.command import TINY, ledger

SHORT = [one for one in TINY if not one.startswith("schedule.")] + ["schedule.levels=1"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["l1", "l2"])
def test_an_objective_is_of_the_fits_that_have_it(command, name):
    none, sparse, dense = (
        ledger(command.done(*SHORT, *given))
        for given in (
            [],
            [f"objective={name}", "objective.strength=0.01"],
            [f"dense_objective={name}", "dense_objective.strength=0.01"],
        )
    )
    assert sparse[0]["stage"] == none[0]["stage"]
    assert sparse[1]["train/loss"] != none[1]["train/loss"]
    assert sparse[1]["stage"] != none[1]["stage"]
    assert len({rows[0]["stage"] for rows in (none, sparse, dense)}) == 2
    assert dense[0]["train/loss"] != none[0]["train/loss"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["objective=l1", "objective.strength=-1"], "objective.strength=-1: a number, above 0"),
        (["dense_objective=l2", "dense_objective.over=biases"], "dense_objective.over='biases': "),
        (["objective=l1", "schedule.levels=0"], "objective=L1: the schedule has the dense level alone"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(command, given, said):
    result = command(*SHORT, *given)
    assert result.code
    assert said in result.line
