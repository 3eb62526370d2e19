"""Measures asked of finished runs, by the command."""

import re

import pytest
import torch

from ltb import measure
from ltb.analysis import examples
from ltb.report import command as report
from ltb.run import plan, signals
from ltb.store.ticket import Ticket
from tests.support.command import TINY, folders, ledger


@pytest.fixture
def ask(command, capsys, monkeypatch):
    def run(*arguments):
        with monkeypatch.context() as patch:
            patch.chdir(command.folder)
            code = measure.main([*map(str, arguments)])
        return code, capsys.readouterr()

    return run


def rows(folder):
    from ltb.records import record

    return record.read_rows(folder / "measures.csv")


@pytest.mark.slow
def test_numbers_go_under_the_runs_own_name_and_a_run_without_levels_stops_no_other(command, ask):
    command.done(*TINY, "method=imp")
    fresh = command.done(*TINY, "method=imp", "fresh=true")
    begun = command.done(*TINY, "method=one_shot")
    (begun / "levels.csv").unlink()
    written = {path: path.stat().st_mtime_ns for path in command.runs.rglob("stage.json")}
    code, shown = ask("runs", "measure=calibration,overlap")
    assert code == 1
    assert shown.err == f"ltb: {begun.name}: no level is finished yet\n"
    for folder in folders(command.runs):
        if folder != begun:
            found = rows(folder)
            assert {row["run_id"] for row in found} == {folder.name}
            assert {row["stage"] for row in found if row["level"]} == {row["stage"] for row in ledger(folder)}
            assert {row["measure"] for row in found} == {"calibration", "overlap"}
    assert fresh.name.endswith(".2")
    assert all(path.stat().st_mtime_ns == before for path, before in written.items())  # nothing was trained


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            ["measure=oberlap"],
            "measure=oberlap: there is no such measure; there are bytes, calibration, correctness, deployed, evaluate",
        ),
        ([], "measure=NAME is missing; there are bytes, calibration"),
        (["measure=calibration", "measure.overlap.x=1"], "measure.overlap: it was not asked for"),
        (["measure=calibration", "measure.calibration.bins=[1"], "measure.calibration.bins=[1: "),
        (["measure=calibration", "measure.calibration.bin=3"], "Calibration has no such setting; the nearest is bins"),
    ],
)
def test_a_typo_is_one_line(command, ask, given, line):
    command.done(*TINY, "method=dense")
    code, shown = ask("runs", *given)
    assert code in (1, 2)
    assert len(shown.err.splitlines()) == 1
    assert line in shown.err


@pytest.mark.parametrize("keep", ["tickets", "ledger"])
def test_what_was_not_kept_is_named_and_nothing_is_trained_for_it(command, ask, keep):
    run = command.done(*TINY, "method=imp", f"store.keep={keep}")
    before = {path: path.stat().st_mtime_ns for path in (command.runs / "store").rglob("[!.]*.*")}
    code, shown = ask("runs", "measure=calibration")
    assert code == 1
    dense = command.runs / "store" / ledger(run)[0]["stage"]
    assert shown.err == (f"ltb: {run.name}: {dense}: its weights were not kept, and nothing is trained here\n")
    assert before == {path: path.stat().st_mtime_ns for path in before}
    code, shown = ask("runs", "measure=overlap")
    assert code == (0 if keep == "tickets" else 1)  # masks are enough


@pytest.mark.slow
def test_runs_are_compared_across_their_own_stores_and_one_that_cannot_be_read_stops_no_other(command, ask):
    made = [command.done(*TINY, "method=imp", f"seed={seed}", "fresh=true") for seed in (0, 1)]
    broken = command.done(*TINY, "method=imp", "seed=2")
    (broken / "config.yaml").unlink()
    code, shown = ask("runs", "measure=overlap", "--across", "overlap.csv")
    assert code == 1
    assert shown.err.startswith(f"ltb: {broken.name}: ")
    assert len(shown.err.splitlines()) == 1
    from ltb.records import record

    found = record.read_rows(command.folder / "overlap.csv")
    assert {row["runs"] for row in found} == {";".join(folder.name for folder in made)}
    by_hand = (
        Ticket.load(made[0] / "tickets" / "level-01.safetensors"),
        Ticket.load(made[1] / "tickets" / "level-01.safetensors"),
    )
    one, other = (torch.cat([mask.flatten() for mask in ticket.masks.values()]) for ticket in by_hand)
    iou = next(float(row["value"]) for row in found if (row["quantity"], row["level"]) == ("iou", "1"))
    assert iou == pytest.approx(float((one & other).sum() / (one | other).sum()))


def test_runs_that_prune_other_layers_are_compared_among_themselves(command, ask):
    given = (*TINY, "method=one_shot", "schedule.levels=1")
    made = [command.done(*given, f"seed={seed}") for seed in (0, 1)]
    command.done(*given, "prunable.exclude=[fc1.weight]")
    code, shown = ask("runs", "measure=overlap", "--across", "overlap.csv")
    assert (code, shown.err) == (0, "")
    from ltb.records import record

    found = {row["runs"] for row in record.read_rows(command.folder / "overlap.csv")}
    assert found == {";".join(folder.name for folder in made)}


def test_a_run_of_one_level_compares_nothing_with_itself(command, ask):
    run = command.done(*TINY, "method=dense", "schedule.levels=0", "measure=overlap")
    assert not (run / "measures.csv").exists()
    code, shown = ask("runs", "measure=overlap")
    assert (code, shown.err) == (0, "")


@pytest.mark.slow
def test_other_settings_of_a_measure_are_rows_of_their_own(command, ask):
    run = command.done(*TINY, "method=dense", "measure=calibration")
    command.done(*TINY, "method=dense", "measure=calibration", "measure.calibration.split=train")
    assert ask("runs", "measure=calibration", "measure.calibration.bins=2")[0] == 0
    found = {row["measure"]: row["value"] for row in rows(run) if row["quantity"] == "nll"}
    assert set(found) == {"calibration", "calibration(split=train)", "calibration(bins=2)"}
    assert found["calibration"] == found["calibration(bins=2)"] != found["calibration(split=train)"]


@pytest.mark.parametrize("place", ["folder", "/dev/null"])
def test_a_table_replaces_no_folder_and_no_device(command, ask, place):
    command.done(*TINY, "method=imp")
    (command.folder / "folder").mkdir()
    code, shown = ask("runs", "measure=overlap", "--across", place)
    assert code in (1, 2)
    assert shown.err == f"ltb: --across {place}: it is there, and is no regular file\n"


@pytest.mark.slow
def test_whatever_ships_is_in_the_report(command, capsys):
    """Each measure, from a run's own command to the page."""
    command.done(*TINY, "method=imp", "measure=[evaluate,per_class,calibration,generalisation_gap,overlap,bytes,flops]")
    capsys.readouterr()
    assert report.main([str(command.runs)]) == 0
    shown = capsys.readouterr().out
    for name in ("per_class", "calibration", "generalisation_gap", "overlap", "bytes", "flops"):
        assert f": {name}" in shown
    assert "gap/accuracy" in (command.runs / "report.html").read_text()
    assert "gap/accuracy" in shown


def test_a_metric_that_the_module_does_not_log_leaves_a_finished_run_as_it_is(command):
    run = command.done(*TINY, "method=imp")
    before = (run / "status.json").read_bytes(), (run / "levels.csv").read_bytes()
    found = command(*TINY, "method=imp", "metric.name=acc")
    assert found.code == 2
    assert "metric.name='acc': the module logs" in found.line
    assert ((run / "status.json").read_bytes(), (run / "levels.csv").read_bytes()) == before


def to_do(command, *given):
    """What a plan says is to be trained or measured: label and iterations."""
    plan._planned.clear()  # it counts all runs of its process
    lines = command(*TINY, *given, "plan=true").out.splitlines()
    said = [re.match(r" (.+?)  .* to do +(\d+)", line) for line in lines]
    return [f"{one[1]} {one[2]}" for one in said if one]


@pytest.mark.slow
def test_tickets_drawn_on_the_way_are_planned_with_the_run_and_replayed_for_nothing(command, ask):
    drawn = ["measure=mask_distance", "measure.mask_distance.every=1it"]
    refused = command(*TINY, "measure=mask_distance")
    assert refused.code == 2
    assert "measure.mask_distance.every=1ep: 1 tickets are drawn before the end of 8 iterations" in refused.line
    assert to_do(command, *drawn) == ["dense 8", "level 8", "level 8", "mask_distance 0", "mask_distance 0"]
    folder = command.done(*TINY, *drawn)
    found = [row for row in rows(folder) if row["quantity"] == "distance@7"]
    assert [(row["level"], row["measure"]) for row in found] == [(str(n), "mask_distance(every=1it)") for n in (1, 2)]
    assert all(0 <= float(row["value"]) <= 1 for row in found)
    assert to_do(command, *drawn) == []
    code, _ = ask("runs", *drawn)
    assert code == 0
    # Of a run that was trained without them each must be replayed, and only its own command does that.
    plain = command.done(*TINY, "seed=1")
    code, shown = ask(plain, *drawn)
    assert code == 1
    assert "dense to step 1 is not in the store, and nothing is trained here" in shown.err
    assert {f"dense to step {step} 1" for step in range(1, 8)} < set(to_do(command, "seed=1", *drawn))
    command.done(*TINY, "seed=1", *drawn)
    assert ask(plain, *drawn)[0] == 0


@pytest.mark.slow
def test_which_examples_are_right_is_in_the_runs_folders_and_the_report(command, ask, capsys):
    made = [command.done(*TINY, "method=imp", f"seed={seed}", "measure=correctness") for seed in (0, 1)]
    made.append(command.done(*TINY, "method=imp", "seed=2"))
    assert not (made[2] / "measured").exists()
    code, _ = ask("runs", "measure=correctness")
    assert code == 0
    for folder in made:
        for row in ledger(folder):
            right = examples.read(folder / "measured" / "correctness" / f"level-{int(row['level']):02d}.safetensors")
            assert right.mean() == pytest.approx(float(row["test/accuracy"]))
    assert report.main([str(command.runs), "--format", "text"]) == 0
    assert "over seeds and examples" in capsys.readouterr().out


@pytest.mark.parametrize(("interruption", "code"), [(KeyboardInterrupt, 130), (signals.Terminated, 143)])
def test_what_was_measured_before_an_interruption_is_in_the_file(command, ask, monkeypatch, interruption, code):
    run = command.done(*TINY, "method=one_shot", "schedule.levels=1")

    def interrupted(self, of, bench):
        raise interruption

    monkeypatch.setattr("ltb.measures.flops.FlopsOf.__call__", interrupted)
    found, told = ask(run, "measure=bytes,flops")
    assert (found, told.err) == (code, "ltb: interrupted; what was measured is kept, and the same command goes on\n")
    assert "dense" in (run / "measures.csv").read_text()
