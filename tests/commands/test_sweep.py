"""Sweeps: the report at their end."""

import csv

from tests.support.command import TINY


def test_a_sweep_ends_with_a_report_on_its_own_runs(command):
    command.done(*TINY, "method=one_shot")  # not of the sweep
    assert command("-m", *TINY, "method=imp,random", "seed=0,1").code == 0
    (sweep,) = (command.runs / "sweeps").iterdir()
    assert len((sweep / "runs.txt").read_text().splitlines()) == 4
    with (sweep / "summary.csv").open() as file:
        assert {row["method"] for row in csv.DictReader(file)} == {"imp", "random"}
    assert (sweep / "curves.png").exists()


def test_a_sweep_with_a_job_that_fails_reports_on_the_others(command):
    found = command("-m", *TINY, "method=imp", "seed=0", "lr.base=0.1,1e30", "rewind=learning_rate")
    assert found.code == 1
    assert "diverged" in found.err
    (sweep,) = (command.runs / "sweeps").iterdir()
    assert (sweep / "summary.csv").exists()
