"""Sweeps: the report at their end."""

import csv
import json
import os
import signal
import time

import pytest

from ltb.records import jobs
from ltb.records import status as standing
from tests.support.command import TINY, folders, status


@pytest.mark.slow
def test_a_sweep_ends_with_a_report_on_its_own_runs(command):
    command.done(*TINY, "method=one_shot")  # not of the sweep
    assert command("-m", *TINY, "method=imp,random", "seed=0,1").code == 0
    (sweep,) = (command.runs / "sweeps").iterdir()
    assert len(list((sweep / "sweep_runs").iterdir())) == 4
    assert json.loads((sweep / "jobs.json").read_text()) == {"jobs": 4, "ended": True}
    with (sweep / "summary.csv").open() as file:
        assert {row["method"] for row in csv.DictReader(file)} == {"imp", "random"}
    assert (sweep / "curves.png").exists()


@pytest.mark.slow
def test_settings_may_stand_on_both_sides_of_the_flag(command):
    assert command("method=dense", "-m", *TINY, "schedule.levels=0", "seed=0,1").code == 0
    assert len(folders(command.runs)) == 2


@pytest.mark.slow
def test_a_sweep_with_a_job_that_fails_reports_on_the_others(command):
    found = command("-m", *TINY, "method=imp", "seed=0", "lr.base=0.1,1e30", "rewind=learning_rate")
    assert found.code == 1
    assert "diverged" in found.err
    (sweep,) = (command.runs / "sweeps").iterdir()
    assert (sweep / "summary.csv").exists()


def test_a_sweep_of_which_every_job_is_refused_leaves_nothing(command):
    found = command("-m", *TINY, "seed=-1,-2")
    assert found.code == 2
    assert not command.runs.exists()


def test_a_sweep_into_a_folder_that_cannot_be_made_is_refused(command):
    (command.folder / "file").write_text("not a folder")
    found = command("-m", *TINY, "seed=0,1", "runs=file/runs")
    assert (found.code, found.out) == (2, "")
    assert found.line.startswith("ltb: hydra.run.dir, hydra.sweep.dir: file/runs/sweeps")
    assert found.line.endswith(": Not a directory; the folder cannot be written")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            ("seed=0,abc",),
            "seed='abc': a whole number, 0 or more and below 2**63 (in 1 of 2 jobs: seed=abc; none was run)",
        ),
        (
            ("seed=0,1", "rewind_step=1it,999it"),
            "(in 2 of 4 jobs: seed=0 rewind_step=999it; seed=1 rewind_step=999it; none",
        ),
    ],
)
def test_a_sweep_checks_all_its_jobs_before_it_trains_the_first(command, given, line):
    """By themselves, and with their data and network."""
    found = command("-m", *TINY, "method=imp", *given)
    assert found.code == 2
    assert len(found.err.splitlines()) == 1
    assert line in found.err
    assert not command.runs.exists()  # nothing was trained, and nothing is left


@pytest.mark.slow
def test_a_job_is_listed_once_its_status_says_that_it_is_running(command, monkeypatch):
    """Else a view takes a starting job for an unknown one, or, where its folder is an older run's, the sweep for ended."""
    seen, add = [], jobs.add

    def listed(sweep, run):
        add(sweep, run)
        found = standing.read(sweep)
        seen.append((str(found), found.ended))

    monkeypatch.setattr(jobs, "add", listed)
    for count in (1, 2):  # the second finds the folder of a complete run
        assert command("-m", *TINY, "schedule.levels=1", f"seed={'0,1'[: 2 * count - 1]}").code == 0
    one, *two = seen
    assert one == ("0 of 1 done, 1 running, 0 failed", False)
    assert two == [("0 of 2 done, 1 running, 0 failed", False), ("1 of 2 done, 1 running, 0 failed", False)]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_sweep_interrupted_in_its_report_says_so_and_how_to_have_it(command, monkeypatch, number, code):
    def reports(arguments):
        os.kill(os.getpid(), number)
        time.sleep(5)

    monkeypatch.setattr("ltb.report.command.main", reports)
    found = command("-m", *TINY, "schedule.levels=1", "seed=0")
    assert (found.code, status(*folders(command.runs))["state"]) == (code, "complete")
    assert found.line == (
        "ltb: interrupted while the report on the sweep was made; python -m ltb.report FOLDER makes it"
    )
