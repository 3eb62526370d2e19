"""Pruning during training, as whole commands: extended trainings, and what is refused before anything is trained."""

import pytest

from tests.support.command import TINY, folders, ledger

STARTS = ("schedule=explicit", "schedule.sparsities=[0.5,0.8]")
TINY = tuple(one for one in TINY if not one.startswith("schedule."))


@pytest.mark.slow
def test_rigl_5x_trains_five_times_as_long_and_its_cost_says_so(command):
    folder = command.done("method=rigl_5x", *TINY, *STARTS, "dynamics.every=2it")
    rows = ledger(folder)
    assert [(row["start_step"], row["end_step"]) for row in rows] == [("0", "8"), ("0", "40"), ("0", "40")]
    assert [row["search_steps"] for row in rows] == ["0", "15", "15"]  # gradients at 2, 4 … 30 of 40
    static = ledger(command.done("method=static_sparse_5x", *TINY, *STARTS))
    assert [(row["end_step"], row["search_steps"], row["remaining"]) for row in static] == [
        (row["end_step"], "0", row["remaining"]) for row in rows
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ("method=movement", "allocation=lamp"),
            "dynamics=Movement: its scores may be below 0, and allocation=LAMP ranks",
        ),
        (("method=soft_movement", "allocation=lamp"), "dynamics=SoftMovement: its scores may be below 0"),
        (
            ("method=one_shot", "criterion=small_final", "allocation=lamp"),
            "criterion=SmallFinal: its scores may be below 0",
        ),
        (("method=rigl_5x", "rewind.times=1"), "rewind.times=1: a whole number, 2 to 1000"),
        (("method=soft_movement", "dynamics.threshold=0.5"), "dynamics.threshold=0.5: a number, above 0 and below 0.5"),
        (("method=soft_movement", "dynamics.every=10it"), "dynamics.every=10it: a level is trained for 8 iterations"),
    ],
)
def test_what_cannot_go_is_one_line_before_anything_is_trained(command, given, message):
    result = command(*given, *TINY, *STARTS)
    assert result.code == 2
    assert message in result.line
    assert folders(command.runs) == []
