"""``student=``: small dense networks of the pruned network's bytes or FLOPs, in whole commands."""

import csv
import json

import pytest
import yaml

from tests.support.command import TINY, ledger

DENSE = (*TINY, "method=dense", "schedule.levels=0", "model.widths=[40,20]")


def measured(folder, level, quantity):
    with (folder / "measures.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["level"], row["quantity"]) == (str(level), quantity)]
    return float(rows[0]["value"])


def test_the_width_is_found_and_said_and_the_run_is_that_of_the_width_typed(command):
    given = (*DENSE, "student=equal_bytes", "student.density=0.1")
    plan = command(*given, "plan=true").out.splitlines()
    folder = command.done(*given)
    widths = yaml.safe_load((folder / "config.yaml").read_text())["model"]["widths"]
    assert plan[0].startswith(f"student: model.widths={widths}, ")
    assert plan[0].endswith(" bytes, what model.widths=[40, 20] takes as relative at density 0.1")
    assert plan[1] == folder.name
    assert json.loads((folder / "identity.json").read_text())["settings"]["module.network.widths"] == widths
    (row,) = ledger(folder)
    typed = [one for one in DENSE if not one.startswith("model.widths")]
    assert command.done(*typed, f"model.widths={widths}".replace(" ", "")) == folder
    assert ledger(folder) == [row]
    shown = command(*given, "progress=true")
    assert (shown.code, shown.err.splitlines()[0]) == (0, plan[0])


@pytest.mark.slow
def test_what_is_measured_of_both_says_that_they_are_equal(command):
    measures = "measure=[bytes,flops]"
    pruned = ("method=one_shot", "schedule=explicit", "schedule.sparsities=[0.9]", "allocation=uniform", measures)
    tiny = [one for one in TINY if not one.startswith(("model.", "schedule."))]
    ticket = command.done(*tiny, "model.widths=[40,20]", *pruned)
    of_bytes = command.done(*DENSE, measures, "student=equal_bytes", "student.density=0.1", "student.format=bitmask")
    of_flops = command.done(*DENSE, measures, "student=equal_flops", "student.density=0.1")
    budget, size = measured(ticket, 1, "bitmask"), measured(of_bytes, 0, "dense")
    assert 0.8 * budget < size <= budget + 4  # counts are whole, formulas are not
    budget, size = measured(ticket, 1, "forward_kept"), measured(of_flops, 0, "forward")
    assert 0.8 * budget < size <= budget + 4


@pytest.mark.slow
def test_a_student_learns_from_a_network_of_another_run(command):
    teacher = command.done(*DENSE)
    given = (*DENSE, "student=equal_flops", "student.density=0.2")
    distil = ("dense_objective=distil", f"dense_objective.teacher.run={teacher}")
    made, alone = command.done(*given, *distil), command.done(*given)
    rows = [ledger(folder)[0] for folder in (made, alone)]
    assert int(rows[0]["prunable"]) == int(rows[1]["prunable"]) < int(ledger(teacher)[0]["prunable"])
    assert rows[0]["val/loss"] != rows[1]["val/loss"]


@pytest.mark.slow
def test_a_sweep_over_densities_is_a_network_for_each(command):
    result = command("-m", *DENSE, "student=equal_bytes", "student.density=0.5,0.2,0.1", "seed=0,1")
    assert result.code == 0
    widths = {yaml.safe_load(file.read_text())["model"]["widths"][0] for file in command.runs.glob("*/config.yaml")}
    assert len(widths) == 3
    assert len([*command.runs.glob("*/levels.csv")]) == 6


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["student=equal_bytes"], "ltb: student.density is not set; give student.density=VALUE"),
        (["student=equal_flops", "student.density=2"], "ltb: student.density=2: a number, above 0, to 1"),
        (["student.density=0.1"], "ltb: student.density=0.1: there is no such setting; it is a setting of "
                                  "student=equal_bytes, student=equal_flops: name that option too"),
        (["student=equal_bytes", "student.density=0.001", "model.widths=[3]"],
         "ltb: student.density=0.001: the narrowest network, model.widths=[1], takes 244 bytes, and the pruned one 53; "
         "a higher density"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_one_line(command, given, line):
    result = command(*TINY, *given)
    assert (result.code, result.line) == (2, line)


OWN = """
from torch import nn


class Tiny(nn.Sequential):
    def __init__(self, hidden=32):
        if hidden % 2:
            raise ValueError("hidden must be even")
        super().__init__(nn.Flatten(), nn.Linear(40, hidden), nn.ReLU(), nn.Linear(hidden, 10))
"""


@pytest.mark.slow
def test_a_model_of_ones_own_has_its_width_named(command):
    given = (
        *command.own_model("small", OWN),
        *(one for one in DENSE if not one.startswith("model.")),
        "protocol.layer_rates={}",
        "student=equal_flops",
        "student.density=0.25",
    )
    assert command(*given).line == (
        "ltb: student.argument=null: Tiny has neither of width and widths; the argument that is its width: hidden"
    )  # fmt: skip
    named = (*given, "student.argument=hidden")
    line = command(*named).line
    assert line.startswith("ltb: student.multiple=1: one whose multiples the model takes; model.hidden=")
    assert line.endswith("hidden must be even")
    folder = command.done(*named, "student.multiple=2")
    assert yaml.safe_load((folder / "config.yaml").read_text())["model"] == {"_target_": "small.Tiny", "hidden": 8}
