"""Sweeps: the report at their end, and the same bytes from every launcher."""

import csv
import hashlib
import json

import pytest

from tests.command import TINY, folders, ledger, own_process, without


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


def stages(runs):
    found = {}
    for path in sorted((runs / "store").glob("*/stage.json")):
        found[path.parent.name] = json.loads(path.read_text())["sha256"]
        for name, expected in found[path.parent.name].items():
            assert hashlib.sha256((path.parent / name).read_bytes()).hexdigest() == expected
    return found


@pytest.mark.slow
def test_joblib_gives_the_ledgers_and_the_stages_that_the_basic_launcher_gives(tmp_path):
    given = ("-m", *TINY, "method=imp,imp_rewind,one_shot,imp_shuffle", "seed=0,1")
    for name, launcher in {"basic": (), "joblib": ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")}.items():
        (tmp_path / name).mkdir()
        process = own_process(tmp_path / name, *given, *launcher)
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    basic, joblib = tmp_path / "basic" / "runs", tmp_path / "joblib" / "runs"
    assert stages(basic) == stages(joblib)
    assert len(stages(basic)) == 2 * (1 + 1 + 4 * 2 - 1)
    pairs = zip(folders(basic), folders(joblib), strict=True)
    for one, other in pairs:
        assert one.name == other.name
        assert without(ledger(one), "seconds", "reused") == without(ledger(other), "seconds", "reused")
