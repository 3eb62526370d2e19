"""The methods that prune before training, as whole commands: from the initialisation, and from step k of the dense run."""

import pytest
import torch

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


@pytest.mark.slow
def test_the_scores_of_other_steps_are_other_scores(command):
    masks = []
    for given in ([], ["rewind_step=3it"], ["criterion=inverted", "criterion@criterion.criterion=snip"]):
        folder = command.done("method=snip", *TINY, *given)
        masks.append(Ticket.load(next(folder.glob("tickets/*2*"))).masks)
    assert not m.nested(masks[0], masks[1])
    assert not m.nested(masks[0], masks[2])


@pytest.mark.parametrize(
    ("given", "cost"),
    [
        (["method=snip", "criterion.examples_per_class=3"], "2"),  # 30 examples are one and a half minibatches
        (["method=force", "criterion.examples_per_class=4", "criterion.rounds=5"], "10"),
        (["method=grasp", "criterion.examples_per_class=1"], "2"),
        (["method=snip", "criterion=fisher", "criterion.examples_per_class=4"], "2"),
        (["criterion=inverted", "criterion@criterion.criterion=snip", "criterion.criterion.examples_per_class=2"], "9"),
    ],
)
def test_so_many_examples_of_each_class_cost_their_part_of_minibatches(command, given, cost):
    """Of 10 classes, in minibatches of 20; a minibatch is a step, and IMP trains 8 steps before it scores."""
    more = ["data.size=240", "data.val_size=40", "protocol.batch_size=20", "schedule.levels=1"]
    assert ledger(command.done(*TINY, *more, *given))[1]["search_steps"] == cost


ABLATIONS = {
    "shuffle": ["control=shuffle"],
    "reinit": ["control=reinit"],
    "sign_reinit": ["control=sign_reinit"],
    "inverted": ["criterion=inverted"],
}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["snip", "grasp", "synflow"])
def test_the_ablations_of_pruning_at_initialisation_run(command, method):
    """Frankle et al. 2021: shuffled within layers, on a new draw, and inverted; with the signs of the first draw beside them."""
    tickets = {}
    for name, given in {"none": [], **ABLATIONS}.items():
        inner = [f"criterion@criterion.criterion={method}"] if name == "inverted" else []
        folder = command.done(f"method={method}", *TINY, "schedule.levels=1", *given, *inner)
        assert ledger(folder)[1]["control"] == ("none" if name == "inverted" else name)
        tickets[name] = Ticket.load(max(folder.glob("tickets/*")))
    ticket = tickets["none"]
    kept = {name: int(mask.sum()) for name, mask in ticket.masks.items()}
    for given, other in tickets.items():
        same = all(torch.equal(other.masks[name], mask) for name, mask in ticket.masks.items())
        assert same is (given in ("none", "reinit", "sign_reinit"))
        assert m.remaining(other.masks) == m.remaining(ticket.masks)
        if given == "shuffle":
            assert {name: int(mask.sum()) for name, mask in other.masks.items()} == kept
    drawn, signed = (tickets[name].origin.weights for name in ("reinit", "sign_reinit"))
    for name, mask in ticket.masks.items():
        weights = ticket.origin.weights[name]
        assert not (drawn[name] == weights)[mask].any()
        assert torch.equal(signed[name], torch.copysign(drawn[name].abs(), weights) * mask)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            ["criterion.examples_per_class=2", "criterion.batches=2"],
            "criterion.batches=2: no effect with criterion.examples_per_class=2",
        ),
        (["criterion.examples_per_class=0"], "criterion.examples_per_class=0"),
        (["criterion.examples_per_class=50"], "criterion=Snip: examples_per_class=50: of class"),
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
