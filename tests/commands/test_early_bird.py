"""``method=early_bird``: the rewind step of each level is a result, which plan, ledger and store have as what it is."""

import csv
import re

import pytest

from ltb.store import command as store_command
from tests.support.command import TINY, ledger, stage_hashes

GIVEN = (*TINY, "method=early_bird", "rewind_rule.every=1it", "rewind_rule.window=3")


def planned(command, *given):
    """What a plan says: label, state and iterations of each stage, and its sum."""
    lines = command(*GIVEN, *given, "plan=true").out.splitlines()
    said = [re.match(r" (.+?)   .* (to do|done) +((?:at most )?\d+)", line) for line in lines]
    return [one.groups() for one in said if one], next(line for line in lines if line.startswith("so far"))


def measured(folder, quantity):
    with (folder / "measures.csv").open(newline="") as file:
        return {row["level"]: row["value"] for row in csv.DictReader(file) if row["quantity"] == quantity}


def test_a_run_from_its_plan_to_its_store(command, capsys):
    rows, line = planned(command, "rewind_rule.epsilon=0.06")
    assert rows == [
        ("dense", "to do", "8"),
        ("early bird at sparsity 0.2", "to do", "0"),
        ("level", "to do", "at most 5"),  # from step 3, the first at which three tickets are drawn
        ("early bird at sparsity 0.36", "to do", "0"),
        ("level", "to do", "at most 5"),
    ]
    assert line.startswith("so far: 5 stages named (at most 18 iterations), 3 to do (at most 18 iterations)")
    assert not command.runs.exists()

    drawn = ["measure=mask_distance", "measure.mask_distance.every=1it", "measure.mask_distance.window=3"]
    folder = command.done(*GIVEN, "rewind_rule.epsilon=0.06", *drawn, "measure.mask_distance.epsilon=0.06")
    dense, *levels = ledger(folder)
    assert (dense["start_step"], dense["search_steps"]) == ("0", "0")
    found = [int(row["start_step"]) for row in levels]
    assert all(3 <= step < 8 for step in found)
    said = measured(folder, "early_bird_step")
    assert [float(said[row["level"]]) for row in levels] == found
    assert [int(row["search_steps"]) for row in levels] == found  # not the dense network's 8

    rows, line = planned(command, "rewind_rule.epsilon=0.06")
    steps = [str(8 - step) for step in found]
    assert [one for one in rows if one[0] == "level"] == [("level", "done", step) for step in steps]
    assert f"({8 + sum(map(int, steps))} iterations), 0 to do (0 iterations)" in line

    # Another epsilon finds all steps there, and trains the ticket alone.
    rows, line = planned(command, "rewind_rule.epsilon=0.9")
    assert [one for one in rows if one[1] == "to do"] == [
        (f"early bird at sparsity {target}", "to do", "0") if bird else ("level", "to do", "at most 5")
        for target in ("0.2", "0.36")
        for bird in (True, False)
    ]
    before = stage_hashes(command.runs / "store")
    laxer = command.done(*GIVEN, "rewind_rule.epsilon=0.9")
    assert [row["start_step"] for row in ledger(laxer)] == ["0", "3", "3"]
    assert laxer != folder
    after = stage_hashes(command.runs / "store")
    assert before.items() <= after.items()

    # What is freed is the rest of the walk: the found steps are what levels grew from.
    store = ["--dir", str(command.runs / "store")]
    capsys.readouterr()
    assert store_command.main([*store, "gc", "--unreferenced", "--yes"]) == 0
    assert store_command.main([*store, "tree"]) == 0
    shown = capsys.readouterr().out
    kept = set(map(int, re.findall(r"dense to step (\d+)", shown)))
    assert kept == {3, *found}
    assert re.search(r"dense to step 3 .*\n[│ ]*[├└]── early bird at sparsity 0.\d+ .*\n[│ ]*└── level ", shown)
    assert store_command.main([*store, "verify"]) == 0


def test_where_it_never_holds_a_line_says_so(command):
    result = command(*GIVEN, "rewind_rule.epsilon=1e-9", "rewind_rule.latest=4it", "schedule.levels=1")
    assert result.code == 0
    assert "early bird at sparsity 0.2: it never held up to step 4, the last that it may take" in result.line
    (folder,) = [path for path in command.runs.glob("early_bird-*") if path.is_dir()]
    assert [row["start_step"] for row in ledger(folder)] == ["0", "4"]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["rewind_step=2it"], "rewind_step=2it: no effect with rewind_rule=EarlyBird, which finds the step; 0it"),
        (["rewind_rule.latest=8it"], "rewind_rule.latest=8it is iteration 8, and the run is 8 iterations long"),
        (["rewind_rule.window=9"], "rewind_rule.every=1it: 7 tickets are drawn before the end of 8 iterations"),
        (["rewind_rule.epsilon=2"], "rewind_rule.epsilon=2: a number, between 0 and 1"),
    ],
)
def test_what_cannot_be_run_is_told_in_a_line(command, given, line):
    result = command(*GIVEN, *given)
    assert result.code == 2
    assert line in result.line
    assert not command.runs.exists()
