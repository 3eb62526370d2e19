"""Teachers from the command line: this run's dense network, and the network of another run."""

import json

from tests.support.command import TINY, ledger

OTHER = ("teacher@objective.teacher=finished",)


def test_a_small_student_learns_from_another_runs_network(command):
    teacher = command.done(*TINY, "method=dense", "schedule.levels=0")
    given = ("method=dense", "schedule.levels=0", "dense_objective=distil", f"dense_objective.teacher.run={teacher}")
    made = [command.done(*TINY, *given, "model.widths=[4]", f"seed={seed}") for seed in (0, 1)]
    alone = command.done(*TINY, "method=dense", "schedule.levels=0", "model.widths=[4]")
    rows = [ledger(folder)[0] for folder in (*made, alone)]
    assert len({row["prunable"] for row in rows}) == 1
    assert len({row["val/loss"] for row in rows}) == 3
    # One curve: seeds of one setting.
    settings = [json.loads((folder / "identity.json").read_text())["settings"] for folder in made]
    assert {**settings[0], "seed": 0} == {**settings[1], "seed": 0}
    # Where the teacher's run lies decides nothing.
    moved = teacher.rename(teacher.parent / "elsewhere")
    again = command.done(*TINY, *given[:-1], f"dense_objective.teacher.run={moved}", "model.widths=[4]")
    assert again == made[0]


def test_a_teacher_that_is_not_there_is_one_line(command):
    result = command(*TINY, "objective=distil", *OTHER, "objective.teacher.run=nowhere")
    assert (result.code, result.line) == (
        2, "ltb: objective.teacher.run='nowhere': run is the folder of a finished run, with its levels.csv",
    )  # fmt: skip
    teacher = command.done(*TINY, "method=dense", "schedule.levels=0")
    given = ("objective=distil", *OTHER, f"objective.teacher.run={teacher}", "objective.teacher.level=1")
    assert "level is one of the run's, 0 to 0, or -1 for the last" in command(*TINY, *given).line
    assert (
        command(*TINY, "objective=distil", "objective.alpha=1.5").line
        == "ltb: objective.alpha=1.5: a number, above 0, to 1"
    )
