"""``rewind=fine_tune rewind.length=0it``: pruned and not retrained, as the first curves of Han et al.'s figure 5."""

import pytest
import torch

import ltb
from ltb.store.ticket import load_point
from tests.support.command import TINY, ledger


@pytest.mark.parametrize("prune_from", ["previous", "dense"])
def test_a_level_is_the_dense_network_as_it_was_pruned(command, prune_from):
    given = ["rewind=fine_tune", "rewind.length=0it", f"prune_from={prune_from}", "measure=generalisation_gap"]
    folder = command.done(*TINY, *given)
    rows = ledger(folder)
    assert [(row["start_step"], row["end_step"]) for row in rows] == [("0", "8"), ("8", "8"), ("8", "8")]
    assert len({row["test/loss"] for row in rows}) == 3
    assert all(row["val/accuracy"] and row["test/accuracy"] for row in rows)
    dense, *levels = (load_point(folder / "trained" / f"level-0{i}.safetensors").weights for i in range(3))
    for i, weights in enumerate(levels, 1):
        masks = ltb.Ticket.load(folder / "tickets" / f"level-0{i}.safetensors").masks
        for name, weight in dense.items():
            assert torch.equal(weights[name], weight * masks[name] if name in masks else weight)
