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
    assert "level=1: one of 0 to 0, or -1 for the last" in command(*TINY, *given).line
    assert (
        command(*TINY, "objective=distil", "objective.alpha=1.5").line
        == "ltb: objective.alpha=1.5: a number, above 0, to 1"
    )


def test_teachers_of_two_levels_are_two_curves_and_equal_networks_one_key(command):
    teacher = command.done(*TINY, "method=imp")
    other = command.done(*TINY, "method=one_shot")
    given = (*TINY, "method=dense", "schedule.levels=0", "dense_objective=distil", "model.widths=[4]")
    made = [
        command.done(*given, f"dense_objective.teacher.run={run}", f"dense_objective.teacher.level={level}")
        for run, level in ((teacher, 0), (teacher, 2), (other, 0))
    ]
    keys = [ledger(folder)[0]["stage"] for folder in made]
    assert keys[0] != keys[1]
    assert keys[0] == keys[2]  # the dense network of both
    settings = [json.loads((folder / "identity.json").read_text())["settings"] for folder in made]
    assert settings[0] != settings[1]
    status = json.loads((teacher / "status.json").read_text())
    (teacher / "status.json").write_text(json.dumps(status | {"state": "interrupted"}))
    assert "run is the folder of a finished run" in command(*given, f"dense_objective.teacher.run={teacher}").line


def test_layers_learn_from_the_teachers_layers(command):
    given = (*TINY, "method=one_shot", "schedule.levels=1", "objective=distil")
    hinted = (*given, "hints@objective.hints=features", "objective.hints.layers={fc1: 0.1}")
    made = [command.done(*one) for one in (given, hinted, (*hinted, "objective.hints.layers={fc1: 0.2}"))]
    dense, levels = ([ledger(folder)[level]["val/loss"] for folder in made] for level in (0, 1))
    assert (len({*dense}), len({*levels})) == (1, 3)
    assert command(*given, "hints@objective.hints=features").line == (
        "ltb: objective.hints.layers is not set; give objective.hints.layers=VALUE"
    )
    assert command(*hinted[:-1], "objective.hints.layers={fc: 1}").line == (
        "ltb: objective.hints.layers.fc: the network has no such layer; the nearest is fc1"
    )


def test_a_compact_student_looks_where_its_teacher_does(command):
    shapes = ("data.shape=[3,8,8]", "model=conv2", "model.width=4", "protocol.layer_rates={}")
    given = [one for one in TINY if not one.startswith(("data.shape", "model.", "schedule."))]
    given += [
        *shapes,
        "method=filter_l1",
        "rewind.length=4it",
        "schedule=explicit",
        "schedule.sparsities=[0.5]",
        "execution=compact",
    ]
    hinted = ["hints@objective.hints=attention", "objective.hints.layers={conv1: 100}"]
    rows = [ledger(command.done(*given, "objective=distil", *more))[1] for more in ([], hinted)]
    assert rows[0]["remaining"] == rows[1]["remaining"]
    assert rows[0]["val/loss"] != rows[1]["val/loss"]
    unit = "hints@objective.hints=features", "objective.hints.layers={conv1: 1}"
    assert "removes units that objective=Distil compares" in command(*given, "objective=distil", *unit).line
