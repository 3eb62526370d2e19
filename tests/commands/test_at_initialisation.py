"""The methods that prune before training, as whole commands: from the initialisation, and from step k of the dense run."""

import pytest

from ltb.core import masks as m
from ltb.store.ticket import Ticket
from tests.support.command import TINY, ledger

STEPS = {"snip": 1, "snip_iterative": 100, "force": 100, "grasp": 4, "synflow": 1, "magnitude_at_init": 0}


@pytest.mark.parametrize("method", STEPS)
def test_a_method_prunes_before_training(command, method):
    """Counts are exact, the search costs the scoring alone and, at step k, the steps to it."""
    at_start = command.done(f"method={method}", *TINY)
    at_step = command.done(f"method={method}", *TINY, "rewind_step=3it")
    for folder, begin in ((at_start, 0), (at_step, 3)):
        dense, *pruned = ledger(folder)
        assert [row["remaining"] for row in pruned] == ["640", "512"]
        assert [row["search_steps"] for row in (dense, *pruned)] == ["0", *[str(begin + STEPS[method])] * 2]
        assert {(row["start_step"], row["end_step"]) for row in pruned} == {(str(begin), "8")}
        assert {row["method"] for row in pruned} == {method}


def test_the_scores_of_other_steps_are_other_scores(command):
    masks = []
    for given in ([], ["rewind_step=3it"], ["criterion=inverted", "criterion@criterion.criterion=snip"]):
        folder = command.done("method=snip", *TINY, *given)
        masks.append(Ticket.load(next(folder.glob("tickets/*2*"))).masks)
    assert not m.nested(masks[0], masks[1])
    assert not m.nested(masks[0], masks[2])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["criterion.rounds=0"], "criterion.rounds=0"),
        (["criterion.batches=1.5"], "criterion.batches=1.5"),
        (
            ["criterion=inverted", "criterion.criterion._target_=ltb.core.rewind.Weights"],
            "criterion.criterion._target_",
        ),
    ],
)
def test_a_wrong_setting_is_one_line(command, given, said):
    result = command("method=snip", *TINY, *given)
    assert result.code
    assert said in result.line
